"""Records of one user's money out, and the port through which the folds read and change them.

A table implements the port with views whose changes stay invisible until the batch's transaction is
committed.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, field

from ..account.account_records import AccountRecords
from ..account.totals import MoneyTotals
from ..now import Now
from .withdrawal import Approval, Withdrawal

#: Of business refusals the last ones are kept, so that who asked over HTTP gets an answer.
REFUSALS_MAX = 16

PROPOSED = "proposed"
APPROVED = "approved"
REJECTED = "rejected"
ADJUSTMENT_STATES = (PROPOSED, APPROVED, REJECTED)


class MoneySummary(Struct, array_like=True):
    """What the decisions about one user need to know besides the balance (format 1).

    `open` has the ids of open withdrawals. `refusals` has (offset, code) of the last facts that were refused
    for a business reason.
    """

    format: int = 1
    withdrawals: int = 0
    adjustments: int = 0
    openings: int = 0
    open: list[str] = field(default_factory=list)
    paid_ever: bool = False
    blocked: bool = False
    refusals: list[tuple[int, str]] = field(default_factory=list)


class DayCount(Struct, array_like=True):
    """One user's requests of one Shanghai day (format 1).

    `requests` counts new ones, `counted` and `amount` those that count for the limits of the day.
    """

    format: int = 1
    requests: int = 0
    counted: int = 0
    amount: int = 0


class Adjustment(Struct, array_like=True):
    """A proposed change of a balance (format 1); `verdict`, `why`: who approved or rejected it, and why."""

    format: int
    adjustment_id: str
    number: int
    amount: int
    reason_code: str
    reason: str
    ref: str
    actor: str
    proposed_at: int
    updated_at: int
    state: str = PROPOSED
    verdict: Approval | None = None
    why: str = ""


class OpeningRecord(Struct, array_like=True):
    """What a user brings along (format 1); it counts once somebody else has approved it."""

    format: int
    opening_id: str
    number: int
    batch: str
    source: str
    as_of: int
    available: int
    confirmed: list[tuple[int, int]]
    withdrawn: int
    actor: str
    proposed_at: int
    updated_at: int
    state: str = PROPOSED
    verdict: Approval | None = None


class MoneyRecords(AccountRecords, Protocol):
    """One user's records as the folds of money out need them; what is returned may be changed in place."""

    def summary(self) -> MoneySummary:
        """Return the summary, a fresh one for a user without."""
        ...

    def is_known(self) -> bool:
        """Return whether the user has an account."""
        ...

    def day(self, day: int) -> DayCount:
        """Return the counts of a Shanghai day."""
        ...

    def withdrawal(self, withdrawal_id: str) -> Withdrawal | None:
        """Return a withdrawal, None for an unknown one."""
        ...

    def add_withdrawal(self, withdrawal: Withdrawal) -> None:
        """Keep a new withdrawal."""
        ...

    def move_withdrawal(self, withdrawal: Withdrawal, before: str) -> None:
        """Note that a withdrawal's state was `before`."""
        ...

    def queue(self, withdrawal: Withdrawal) -> None:
        """Queue a request that nobody has decided."""
        ...

    def unqueue(self, withdrawal: Withdrawal) -> None:
        """Take a decided request out of the queue."""
        ...

    def has_been_paid(self, payee_id: str) -> bool:
        """Return whether anything was ever paid to this payee of the user."""
        ...

    def note_paid(self, payee_id: str) -> None:
        """Note that something was paid to this payee of the user."""
        ...

    def raise_alarm(self, withdrawal: Withdrawal, now: Now) -> None:
        """Note that the payment service contradicts itself, which closes the withdrawal's channel."""
        ...

    def adjustment(self, adjustment_id: str) -> Adjustment | None:
        """Return an adjustment, None for an unknown one."""
        ...

    def add_adjustment(self, adjustment: Adjustment) -> None:
        """Keep a new adjustment."""
        ...

    def move_adjustment(self, adjustment: Adjustment, before: str) -> None:
        """Note that an adjustment's state was `before`."""
        ...

    def opening(self, opening_id: str) -> OpeningRecord | None:
        """Return an opening, None for an unknown one."""
        ...

    def add_opening(self, opening: OpeningRecord) -> None:
        """Keep a new opening."""
        ...

    def move_money(self, totals: MoneyTotals) -> None:
        """Add to the totals over accounts what belongs to no line and to no day."""
        ...
