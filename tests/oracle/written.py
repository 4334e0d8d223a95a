"""Facts written by hand, short enough to read in a test; times without offset are Beijing time."""

from datetime import datetime
from typing import Any

from tests.oracle.oracle import Oracle
from tests.oracle.sharing import UserRecord

Document = dict[str, Any]
PAID = "2026-01-03 20:13:51"
RULES = """
schema = "rebate-rules/1"
version = "r1"
effective_from = 2026-01-01T00:00:00+08:00
[[level]]
id = "basic"
share_bps = { default = 6500 }
[[level]]
id = "vip"
share_bps = { default = 8000, jd = 5000 }
[inviter]
max_levels = 1
base = "net_commission"
[[inviter.level]]
depth = 1
bps = { basic = 1000, vip = 500 }
"""
MORE_PAYOUT = "[money]\nmax_payout_bps = 9300\n[inviter]"  # 8000 + 1000 + 300
TWO_LEVELS = f"""{RULES.replace("max_levels = 1", "max_levels = 2").replace("[inviter]", MORE_PAYOUT)}
[[inviter.level]]
depth = 2
bps = {{ basic = 300 }}
"""


def moment(text: str) -> datetime:
    """Return the moment of a day, of a naive Beijing time, or of a text with offset."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else datetime.fromisoformat(f"{found.isoformat()}+08:00")


def _text(text: str) -> str:
    return moment(text).isoformat()


def _fact(kind: str, line: str, **members: Any) -> Document:
    platform, order_line_id = line.split(":")
    return {
        "schema": "order-event/1",
        "kind": kind,
        "platform": platform,
        "order_line_id": order_line_id,
        **members,
    }


def snapshot(
    status: str,
    modified: str,
    est: int | None = None,
    settled: int | None = None,
    fee: int | None = None,
    *,
    line: str = "taobao:1",
    paid: str | None = PAID,
    settled_at: str | None = None,
    expected: str | None = None,
    fetch: int | None = None,
    user: str | None = "u1",
    **attribution: str | None,
) -> Document:
    """Write an `order.snapshot` that names u1 if nothing else is said."""
    return _fact(
        "order.snapshot",
        line,
        seq={"modified_at": _text(modified), "fetch_seq": fetch},
        status=status,
        currency="CNY",
        amounts={"est_commission": est, "settled_commission": settled, "service_fee": fee},
        times={
            "paid": paid and _text(paid),
            "settled": settled_at and _text(settled_at),
            "expected_settle": expected,
        },
        attribution={"user_id": user, **attribution},
    )


def refund(status: str, modified: str, fen: int, suit: str = "s1", *, line: str = "taobao:1") -> Document:
    """Write an `order.refund`."""
    members = {"suit_id": suit, "refund_status": status, "net_refund": fen, "modified_at": _text(modified)}
    return _fact("order.refund", line, **members)


def punish(status: str, modified: str, *, line: str = "taobao:1") -> Document:
    """Write an `order.punish`."""
    return _fact("order.punish", line, punish_status=status, modified_at=_text(modified))


def claim(user_id: str, claimed_at: str, *, line: str = "taobao:1") -> Document:
    """Write an `order.claim`."""
    return _fact("order.claim", line, user_id=user_id, claimed_at=_text(claimed_at))


def profile(
    user_id: str,
    level: str = "basic",
    inviter: str | None = None,
    since: str | None = "2025-01-01",
    logged: str = "2026-01-01",
) -> UserRecord:
    """Write a `user.profile` with the time of its record."""
    document = {
        "schema": "user-fact/1",
        "kind": "user.profile",
        "user_id": user_id,
        "level": level,
        "inviter_id": inviter,
        "effective_at": since and _text(since),
    }
    return document, round(moment(logged).timestamp() * 1_000_000)


def bind(attribution_id: str, user_id: str | None) -> UserRecord:
    """Write an `attribution.bind`."""
    document = {
        "schema": "user-fact/1",
        "kind": "attribution.bind",
        "attribution_id": attribution_id,
        "user_id": user_id,
    }
    return document, 0


def reprice(
    user_id: str,
    *,
    lines: list[str] | None = None,
    paid_from: str | None = None,
    paid_to: str | None = None,
    released: bool = False,
    logged: str = "2026-07-01",
) -> UserRecord:
    """Write an `account.reprice` with the time of its record."""
    document = {
        "schema": "user-fact/1",
        "kind": "account.reprice",
        "user_id": user_id,
        "lines": lines,
        "paid_from": paid_from and _text(paid_from),
        "paid_to": paid_to and _text(paid_to),
        "released": released,
        "reason": "profiles came late",
    }
    return document, round(moment(logged).timestamp() * 1_000_000)


INVITED = [profile("u1", "basic", "boss"), profile("boss", "basic")]


def balance(oracle: Oracle, user_id: str, at: str) -> Document:
    """Return the balance of a user at a moment."""
    return oracle.balance(user_id, moment(at))


def money(oracle: Oracle, user_id: str, at: str) -> tuple[int, int, int, int]:
    """Return estimated, confirmed, held, available of a user."""
    found = balance(oracle, user_id, at)
    return found["estimated"], found["confirmed"], found["held"], found["available"]


def one_line(oracle: Oracle, at: str, line: str = "taobao:1") -> Document:
    """Return one line at a moment."""
    platform, order_line_id = line.split(":")
    return oracle.line(platform, order_line_id, moment(at))
