"""Events for other systems, on a real Kafka."""
