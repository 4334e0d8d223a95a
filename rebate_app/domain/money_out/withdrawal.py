"""One withdrawal: the record of it, and the number under which money leaves.

Amounts are in fen, moments in µs; offsets are places in the user log.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct, field

from .states import OPEN, PAID, REQUESTED, RETURNED

PAYOUT_NO_DIGITS = 32
NOT_QUEUED = -1
UNDECIDED = -1


class Approval(Struct, array_like=True, frozen=True):
    """Somebody approved, and when."""

    actor: str
    at: int


class Attempt(Struct, array_like=True):
    """A legal attempt to pay: the members of its fact, and the status of the last result about it.

    `offset` is that of its fact, `recorded_at` that record's timestamp; `status` is "" while there is no
    result.
    """

    attempt: int
    at: int
    offset: int
    recorded_at: int
    channel_identity: str
    export_id: str = ""
    status: str = ""


class Result(Struct, array_like=True, frozen=True):
    """The last result that was written, whether or not it changed the state.

    `needs_user_url`: of the newest one that gave it, for as long as the withdrawal waits for its user.
    """

    attempt: int
    status: str
    amount: int
    code: str
    channel_ref: str
    needs_user_url: str
    at: int


class Resolved(Struct, array_like=True, frozen=True):
    """The newest `withdrawal.resolve` of a stuck withdrawal; it counts once another actor confirms it."""

    outcome: str
    channel_ref: str
    reason: str
    actor: str
    at: int


class WaitingVerdict(Struct, array_like=True, frozen=True):
    """A verdict that came before the decision, and is folded right after it."""

    verdict: str
    reason: str
    actor: str
    at: int


class Withdrawal(Struct, array_like=True):
    """A withdrawal of one user (format 1).

    `number` is its place among the user's withdrawals, from 0. `state` is one of states.STATES; `reason` says
    why it was refused, rejected or cancelled. From `review` to `available` are the decision's; it took effect
    at `decided_offset`. `queued`: its number among the partition's undecided requests. `answered`: a result
    other than `payer` was written once, so that "not found" is never believed. `contradicted` counts results
    that its state does not allow. `paid_at` and `returned_at`: when the money left and came back, 0 for never
    and in records of versions that did not keep it: `payment_at` and `return_at` answer for these, too.
    """

    format: int
    withdrawal_id: str
    number: int
    amount: int
    channel: str
    payee_id: str
    memo: str
    actor: str
    request_offset: int
    requested_at: int
    updated_at: int
    state: str = REQUESTED
    reason: str = ""
    review: bool = False
    approvals_needed: int = 0
    fee: int = 0
    net: int = 0
    payout_no: str = ""
    rule_version: str = ""
    available: int = 0
    decided_at: int = 0
    decided_offset: int = UNDECIDED
    queued: int = NOT_QUEUED
    waiting: list[WaitingVerdict] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    answered: bool = False
    result: Result | None = None
    resolved: Resolved | None = None
    contradicted: int = 0
    paid_at: int = 0
    returned_at: int = 0

    @property
    def stated_paid_at(self) -> int:
        """Return the moment of the last result if it says paid, else of the last attempt.

        Nobody says when money left that people confirmed, or that the service first mentions as returned:
        the attempt is the nearest that is known.
        """
        result = self.result
        return result.at if result is not None and result.status == PAID else self.attempts[-1].at

    @property
    def payment_at(self) -> int | None:
        """Return when it was paid, whatever was said later; None for one that was not."""
        return (self.paid_at or self.stated_paid_at) if self.state in (PAID, RETURNED) else None

    @property
    def return_at(self) -> int | None:
        """Return when the payment came back; None for one that did not."""
        return (self.returned_at or self.updated_at) if self.state == RETURNED else None

    @property
    def is_open(self) -> bool:
        """Whether its amount is frozen."""
        return self.state in OPEN

    @property
    def last_attempt(self) -> Attempt | None:
        """Return the last legal attempt, None before the first."""
        return self.attempts[-1] if self.attempts else None


def payout_number(user_id: str, withdrawal_id: str) -> str:
    """Return the number under which a new withdrawal's money leaves; it also is the idempotency key."""
    digest = hashlib.sha256(f"{user_id}\n{withdrawal_id}".encode()).hexdigest()
    return digest[:PAYOUT_NO_DIGITS]
