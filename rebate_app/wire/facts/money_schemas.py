"""The JSON Schema types of user facts about money out (see schemas.py and money.py)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rebate_app.domain.money_out.facts import CONFIRMED_PARTS_MAX

from .amount_types import Amount, NotZero, Signed
from .text_types import (
    ActorText,
    AsOfText,
    DayText,
    MemoText,
    NameText,
    OwnIdText,
    RefText,
    ShortReasonText,
    UserIdText,
)

_Shown = Annotated[Any, Meta(description="under which request it was sent")]
_ReasonCode = Literal["restore", "reconciliation", "payout-recovery", "goodwill", "write-off", "other"]


class _MoneyFact(Struct, tag_field="kind", kw_only=True):
    schema: Literal["user-fact/1"]
    user_id: UserIdText
    actor: ActorText
    request_id: _Shown = None


class _WithdrawalRequest(_MoneyFact, tag="withdrawal.request"):
    """The user wants money out; the owner of the account decides."""

    withdrawal_id: OwnIdText
    amount: Amount
    channel: OwnIdText
    payee_id: OwnIdText
    memo: MemoText | None = None


class _WithdrawalVerdict(_MoneyFact):
    withdrawal_id: OwnIdText
    reason: ShortReasonText


class _WithdrawalApprove(_WithdrawalVerdict, tag="withdrawal.approve"):
    """Another actor than the one who requested it approves a withdrawal in review."""


class _WithdrawalReject(_WithdrawalVerdict, tag="withdrawal.reject"):
    """A withdrawal is not paid; its money is available again."""


class _WithdrawalCancel(_WithdrawalVerdict, tag="withdrawal.cancel"):
    """A withdrawal is taken back while no payout was attempted."""


class _Resolution(_MoneyFact):
    withdrawal_id: OwnIdText
    outcome: Literal["paid", "failed"]
    reason: ShortReasonText
    channel_ref: NameText | None = None


class _WithdrawalResolve(_Resolution, tag="withdrawal.resolve"):
    """Somebody says how a stuck withdrawal ended; `channel_ref` with `paid` only."""


class _WithdrawalConfirm(_Resolution, tag="withdrawal.confirm"):
    """Another actor confirms the newest resolution, with the same outcome and reference."""


class _AdjustmentPropose(_MoneyFact, tag="adjustment.propose"):
    """A change of available money; it counts once another actor approves it."""

    adjustment_id: OwnIdText
    amount: NotZero
    reason_code: _ReasonCode
    reason: ShortReasonText
    ref: RefText | None = None


class _AdjustmentVerdict(_MoneyFact):
    adjustment_id: OwnIdText
    reason: ShortReasonText


class _AdjustmentApprove(_AdjustmentVerdict, tag="adjustment.approve"):
    """Another actor than the one who proposed it approves an adjustment."""


class _AdjustmentReject(_AdjustmentVerdict, tag="adjustment.reject"):
    """An adjustment is not booked."""


class _ConfirmedPart(Struct, forbid_unknown_fields=True):
    """Money that is confirmed until a day, and available from it on."""

    on: DayText
    amount: Signed


class _Opening(_MoneyFact, tag="account.opening"):
    """What a user brings along from another system; it counts once another actor approves it."""

    opening_id: OwnIdText
    batch: OwnIdText
    source: NameText
    as_of: AsOfText
    available: Signed
    withdrawn: Signed
    confirmed: Annotated[list[_ConfirmedPart], Meta(max_length=CONFIRMED_PARTS_MAX)] | None = None


class _OpeningApprove(_MoneyFact, tag="account.opening.approve"):
    """Another actor than the one who brought it approves an opening."""

    opening_id: OwnIdText
    reason: ShortReasonText


class _Block(_MoneyFact, tag="account.block"):
    """The user's withdrawals are refused from here on, and approved ones wait."""

    reason: ShortReasonText


class _Unblock(_MoneyFact, tag="account.unblock"):
    """The block ends."""

    reason: ShortReasonText


MONEY_TYPES = (
    _WithdrawalRequest
    | _WithdrawalApprove
    | _WithdrawalReject
    | _WithdrawalCancel
    | _WithdrawalResolve
    | _WithdrawalConfirm
    | _AdjustmentPropose
    | _AdjustmentApprove
    | _AdjustmentReject
    | _Opening
    | _OpeningApprove
    | _Block
    | _Unblock
)

#: By definition: `channel_ref` belongs to the outcome `paid`, and is needed with it.
RESOLUTIONS = ("WithdrawalResolve", "WithdrawalConfirm")
REFERENCE_OF_PAID = {
    "if": {"properties": {"outcome": {"const": "paid"}}},
    "then": {"required": ["channel_ref"], "properties": {"channel_ref": {"type": "string"}}},
    "else": {"properties": {"channel_ref": {"type": "null"}}},
}
