"""Answers about users: balances, lines, ledger, profiles, lists of users, totals."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from rebate_app.domain.account.ledger import LEDGER_KINDS

from ..enumerations import LEDGER_REASONS
from ..operation import Operation
from .common import (
    Away,
    Count,
    Cursor,
    Day,
    Depth,
    Fen,
    LineId,
    LineStatus,
    Marked,
    Moment,
    Platform,
    Role,
    Unavailable,
    UnderReview,
    UserId,
    matching,
    one_of,
)

CURSOR_UNFORESEEN = {"invalid-cursor": "a cursor is opaque: only one that the list gave can be used"}


class Maturing(Struct, kw_only=True):
    """What becomes available on a day."""

    on: Day
    amount: Fen


class LineCounts(Struct, kw_only=True):
    """Order lines by state."""

    open: Count
    settled: Count
    closed: Count


class Balance(Marked, kw_only=True):
    """A user's money in fen; `available` is signed, `maturing` sums to `confirmed`."""

    user_id: UserId
    currency: Literal["CNY"]
    unit: Literal["fen"]
    estimated: Fen
    confirmed: Fen
    held: Fen
    available: Fen
    frozen: Fen
    withdrawn: Fen
    debt: Annotated[int, Meta(ge=0, description="fen; what `available` is below 0")]
    maturing: list[Maturing]
    lines: Annotated[LineCounts, Meta(description="that this user bought")]
    version: Annotated[int, Meta(ge=0, description="grows with every fact that changes the account")]
    at: Moment
    under_review: UnderReview | UnsetType = UNSET
    blocked: Annotated[bool, Meta(description="only while withdrawals are blocked")] | UnsetType = UNSET


class FoundBalance(Struct, kw_only=True, tag_field="status", tag=200):
    """The balance of one of several users."""

    user_id: UserId
    balance: Balance


class IllFormedUser(Struct, kw_only=True, tag_field="status", tag=400):
    """An id that cannot be a user's."""

    user_id: str
    code: Literal["invalid-user_id"]


class AwayBalance(Struct, kw_only=True, tag_field="status", tag=503):
    """A user whose owner cannot answer for now."""

    user_id: UserId
    code: Literal["not-ready"]


class Balances(Struct, kw_only=True):
    """Balances in the order of the request."""

    items: list[FoundBalance | IllFormedUser | AwayBalance]


class UserLine(Struct, kw_only=True):
    """An order line that is the user's now, and his share of it."""

    platform: Platform
    order_line_id: LineId
    role: Role
    depth: Depth
    status: LineStatus | None
    paid_at: Moment | None
    settled: bool
    estimated: Fen
    confirmed: Fen
    available: Fen
    held: Fen
    release_on: Day | None
    updated_at: Moment
    title: str | None
    parent_order_id: str | None
    unavailable: Away | UnsetType = UNSET


class UserLines(Marked, kw_only=True):
    """A user's lines, newest first."""

    items: list[UserLine]
    next_cursor: Cursor
    at: Moment


class LedgerEntry(Struct, kw_only=True):
    """A signed change of an account; `settled` is confirmed + available."""

    entry_id: str
    at: Moment
    modified_at: Annotated[Moment | None, Meta(description="the network's own moment")]
    effective_on: Annotated[Day | None, Meta(description="null: at once")]
    platform: Annotated[str, Meta(description="empty where no line is concerned")]
    order_line_id: str
    role: Annotated[str, one_of(("buyer", "inviter", ""), "empty where no line is concerned")]
    kind: Annotated[str, one_of(kind.name for kind in LEDGER_KINDS.values())]
    estimated: Fen
    settled: Fen
    held: Fen
    reason: Annotated[str, one_of(LEDGER_REASONS)]
    rule_version: str | None
    frozen: Fen
    withdrawn: Fen
    withdrawal_id: str | UnsetType = UNSET
    adjustment_id: str | UnsetType = UNSET
    opening_id: str | UnsetType = UNSET


