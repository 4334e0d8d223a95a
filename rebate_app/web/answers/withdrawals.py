"""Answers and bodies about withdrawals (docs/money-out.md#over-http)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from rebate_app.domain.money_out.deciding import REFUSALS
from rebate_app.domain.money_out.facts import OUTCOMES, RESULT_STATUSES
from rebate_app.domain.money_out.states import STATES
from rebate_app.wire.facts.amount_types import Amount
from rebate_app.wire.facts.text_types import MemoText, NameText, OwnIdText, ShortReasonText

from ..operation import Operation
from .accounts import CURSOR_UNFORESEEN
from .common import Cursor, Fen, Marked, Moment, UserId, one_of
from .money_steps import (
    NO_INTEGER,
    REPEATED_OR_LATER,
    ApprovalItem,
    MoneyBody,
    OptionalReasonBody,
    OwnId,
    ReasonBody,
    money_body,
    verdict,
)

State = Annotated[str, one_of(STATES)]
Attempts = Annotated[int, Meta(ge=1)]


class Payee(Struct, kw_only=True):
    """Who gets the money; account and name masked, null where the payee is forgotten."""

    payee_id: OwnId
    account: str | None
    name: str | None


class AttemptItem(Struct, kw_only=True):
    """An attempt to pay."""

    attempt: Attempts
    at: Moment


class ResultItem(Struct, kw_only=True):
    """What the payment service said last."""

    attempt: Attempts
    status: Annotated[str, one_of(RESULT_STATUSES)]
    amount: Fen
    code: str | None
    channel_ref: str | None
    at: Moment


class ResolutionItem(Struct, kw_only=True):
    """How a stuck withdrawal ended, as one person states it; it counts once another one confirms it."""

    outcome: Annotated[str, one_of(("paid", "failed"))]
    channel_ref: str | None
    actor: str
    at: Moment


class WithdrawalItem(Struct, kw_only=True):
    """A withdrawal; the figures of a decision are null until it is accepted."""

    user_id: UserId
    withdrawal_id: OwnId
    payout_no: Annotated[str | None, Meta(description="the number under which it is paid")]
    amount: Amount
    fee: Fen | None
    net: Fen | None
    channel: OwnId
    payee: Payee
    state: State
    reason: Annotated[str | None, Meta(description="why it is refused, rejected or cancelled")]
    review: bool | None
    approvals_needed: int | None
    approvals: list[ApprovalItem]
    attempts: list[AttemptItem]
    result: ResultItem | None
    resolution: ResolutionItem | None
    needs_user_url: str | None
    requested_at: Moment
    decided_at: Moment | None
    updated_at: Moment
    paid_at: Annotated[Moment | None, Meta(description="when the money left, whatever was said later")]
    returned_at: Annotated[Moment | None, Meta(description="when it came back")]
    rule_version: str | None
    memo: str | None


class WithdrawalOrId(Struct, kw_only=True):
    """The withdrawal; of one that is not folded yet (202) its ids and its state alone."""

    user_id: UserId
    withdrawal_id: OwnId
    state: State | UnsetType = UNSET
    payout_no: str | UnsetType | None = UNSET
    amount: Amount | UnsetType = UNSET
    fee: Fen | UnsetType | None = UNSET
    net: Fen | UnsetType | None = UNSET
    channel: OwnId | UnsetType = UNSET
    payee: Payee | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET
    review: bool | UnsetType | None = UNSET
    approvals_needed: int | UnsetType | None = UNSET
    approvals: list[ApprovalItem] | UnsetType = UNSET
    attempts: list[AttemptItem] | UnsetType = UNSET
    result: ResultItem | UnsetType | None = UNSET
    resolution: ResolutionItem | UnsetType | None = UNSET
    needs_user_url: str | UnsetType | None = UNSET
    requested_at: Moment | UnsetType = UNSET
    decided_at: Moment | UnsetType | None = UNSET
    updated_at: Moment | UnsetType = UNSET
    paid_at: Moment | UnsetType | None = UNSET
    returned_at: Moment | UnsetType | None = UNSET
    rule_version: str | UnsetType | None = UNSET
    memo: str | UnsetType | None = UNSET


class UserWithdrawals(Marked, kw_only=True):
    """A user's withdrawals, newest first."""

    items: list[WithdrawalItem]
    next_cursor: Cursor


class Withdrawals(Struct, kw_only=True):
    """Withdrawals of all users, oldest first."""

    items: list[WithdrawalItem]
    next_cursor: Cursor


class WithdrawalBody(MoneyBody, kw_only=True, forbid_unknown_fields=True):
    """What is withdrawn, and to whom; `Idempotency-Key` stands for an absent `withdrawal_id`."""

    withdrawal_id: OwnIdText
    amount: Amount
    channel: OwnIdText
    payee_id: OwnIdText
    memo: MemoText | None = None


class ResolutionBody(MoneyBody, kw_only=True, forbid_unknown_fields=True):
    """How a stuck withdrawal ended; `channel_ref` with `paid`, and only with it.

    `reason`: needed to resolve as `failed`, where it is the service's written word.
    """

    outcome: Annotated[str, one_of(OUTCOMES)]
    reason: ShortReasonText | None = None
    channel_ref: NameText | None = None


WITHDRAWAL_REQUEST = Operation(
    WithdrawalOrId,
    201,
    headers=("Location?",),
    also=REPEATED_OR_LATER,
    codes=("not-ready", "id-reused", "under-review", "unknown-payee"),
    body=money_body("withdrawal.request", WithdrawalBody, *REFUSALS, "unknown-payee"),
    unforeseen={
        "invalid-amount": NO_INTEGER,
        "id-reused": "ids are unique for the user",
        "unknown-payee": "payees are the user's own",
        **dict.fromkeys(REFUSALS, "rules and account decide"),
    },
)
WITHDRAWALS_OF_USER = Operation(UserWithdrawals, codes=("not-ready",), unforeseen=CURSOR_UNFORESEEN)
WITHDRAWAL = Operation(WithdrawalItem, codes=("not-ready", "unknown-withdrawal"))
ALL_WITHDRAWALS = Operation(Withdrawals, codes=("not-ready",), unforeseen=CURSOR_UNFORESEEN)
_RESOLUTION: Final = dict.fromkeys(
    ("missing-channel_ref", "invalid-channel_ref"), "it is needed with `paid`, and allowed with it alone"
)
_BODIES: Final[dict[str, tuple[Any, dict[str, str]]]] = {
    "approve": (ReasonBody, {}),
    "reject": (ReasonBody, {}),
    "cancel": (OptionalReasonBody, {}),
    "resolve": (ResolutionBody, _RESOLUTION | {"missing-reason": "it is needed with `failed`"}),
    "confirm": (ResolutionBody, _RESOLUTION),
}
WITHDRAWAL_VERDICTS = {
    name: verdict(f"withdrawal.{name}", WithdrawalOrId, "withdrawal", *of) for name, of in _BODIES.items()
}
