"""Which worker answers: placement, forwarding, and reading one's own writes."""