class Ledger(Marked, kw_only=True):
    """Every change of an account, newest first."""

    items: list[LedgerEntry]
    next_cursor: Cursor


class Profile(Marked, kw_only=True):
    """The profile in force; defaults for a user without one."""

    user_id: UserId
    level: str | None
    inviter_id: UserId | None
    effective_at: Moment | None
    actor: Annotated[str | None, Meta(description="who sent the profile; not for users")] | UnsetType = UNSET
    at: Moment
    under_review: UnderReview | UnsetType = UNSET


class User(Struct, kw_only=True):
    """One user."""

    user_id: UserId


class Users(Struct, kw_only=True):
    """Users with a line, a share or a profile."""

    items: list[User]
    next_cursor: Cursor


class Invitee(Struct, kw_only=True):
    """Somebody whose profile in force names the user as inviter."""

    user_id: UserId
    level: str | None


class Invitees(Struct, kw_only=True):
    """Invitees of a user."""

    items: list[Invitee]
    next_cursor: Cursor


class PlatformTotals(Struct, kw_only=True):
    """Shares of one network's lines."""

    estimated: Fen
    confirmed: Fen
    held: Fen
    available: Fen


class PartitionAsOf(Struct, kw_only=True):
    """Up to where one partition's part of the answer holds."""

    partition: Count
    offset: Annotated[int, Meta(ge=-1)]
    lag: Count


class Totals(Struct, kw_only=True):
    """What is owed to all users on a day."""

    currency: Literal["CNY"]
    unit: Literal["fen"]
    users: Count
    lines: LineCounts
    estimated: Fen
    confirmed: Fen
    held: Fen
    available: Fen
    frozen: Fen
    withdrawn: Fen
    debt: Fen
    suspense: Fen
    adjustments: Fen
    openings: Fen
    platforms: dict[str, PlatformTotals]
    maturing: list[Maturing]
    as_of: list[PartitionAsOf]
    unavailable: Unavailable
    at: Moment


class Attribution(Marked, kw_only=True):
    """An attribution id, and to whom it is bound; zeros when it was never seen."""

    attribution_id: str
    user_id: UserId | None
    lines: Count
    net: Fen
    version: Count
    at: Moment
    under_review: UnderReview | UnsetType = UNSET


class UnboundAttribution(Struct, kw_only=True):
    """An id whose lines belong to nobody."""

    attribution_id: str
    lines: Count
    net: Fen


class UnboundAttributions(Struct, kw_only=True):
    """Suspense."""

    items: list[UnboundAttribution]
    next_cursor: Cursor
    at: Moment


class Me(Struct, kw_only=True):
    """Who the caller is, and what he may do."""

    kind: Annotated[str, one_of(("anonymous", "key", "user"))]
    actor: Annotated[str, matching("(anonymous|(key|user):.+)", "as facts and the audit trail carry it")]
    id: str | None
    name: str | None
    user_id: UserId | None
    scopes: list[str]
    may: list[str]
    authentication: Annotated[str, one_of(("on", "off"))]


_OWNED = ("not-ready",)
_INDEXED = ("not-ready", "building")

BALANCE = Operation(
    Balance, headers=("ETag",), also={304: "`If-None-Match` names this balance"}, codes=_OWNED
)
BALANCES = Operation(Balances)
LINES = Operation(UserLines, codes=_OWNED, unforeseen=CURSOR_UNFORESEEN)
LEDGER = Operation(Ledger, codes=_OWNED, unforeseen=CURSOR_UNFORESEEN)
PROFILE = Operation(Profile, codes=_OWNED)
USERS = Operation(Users, codes=_OWNED, unforeseen=CURSOR_UNFORESEEN)
INVITEES = Operation(Invitees, codes=_INDEXED, unforeseen=CURSOR_UNFORESEEN)
TOTALS = Operation(Totals, codes=_INDEXED)
ATTRIBUTION = Operation(Attribution, codes=_OWNED)
ATTRIBUTIONS = Operation(UnboundAttributions, codes=_OWNED, unforeseen=CURSOR_UNFORESEEN)
ME = Operation(Me)
