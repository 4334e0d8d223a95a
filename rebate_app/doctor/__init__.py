"""`rebate doctor`: everything around the workers that can be wrong, each with what to do about it."""
