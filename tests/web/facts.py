"""Facts as clients send them, and the worked example TB-A step by step.

See docs/spec/money.md#worked-example.
"""

from __future__ import annotations

from typing import Any

from rebate_app.domain.pricing.rules import BASE_NET, Level, RuleBook, RuleVersion
from rebate_app.wire.moments import parse_moment

Document = dict[str, Any]

LINE_ID = "3901000000000000011"
LINE = f"taobao:{LINE_ID}"
BUYER, INVITER, GRAND = "u1", "u2", "u3"
PAID_AT = "2026-01-03T20:13:51+08:00"
RULES_FROM = "2026-01-01T00:00:00+08:00"


def us(text: str) -> int:
    """Return a moment in µs."""
    return parse_moment(text)


def rules(base: str = BASE_NET, levels: int = 1, **members: Any) -> RuleBook:
    """Return the rules of the worked example: share 6500, inviter 1000 (and 500 at depth 2)."""
    version = RuleVersion(
        "2026-01",
        us(RULES_FROM),
        (Level("basic", 6_500), Level("vip", 7_000, {"jd": 5_000})),
        inviter_max_levels=levels,
        inviter_base=base,
        inviter_bps={1: {"basic": 1_000}, 2: {"basic": 500}},
        **members,
    )
    return RuleBook.of(version)


def snapshot(
    status: str,
    modified_at: str,
    *,
    line_id: str = LINE_ID,
    platform: str = "taobao",
    est: int = 1_791,
    settled: int = 0,
    fee: int = 179,
    attribution: Document | None = None,
    **members: Any,
) -> Document:
    """Return an `order.snapshot`; amounts in fen."""
    times = {"paid": PAID_AT, **members.pop("times", {})}
    return {
        "schema": "order-event/1",
        "kind": "order.snapshot",
        "platform": platform,
        "order_line_id": line_id,
        "seq": {"modified_at": modified_at},
        "status": status,
        "currency": "CNY",
        "amounts": {"est_commission": est, "settled_commission": settled, "service_fee": fee},
        "times": times,
        "attribution": {"user_id": BUYER} if attribution is None else attribution,
        **members,
    }


def paid(**members: Any) -> Document:
    """Return TB-A's first snapshot."""
    return snapshot("paid", "2026-01-03T20:14:05+08:00", **members)


def received(**members: Any) -> Document:
    """Return TB-A's second snapshot."""
    return snapshot("received", "2026-01-09T09:02:11+08:00", **members)


def settled(**members: Any) -> Document:
    """Return TB-A's settlement."""
    times = {"settled": "2026-01-10T03:21:00+08:00"}
    given: dict[str, Any] = {"settled": 1_701, "fee": 170, "times": times} | members
    return snapshot("settled", "2026-01-10T03:22:40+08:00", **given)


def refund(status: str, modified_at: str, net_refund: int = 510, suit_id: str = "90000000001") -> Document:
    """Return an `order.refund` of TB-A."""
    return {
        "schema": "order-event/1",
        "kind": "order.refund",
        "platform": "taobao",
        "order_line_id": LINE_ID,
        "suit_id": suit_id,
        "refund_status": status,
        "net_refund": net_refund,
        "modified_at": modified_at,
    }


def punish(status: str, modified_at: str) -> Document:
    """Return an `order.punish` of TB-A."""
    return {
        "schema": "order-event/1",
        "kind": "order.punish",
        "platform": "taobao",
        "order_line_id": LINE_ID,
        "punish_status": status,
        "modified_at": modified_at,
    }


def claim(user_id: str, claimed_at: str, line_id: str = LINE_ID) -> Document:
    """Return an `order.claim`."""
    return {
        "schema": "order-event/1",
        "kind": "order.claim",
        "platform": "taobao",
        "order_line_id": line_id,
        "user_id": user_id,
        "claimed_at": claimed_at,
    }


DISPUTED = refund("open", "2026-01-20T16:40:12+08:00")
REFUNDED = refund("success", "2026-01-23T11:05:03+08:00")


def profile(user_id: str, inviter_id: str | None = None, level: str = "basic") -> Document:
    """Return a `user.profile` in force from the beginning."""
    return {
        "schema": "user-fact/1",
        "kind": "user.profile",
        "user_id": user_id,
        "level": level,
        "inviter_id": inviter_id,
        "effective_at": RULES_FROM,
    }


def bind(attribution_id: str, user_id: str | None) -> Document:
    """Return an `attribution.bind`."""
    return {
        "schema": "user-fact/1",
        "kind": "attribution.bind",
        "attribution_id": attribution_id,
        "user_id": user_id,
    }
