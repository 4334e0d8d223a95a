"""What one transaction carries: collected records, Kafka batches, and the two producers of a partition."""
