"""Records of every kind that cannot be used: one maker per reason code, for both sources."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

Document = dict[str, Any]
DAY_MS = 86_400_000


class Poison(Struct, frozen=True):
    """A record that is refused, and for which reason; `age_ms`: how old its own timestamp is."""

    source: str  # "orders" or "user_log"
    reason: str
    key: bytes | None
    value: bytes | None
    age_ms: int = 0


def order(line: str, user: str = "u1", est: int = 1_000, **members: Any) -> Document:
    """Return a paid snapshot of a line."""
    platform, _, order_line_id = line.partition(":")
    return {
        "schema": "order-event/1",
        "kind": "order.snapshot",
        "platform": platform,
        "order_line_id": order_line_id,
        "seq": {"modified_at": "2026-01-03T12:00:00+08:00"},
        "status": "paid",
        "currency": "CNY",
        "amounts": {"est_commission": est, "service_fee": 0},
        "times": {"paid": "2026-01-03T11:00:00+08:00"},
        "attribution": {"user_id": user},
    } | members


def profile(user: str, **members: Any) -> Document:
    """Return a profile."""
    return {"schema": "user-fact/1", "kind": "user.profile", "user_id": user, "level": "basic"} | members


def raw(document: Document) -> bytes:
    """Return a document as it is sent."""
    return json.dumps(document).encode()


def iso(ms: int) -> str:
    """Return a moment in ms as RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1_000))


def on_orders(line: str) -> Iterator[Poison]:
    """Yield poison for `order_topic` under the key of a line, one for each way to be refused."""
    key, good = line.encode(), order(line)

    def bad(reason: str, value: bytes | None, at: bytes | None = key, age_ms: int = 0) -> Poison:
        return Poison("orders", reason, at, value, age_ms)

    yield bad("undecodable", None)
    yield bad("undecodable", b'{"schema":')
    yield bad("undecodable", b"\xff\xfe")
    yield bad("undecodable", raw(good), b"\xff\xfe")
    yield bad("unknown-schema", raw(good | {"schema": "order-event/9"}))
    yield bad("unknown-kind", raw(good | {"kind": "order.wish"}))
    yield bad("key-mismatch", raw(good), b"taobao:other")
    yield bad("missing-schema", raw({"kind": "order.snapshot"}))
    yield bad("missing-status", raw({name: good[name] for name in good if name != "status"}))
    yield bad("missing-times.paid", raw(good | {"times": {}}))
    yield bad("invalid-status", raw(good | {"status": "lost"}))
    yield bad("invalid-amounts.est_commission", raw(good | {"amounts": {"est_commission": 17.5}}))
    yield bad("invalid-seq.modified_at", raw(good | {"seq": {"modified_at": "yesterday"}}))
    now_ms = time.time_ns() // 1_000_000
    # Refused by its own clock; the time that it names has come meanwhile, so a replay mends it.
    early = good | {"seq": {"modified_at": iso(now_ms - 2 * DAY_MS)}, "amounts": {"est_commission": 3_000}}
    yield bad("implausible-time", raw(early), age_ms=30 * DAY_MS)


def on_user_log(user: str) -> Iterator[Poison]:
    """Yield poison for the user log under the key of a user."""
    key, good = user.encode(), profile(user)

    def bad(reason: str, value: bytes | None, at: bytes | None = key) -> Poison:
        return Poison("user_log", reason, at, value)

    yield bad("undecodable", None)
    yield bad("key-mismatch", raw(good), None)
    yield bad("undecodable", b'{"schema":"rebate-internal/1","app":"rebate","format":9,"kind":"line"}')
    yield bad("unknown-schema", raw(good | {"schema": "user-fact/2"}))
    yield bad("unknown-kind", raw(good | {"kind": "withdrawal.requested"}))
    yield bad("key-mismatch", raw(good), b"somebody.else")
    yield bad("missing-level", raw({name: good[name] for name in good if name != "level"}))
    yield bad("invalid-effective_at", raw(good | {"effective_at": "2026-01-01"}))


def limit_of_suits(line: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield one dispute more than a line keeps."""
    platform, _, order_line_id = line.partition(":")
    for number in range(1_001):
        document = {
            "schema": "order-event/1",
            "kind": "order.refund",
            "platform": platform,
            "order_line_id": order_line_id,
            "suit_id": f"s{number}",
            "refund_status": "failed",
            "net_refund": 0,
            "modified_at": "2026-01-04T00:00:00Z",
        }
        yield line.encode(), raw(document)
