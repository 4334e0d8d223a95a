"""The audit: what the topics say, folded once more by themselves, held against what the system says."""
