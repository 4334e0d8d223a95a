"""What became of records that failed: reading dead letters, deciding about them, sending them again."""
