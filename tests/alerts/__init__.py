"""The alert rules, tried with promtool on series that were recorded from real workers."""
