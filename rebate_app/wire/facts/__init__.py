"""Facts as JSON: decoding, checking, and encoding."""
