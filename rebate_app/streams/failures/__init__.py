"""Records that fail: dead letters, parked keys, and the limits that stop a partition."""
