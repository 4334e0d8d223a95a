"""The batch lane: chunks in, one transaction per chunk, state and position committed together."""
