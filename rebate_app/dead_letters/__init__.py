"""Dead letters: read them, record decisions, replay their records."""
