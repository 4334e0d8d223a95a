"""Webhooks: deliver events to a URL, in order per user, at least once, outside the transactions of stages."""
