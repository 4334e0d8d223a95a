"""Accounts: targets in, ledger entries, balances and events out."""
