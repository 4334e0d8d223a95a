"""The link to the broker: TLS, SASL, and the least that each role may do."""
