"""The streams engine: batches in, one transaction per batch, state and position committed together."""
