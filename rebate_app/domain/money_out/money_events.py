"""Events of money out: a withdrawal or an adjustment has another state (docs/events.md)."""

from __future__ import annotations

from msgspec import Struct


class WithdrawalChanged(Struct, frozen=True, gc=False):
    """A withdrawal went from one state to another, when it had so many attempts.

    `net` and `payout_no` are empty while it is not accepted. Amounts in fen, `at` in µs.
    """

    user_id: str
    at: int
    attempts: int
    withdrawal_id: str
    payout_no: str
    amount: int
    net: int
    before: str
    after: str
    reason: str
    needs_user_url: str


class AdjustmentChanged(Struct, frozen=True, gc=False):
    """An adjustment was proposed, approved or rejected; `before` is "" for a new one."""

    user_id: str
    at: int
    adjustment_id: str
    amount: int
    before: str
    after: str
    reason_code: str


MoneyEvent = WithdrawalChanged | AdjustmentChanged
