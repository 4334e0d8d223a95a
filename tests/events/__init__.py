"""What other systems hear, on a real Kafka."""
