"""Facts about money out, decoded and checked (docs/spec/money-out.md#facts).

Requests and verdicts come from users and staff; decisions, attempts and results only from the owner of the
partition. Amounts are in fen, moments in µs, days since 1970-01-01 in Asia/Shanghai.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

OWN_ID_PATTERN = r"[A-Za-z0-9._-]{1,64}"
#: A payment service's own reference of a payout: visible ASCII.
CHANNEL_REF_PATTERN = r"[!-~]{1,64}"
MEMO_CHARACTERS_MAX = 64
REASON_CHARACTERS_MAX = 200
REF_CHARACTERS_MAX = 128
ACTOR_CHARACTERS_MAX = 256
CONFIRMED_PARTS_MAX = 1_000

#: Authentication is off: nobody knows who asks, so nobody can be another one.
ANONYMOUS = "anonymous"

#: What a withdrawal can be resolved to, and confirmed.
OUTCOMES = ("paid", "failed")
Outcome = Literal["paid", "failed"]

#: Why staff adjusts a balance.
REASON_CODES = ("restore", "reconciliation", "payout-recovery", "goodwill", "write-off", "other")

#: What a payment service said about a payout, as the owner wrote it down.
ResultStatus = Literal["paid", "failed", "payer", "pending", "needs-user", "returned", "stuck"]
RESULT_STATUSES = ("paid", "failed", "payer", "pending", "needs-user", "returned", "stuck")
STUCK_STATUS = "stuck"
NOT_FOUND = "not-found"  # code of `stuck`: not found, and that is not believed
MISMATCH = "lies"  # code of `stuck`: the service answered about another amount or number


class WithdrawalRequest(Struct, frozen=True, gc=False):
    """A user wants money out (`withdrawal.request`)."""

    user_id: str
    withdrawal_id: str
    amount: int
    channel: str
    payee_id: str
    memo: str
    actor: str


class WithdrawalVerdict(Struct, frozen=True, gc=False):
    """Somebody approves, rejects or cancels a withdrawal (`withdrawal.approve`, `.reject`, `.cancel`)."""

    user_id: str
    withdrawal_id: str
    verdict: Literal["approve", "reject", "cancel"]
    reason: str
    actor: str


class Resolution(Struct, frozen=True, gc=False):
    """Somebody says how a stuck withdrawal ended (`withdrawal.resolve`), or confirms it (`.confirm`).

    `channel_ref` is the payment service's reference of what was paid, "" for `failed`.
    """

    user_id: str
    withdrawal_id: str
    outcome: Outcome
    channel_ref: str
    reason: str
    confirms: bool
    actor: str


class AdjustmentProposal(Struct, frozen=True, gc=False):
    """Somebody proposes to change a balance (`adjustment.propose`); `amount` is signed and not 0."""

    user_id: str
    adjustment_id: str
    amount: int
    reason_code: str
    reason: str
    ref: str
    actor: str


class AdjustmentVerdict(Struct, frozen=True, gc=False):
    """Somebody approves or rejects a proposed adjustment (`adjustment.approve`, `.reject`)."""

    user_id: str
    adjustment_id: str
    verdict: Literal["approve", "reject"]
    reason: str
    actor: str


class Opening(Struct, frozen=True, gc=False):
    """What a user brings along from another system (`account.opening`).

    `confirmed` has (day, amount): available from that day on. `as_of` is the moment of the figures.
    """

    user_id: str
    opening_id: str
    batch: str
    source: str
    as_of: int
    available: int
    confirmed: tuple[tuple[int, int], ...]
    withdrawn: int
    actor: str


class OpeningApproval(Struct, frozen=True, gc=False):
    """Somebody approves an opening (`account.opening.approve`)."""

    user_id: str
    opening_id: str
    reason: str
    actor: str


class Block(Struct, frozen=True, gc=False):
    """Somebody blocks or unblocks a user's withdrawals (`account.block`, `account.unblock`)."""

    user_id: str
    blocked: bool
    reason: str
    actor: str


#: Facts that users and staff send.
MoneyFact = (
    WithdrawalRequest
    | WithdrawalVerdict
    | Resolution
    | AdjustmentProposal
    | AdjustmentVerdict
    | Opening
    | OpeningApproval
    | Block
)


class Decision(Struct, frozen=True, gc=False):
    """The owner's decision of a request (`withdrawal.decided`).

    `reason` is "" when it is accepted; `payout_no` is "" and the four before it are empty when it is refused.
    `available` is the bucket that was seen, `at` the owner's clock.
    """

    user_id: str
    withdrawal_id: str
    request_offset: int
    accepted: bool
    reason: str
    review: bool
    approvals_needed: int
    fee: int
    net: int
    payout_no: str
    rule_version: str
    available: int
    at: int


class PayoutAttempt(Struct, frozen=True, gc=False):
    """The owner is about to send a payout to a payment service (`payout.attempt`).

    `attempt` counts from 1. `channel_identity` is a hash of what would make another service of the channel;
    `export_id` names the export of a manual channel, "" elsewhere. `at` is the signed time of the call.
    """

    user_id: str
    withdrawal_id: str
    attempt: int
    channel: str
    channel_identity: str
    export_id: str
    at: int


class PayoutResult(Struct, frozen=True, gc=False):
    """What a payment service said about a payout (`payout.result`); "" stands for an absent text."""

    user_id: str
    withdrawal_id: str
    attempt: int
    status: ResultStatus
    amount: int
    code: str
    channel_ref: str
    needs_user_url: str
    at: int


#: Facts that only owners write.
PayoutFact = Decision | PayoutAttempt | PayoutResult
