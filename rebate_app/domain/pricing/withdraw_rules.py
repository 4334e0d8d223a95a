"""Section `[withdraw]` of a rule version: limits, fees and reviews of withdrawals.

See docs/spec/money-out.md#withdrawal-rules. Amounts are in fen, rates in basis points.
"""

from __future__ import annotations

from msgspec import Struct

from ..money import BPS


class ApprovalsOver(Struct, frozen=True):
    """More than `fen` needs so many approvals."""

    fen: int
    approvals: int


class WithdrawRules(Struct, frozen=True):
    """The section, checked; `days_of_month` are the first and last day, both included."""

    channels: tuple[str, ...]
    min_fen: int = 100
    max_fen: int = 500_000
    multiple_fen: int = 1
    days_of_month: tuple[int, int] = (1, 31)
    max_per_day: int = 1
    day_max_fen: int = 500_000
    max_open: int = 3
    fee_bps: int = 0
    fee_min_fen: int = 0
    fee_max_fen: int = 1_000_000_000
    review_over_fen: int = 0
    review_first: bool = True
    review_new_payee: bool = True
    approvals: int = 1
    approvals_over: tuple[ApprovalsOver, ...] = ()

    def fee(self, amount_fen: int) -> int:
        """Return the fee of a withdrawal: a share of the amount, rounded down, within both ends."""
        return min(max(amount_fen * self.fee_bps // BPS, self.fee_min_fen), self.fee_max_fen)

    def approvals_needed(self, amount_fen: int) -> int:
        """Return how many approvals a reviewed withdrawal of that amount needs."""
        return max(
            [self.approvals, *(each.approvals for each in self.approvals_over if each.fen < amount_fen)]
        )
