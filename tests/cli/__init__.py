"""The commands, the producer and the demonstration, on a real Kafka wherever one takes part."""
