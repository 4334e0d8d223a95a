"""Payouts: money that leaves through the platform's payment services (docs/payouts.md)."""
