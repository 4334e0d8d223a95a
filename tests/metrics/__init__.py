"""The figures of a worker, and everything that is written about them."""
