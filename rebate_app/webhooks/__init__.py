"""Webhooks: events brought to a URL, in order per user, at least once, apart from the money."""
