"""Credentials: API keys, user tokens, signatures between workers. No HTTP, no files, no clock."""
