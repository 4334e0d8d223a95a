"""Money out: withdrawals, adjustments, opening balances and blocks of one user (docs/spec/money-out.md)."""
