"""Formats at the border."""
