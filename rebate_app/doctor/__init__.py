"""`rebate doctor`: checks of everything around the workers, each with a remedy."""
