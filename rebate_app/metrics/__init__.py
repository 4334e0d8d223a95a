"""Metrics: one typed catalogue, the registry of a worker, and its exposition to Prometheus."""
