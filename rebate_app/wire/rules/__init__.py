"""Rule files: TOML text to rule versions."""
