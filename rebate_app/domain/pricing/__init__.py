"""Pricing: rule versions, rates, allocation to buckets, and the release calendar."""
