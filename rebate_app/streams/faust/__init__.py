"""Faust's consumer, topics and recovery, replaced by ones that work on batches."""
