"""Payouts: channels, payees, and what is done for an open withdrawal."""
