"""Tasks: one per stage and partition, from fence to commit, and the manager of all tasks of a worker."""
