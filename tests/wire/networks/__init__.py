"""Adapters: the rows and answers of networks."""
