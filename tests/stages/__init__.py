"""A toy stage, added by docs/how-to/add-a-stage.md alone."""
