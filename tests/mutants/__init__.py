"""Ways in which exactly-once goes wrong, planted on purpose: each has to make a test fail."""
