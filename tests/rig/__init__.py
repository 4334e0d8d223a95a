"""Runs the real thing for tests: worker processes on a real Kafka, killed, frozen and asked over HTTP."""
