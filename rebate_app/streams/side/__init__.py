"""Services beside the partitions that a worker owns: calls to the outside world, outside the transactions."""
