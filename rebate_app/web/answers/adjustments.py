"""Answers and bodies about adjustments, openings and blocks (docs/money-out.md#over-http)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from rebate_app.domain.money_out.facts import CONFIRMED_PARTS_MAX, REASON_CODES
from rebate_app.domain.money_out.money_records import ADJUSTMENT_STATES
from rebate_app.wire.facts.amount_types import NotZero, Signed
from rebate_app.wire.facts.text_types import AsOfText, DayText, NameText, OwnIdText, RefText, ShortReasonText

from ..operation import Operation
from .accounts import CURSOR_UNFORESEEN
from .common import Cursor, Day, Fen, Marked, Moment, UserId, one_of
from .money_steps import (
    AFTER_THE_TIME,
    IN_UTC,
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

AdjustmentState = Annotated[str, one_of(ADJUSTMENT_STATES)]


class VerdictItem(Struct, kw_only=True):
    """Who approved or rejected, when and why."""

    actor: str
    at: Moment
    reason: str


class AdjustmentItem(Struct, kw_only=True):
    """A change of available money."""

    user_id: UserId
    adjustment_id: OwnId
    amount: Signed
    reason_code: Annotated[str, one_of(REASON_CODES)]
    reason: str
    ref: str | None
    state: AdjustmentState
    proposed_by: str
    proposed_at: Moment
    verdict: VerdictItem | None
    updated_at: Moment


class AdjustmentOrId(Struct, kw_only=True):
    """The adjustment; of one that is not folded yet (202) its user alone."""

    user_id: UserId
    adjustment_id: OwnId | UnsetType = UNSET
    amount: Signed | UnsetType = UNSET
    reason_code: Annotated[str, one_of(REASON_CODES)] | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    ref: str | UnsetType | None = UNSET
    state: AdjustmentState | UnsetType = UNSET
    proposed_by: str | UnsetType = UNSET
    proposed_at: Moment | UnsetType = UNSET
    verdict: VerdictItem | UnsetType | None = UNSET
    updated_at: Moment | UnsetType = UNSET


class UserAdjustments(Marked, kw_only=True):
    """A user's adjustments, newest first."""

    items: list[AdjustmentItem]
    next_cursor: Cursor


class Adjustments(Struct, kw_only=True):
    """Adjustments of all users, oldest first."""

    items: list[AdjustmentItem]
    next_cursor: Cursor


class ConfirmedItem(Struct, kw_only=True):
    """Money that is available from a day on."""

    on: Day
    amount: Fen


class OpeningItem(Struct, kw_only=True):
    """What a user brings along."""

    user_id: UserId
    opening_id: OwnId
    batch: OwnId
    source: str
    as_of: Moment
    available: Fen
    confirmed: list[ConfirmedItem]
    withdrawn: Fen
    state: AdjustmentState
    proposed_by: str
    proposed_at: Moment
    approved: ApprovalItem | None


class OpeningOrId(Struct, kw_only=True):
    """The opening; of one that is not folded yet (202) its user alone."""

    user_id: UserId
    opening_id: OwnId | UnsetType = UNSET
    batch: OwnId | UnsetType = UNSET
    source: str | UnsetType = UNSET
    as_of: Moment | UnsetType = UNSET
    available: Fen | UnsetType = UNSET
    confirmed: list[ConfirmedItem] | UnsetType = UNSET
    withdrawn: Fen | UnsetType = UNSET
    state: AdjustmentState | UnsetType = UNSET
    proposed_by: str | UnsetType = UNSET
    proposed_at: Moment | UnsetType = UNSET
    approved: ApprovalItem | UnsetType | None = UNSET


class Openings(Struct, kw_only=True):
    """The openings of a batch, by user."""

    items: list[OpeningItem]
    next_cursor: Cursor


class Blocked(Struct, kw_only=True):
    """Whether the user's withdrawals are blocked; absent while it is not folded yet (202)."""

    user_id: UserId
    blocked: bool | UnsetType = UNSET


class AdjustmentBody(MoneyBody, kw_only=True, forbid_unknown_fields=True):
    """A change of available money, signed."""

    adjustment_id: OwnIdText
    amount: NotZero
    reason_code: Annotated[str, one_of(REASON_CODES)]
    reason: ShortReasonText
    ref: RefText | None = None


class ConfirmedPart(Struct, kw_only=True, forbid_unknown_fields=True):
    """Money that is available from a day on."""

    on: DayText
    amount: Signed


class OpeningBody(MoneyBody, kw_only=True, forbid_unknown_fields=True):
    """What the user brings along."""

    opening_id: OwnIdText
    batch: OwnIdText
    source: NameText
    as_of: AsOfText
    available: Signed
    withdrawn: Signed
    confirmed: Annotated[list[ConfirmedPart], Meta(max_length=CONFIRMED_PARTS_MAX)] | None = None


ADJUSTMENT_PROPOSAL = Operation(
    AdjustmentOrId,
    201,
    headers=("Location?",),
    also=REPEATED_OR_LATER,
    codes=("not-ready", "id-reused"),
    body=money_body("adjustment.propose", AdjustmentBody),
    unforeseen={"invalid-amount": NO_INTEGER, "id-reused": "ids are unique for the user"},
)
ADJUSTMENTS_OF_USER = Operation(UserAdjustments, codes=("not-ready",), unforeseen=CURSOR_UNFORESEEN)
ADJUSTMENT = Operation(AdjustmentItem, codes=("not-ready", "unknown-adjustment"))
ALL_ADJUSTMENTS = Operation(Adjustments, codes=("not-ready",), unforeseen=CURSOR_UNFORESEEN)
ADJUSTMENT_VERDICTS = {
    name: verdict(f"adjustment.{name}", AdjustmentOrId, "adjustment") for name in ("approve", "reject")
}
BLOCKS = {
    name: Operation(
        Blocked,
        headers=("Location?",),
        also={202: AFTER_THE_TIME},
        codes=("not-ready",),
        body=money_body(f"account.{name}", body),
    )
    for name, body in (("block", ReasonBody), ("unblock", OptionalReasonBody))
}
OPENING_PROPOSAL = Operation(
    OpeningOrId,
    201,
    headers=("Location?",),
    also={202: AFTER_THE_TIME},
    codes=("not-ready", "id-reused"),
    body=money_body("account.opening", OpeningBody),
    unforeseen={
        "id-reused": "ids are unique for the user",
        "invalid-as_of": IN_UTC,
        "invalid-confirmed": f"{NO_INTEGER}; {IN_UTC}",
        **dict.fromkeys(("invalid-available", "invalid-withdrawn"), NO_INTEGER),
    },
)
OPENING_APPROVAL = verdict("account.opening.approve", OpeningOrId, "opening")
OPENINGS_OF_BATCH = Operation(Openings, codes=("not-ready",), unforeseen=CURSOR_UNFORESEEN)
