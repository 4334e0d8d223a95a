"""Laws of the stores: memory and RocksDB under one suite, killed, damaged, and restored from a real Kafka."""
