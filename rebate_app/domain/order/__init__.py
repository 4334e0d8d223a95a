"""Order lines: merging facts, the value of a line, and who owns it."""
