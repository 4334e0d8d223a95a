"""The audit trail: written with the facts, in one transaction, and read from its end backwards."""
