"""The streams engine, part by part."""
