"""Answers about order lines."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from rebate_app.domain.facts import REFUND_RANK

from ..enumerations import OWNER_BY, PUNISHMENTS, TIMELINE_KINDS
from ..operation import Operation
from ..resources.share_explanation import SHARE_REASONS
from .common import (
    Away,
    Count,
    Day,
    Depth,
    Fen,
    LineId,
    LineStatus,
    Marked,
    Moment,
    Platform,
    Unavailable,
    UnderReview,
    UserId,
    one_of,
)

Sentence = Annotated[str, Meta(description="one sentence for people")]
Shown = Annotated[Any, Meta(description="as the network's snapshot has it; decides nothing")]


class LineOwner(Struct, kw_only=True):
    """Whose line it is, and what decides it; a user is shown `user_id` only, null where it is not he."""

    user_id: UserId | None
    by: Annotated[str, one_of(OWNER_BY)] | UnsetType = UNSET
    attribution_id: str | UnsetType | None = UNSET


class SnapshotSequence(Struct, kw_only=True):
    """The place of a snapshot in the version order of its line."""

    modified_at: Moment
    fetch_seq: Count


class SnapshotAmounts(Struct, kw_only=True):
    """Commission of the line."""

    est_commission: Fen
    settled_commission: Fen
    service_fee: Fen


class SnapshotTimes(Struct, kw_only=True):
    """What happened when."""

    paid: Moment | None
    settled: Moment | None
    expected_settle: Day | None


class LineSnapshot(Struct, kw_only=True):
    """The snapshot that counts, with its display members."""

    status: LineStatus
    seq: SnapshotSequence
    amounts: SnapshotAmounts
    times: SnapshotTimes
    attribution: Annotated[dict[str, str], Meta(description="not for users")] | UnsetType = UNSET
    parent_order_id: Shown | UnsetType = UNSET
    platform_status: Shown | UnsetType = UNSET
    status_reason: Shown | UnsetType = UNSET
    item: Shown | UnsetType = UNSET
    order_id: Shown | UnsetType = UNSET


class Suit(Struct, kw_only=True):
    """A dispute about the line."""

    suit_id: str
    status: Annotated[str, one_of(REFUND_RANK)]
    net_refund: Annotated[int, Meta(ge=0, description="fen")]
    modified_at: Moment


class Punishment(Struct, kw_only=True):
    """The newest punishment."""

    status: Annotated[str, one_of(PUNISHMENTS)]
    since: Moment


class LineShare(Struct, kw_only=True):
    """One beneficiary's share; only `user_id` and `depth` where it is `unavailable`."""

    user_id: UserId
    depth: Depth
    unavailable: Away | UnsetType = UNSET
    level: str | UnsetType | None = UNSET
    bps: Annotated[int, Meta(ge=0, le=10_000, description="of 10,000")] | UnsetType = UNSET
    estimated: Fen | UnsetType = UNSET
    confirmed: Fen | UnsetType = UNSET
    available: Fen | UnsetType = UNSET
    held: Fen | UnsetType = UNSET
    reason: Annotated[str, one_of(SHARE_REASONS, "why it is 0")] | UnsetType | None = UNSET


class TimelineItem(Struct, kw_only=True):
    """One fact about the line."""

    at: Moment
    modified_at: Annotated[Moment | None, Meta(description="the network's own moment")]
    kind: Annotated[str, one_of(TIMELINE_KINDS)]
    sentence: Sentence = field(name="says")
    actor: Annotated[str | None, Meta(description="who sent the fact; not for users")] | UnsetType = UNSET


class OrderLine(Marked, kw_only=True):
    """One order line, explained; a user sees his own share only, and nothing that names others."""

    platform: Platform
    order_line_id: LineId
    owner: LineOwner
    status: LineStatus | None
    settled_on: Day | None
    release_on: Day | None
    net: Annotated[int, Meta(ge=0, description="fen; what is shared")]
    rule_version: str | None
    snapshot: LineSnapshot | None
    suits: list[Suit]
    punishment: Punishment | None
    shares: list[LineShare]
    platform_share: (
        Annotated[int | None, Meta(description="fen; null while a share is unavailable; not for users")]
        | UnsetType
    ) = UNSET
    visible: Annotated[bool, Meta(description="whether the accounts hold the newest facts")]
    timeline: list[TimelineItem]
    explanation: list[Sentence]
    at: Moment
    under_review: UnderReview | UnsetType = UNSET


class FoundOwner(Struct, kw_only=True):
    """Whose line it is; nulls where it cannot be found out now."""

    user_id: UserId | None
    by: Annotated[str, one_of(OWNER_BY)] | None
    unavailable: Away | UnsetType = UNSET
    attribution_id: str | UnsetType = UNSET


class FoundOrderLine(Struct, kw_only=True):
    """A line that the order number names."""

    platform: Platform
    order_line_id: LineId
    parent_order_id: str | None
    order_id: str | None
    owner: FoundOwner
    status: LineStatus | None
    settled: bool
    paid_at: Moment | None
    net: Fen
    updated_at: Moment | None


class FoundOrderLines(Struct, kw_only=True):
    """Lines by their id or the buyer's order number."""

    items: list[FoundOrderLine]
    more: Annotated[bool, Meta(description="whether there are more than are listed")]
    unavailable: Unavailable
    at: Moment


ORDER_LINE = Operation(OrderLine, codes=("not-ready", "unknown-line"))
ORDER_LINES = Operation(FoundOrderLines, codes=("not-ready", "building"))
