"""State stores: memory and RocksDB, the write buffer of a transaction, caches, restore and standby."""
