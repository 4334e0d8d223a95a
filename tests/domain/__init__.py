"""The laws of the domain, held through the real stages on a lane of lists, and piece by piece."""
