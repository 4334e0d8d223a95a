"""Webhooks: order against a model, what is sent, and a real receiver behind a real Kafka."""
