"""What is measured: one typed catalogue, the figures behind it, and how they are said to Prometheus."""
