"""Kafka clients and admin requests: connections, topics, and the topics that keep decisions."""
