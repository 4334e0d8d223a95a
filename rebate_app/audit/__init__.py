"""The audit: folds all facts again and compares tables, messages, events and balances with the result."""
