"""What happens when a record fails: dead letters, parking, release, limits (docs/spec/failures.md)."""
