"""What other systems hear: events on a real Kafka."""
