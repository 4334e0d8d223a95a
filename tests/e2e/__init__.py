"""The product from outside: real workers, a real Kafka, HTTP and commands."""
