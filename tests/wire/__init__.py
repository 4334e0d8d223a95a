"""Laws of the formats at the border."""
