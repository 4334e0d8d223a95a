"""Facts, decoded and checked (docs/spec/facts.md).

Moments are integers: microseconds since 1970-01-01T00:00:00Z. Dates are integers: days since
1970-01-01 in Asia/Shanghai. Amounts are integers in fen. So the folds compare and add integers only, and
need no time zone.
"""

from __future__ import annotations

from msgspec import Struct

from .money_out.facts import MoneyFact

PLATFORM_PATTERN = r"[a-z0-9]{1,16}"
LINE_ID_PATTERN = r"[A-Za-z0-9._-]{1,64}"
SUIT_ID_PATTERN = r"[A-Za-z0-9._-]{1,64}"
USER_ID_PATTERN = r"[A-Za-z0-9._@-]{1,128}"

AMOUNT_FEN_MAX = 10**9
FUTURE_HOURS_MAX = 24
SUITS_MAX = 1_000
EXPECTED_DATES_MAX = 1_000
CLAIMS_MAX = 1_000
PROFILES_MAX = 10_000
REPRICE_LINES_MAX = 1_000
REPRICE_REASON_CHARACTERS_MAX = 256

#: Rank in the version order of snapshots. `unknown` is compared with its like only.
STATUS_RANK = {
    "created": 0,
    "paid": 1,
    "received": 2,
    "settled": 3,
    "punished": 4,
    "closed": 5,
    "superseded": 6,
    "unknown": 7,
}
#: Among facts of one suit with the same `modified_at`, the greater rank holds.
REFUND_RANK = {"open": 0, "restored": 1, "failed": 2, "success": 3}
#: Among punish facts with the same `modified_at`, the greater rank holds.
PUNISH_RANK = {"frozen": 0, "lifted": 1, "confirmed": 2}

#: Members that can make an attribution id, first match first.
ATTRIBUTION_FIELDS = ("special_id", "sub_union_id", "custom_uid", "relation_id", "pid")


class Attribution(Struct, frozen=True, gc=False, omit_defaults=True):
    """Members of a snapshot that attribute the line; null, `""` and `"0"` are no values: None."""

    user_id: str | None = None
    special_id: str | None = None
    sub_union_id: str | None = None
    custom_uid: str | None = None
    relation_id: str | None = None
    pid: str | None = None


class Snapshot(Struct, frozen=True, gc=False):
    """The state of one order line at a network at one moment (`order.snapshot`)."""

    line: str  # "platform:order_line_id", the Kafka key
    modified_at: int
    fetch_seq: int
    status: str
    est_commission: int | None
    settled_commission: int
    service_fee: int
    paid_at: int | None
    settled_at: int | None
    expected_settle: int | None
    attribution: Attribution | None
    display: bytes = b"{}"  # JSON object of the display fields


class Refund(Struct, frozen=True, gc=False):
    """The state of one dispute about a line (`order.refund`)."""

    line: str
    suit_id: str
    status: str
    net_refund: int
    modified_at: int


class Punish(Struct, frozen=True, gc=False):
    """The network freezes, confirms or lifts a punishment of the line (`order.punish`)."""

    line: str
    status: str
    modified_at: int


class Claim(Struct, frozen=True, gc=False):
    """A user claims the line (`order.claim`)."""

    line: str
    user_id: str
    claimed_at: int


OrderFact = Snapshot | Refund | Punish | Claim


class Profile(Struct, frozen=True, gc=False):
    """A user's whole profile from a moment on (`user.profile`); `actor`, who sent it, is for display."""

    user_id: str
    level: str
    inviter_id: str | None
    effective_at: int
    actor: str | None = None


class Bind(Struct, frozen=True, gc=False):
    """An attribution id belongs to a user from this log position on, None unbinds (`attribution.bind`)."""

    attribution_id: str
    user_id: str | None


class Reprice(Struct, frozen=True, gc=False):
    """Price a user's own lines again with the rules and profiles known here (`account.reprice`).

    `lines` None: all. Paid at or after `paid_from` and before `paid_to`; None: no bound. `released`: also
    those whose release day has begun at the record's timestamp.
    """

    user_id: str
    lines: tuple[str, ...] | None
    paid_from: int | None
    paid_to: int | None
    released: bool
    reason: str


UserFact = Profile | Bind | Reprice | MoneyFact
