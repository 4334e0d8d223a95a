"""The facts that the fold understands, already decoded and checked (contracts.md 1 and 2).

Moments are integers: microseconds since 1970-01-01T00:00:00Z. Dates are integers: days since
1970-01-01, meant in Asia/Shanghai. Amounts are integers in fen. So the fold compares and adds
integers only, and nothing in it can be naive about time zones.
"""

from __future__ import annotations

from msgspec import Struct

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

#: Members that can make an attribution id, in the order in which they are asked.
ATTRIBUTION_FIELDS = ("special_id", "sub_union_id", "custom_uid", "relation_id", "pid")


class Attribution(Struct, frozen=True, gc=False, omit_defaults=True):
    """Who a snapshot says the line belongs to; None is no value (null, `""` and `"0"` are none)."""

    user_id: str | None = None
    special_id: str | None = None
    sub_union_id: str | None = None
    custom_uid: str | None = None
    relation_id: str | None = None
    pid: str | None = None


class Snapshot(Struct, frozen=True, gc=False):
    """What a network said about one order line at one moment (`order.snapshot`)."""

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
    show: bytes = b"{}"  # JSON object of members that decide nothing, for people


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
    """A user says that the line is theirs (`order.claim`)."""

    line: str
    user_id: str
    claimed_at: int


OrderFact = Snapshot | Refund | Punish | Claim


class Profile(Struct, frozen=True, gc=False):
    """A user's whole profile from a moment on (`user.profile`)."""

    user_id: str
    level: str
    inviter_id: str | None
    effective_at: int


class Bind(Struct, frozen=True, gc=False):
    """An attribution id belongs to a user from this log position on, None unbinds (`attribution.bind`)."""

    attribution_id: str
    user_id: str | None


UserFact = Profile | Bind
