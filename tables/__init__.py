"""The two tables: their record kinds, and typed views of them for a batch; the engine stores them."""
