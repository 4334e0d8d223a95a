"""The local Apache Kafka: laws of starting, ending, and of what it says when it cannot."""
