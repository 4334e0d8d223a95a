"""HTTP: reads of what this worker owns, forwarding of what others own, writes as Kafka records."""
