"""Who sends a request, what he may do, and how often (docs/spec/api-security.md)."""
