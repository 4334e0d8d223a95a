"""The batch lane, part by part."""
