"""Measures the whole, and compares it with what else could have been used; see README.md here."""
