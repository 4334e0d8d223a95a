"""Money out: withdrawals, adjustments, openings (docs/spec/money-out.md)."""
