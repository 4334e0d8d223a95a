"""Payment channels: one port, and an adapter for each kind of payment service."""
