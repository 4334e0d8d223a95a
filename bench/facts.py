"""The real feed: canonical facts of paid orders, one event an order, as `POST /v1/orders` would take them.

Law: a fifth of the buyers has one inviter and a twentieth two (bench.domain.profiles), so an order brings
1.3 messages to the user log on average. Order number n of a seed is always the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from .domain import USERS, profiles
from .orders import DRAWN, SEED, Row

STATUSES = (("paid", "12"), ("received", "14"), ("settled", "3"))

_TEMPLATE = (
    b'{"schema":"order-event/1","kind":"order.snapshot","platform":"taobao","order_line_id":"%019d",'
    b'"seq":{"modified_at":"2026-01-%02dT%02d:%02d:%02d+08:00","fetch_seq":%d},"status":"%s",'
    b'"platform_status":"%s","attribution":{"user_id":"%s"},"currency":"CNY","amounts":{'
    b'"est_commission":%d,"settled_commission":%d,"service_fee":%d},"times":{'
    b'"paid":"2026-01-%02dT%02d:%02d:%02d+08:00","settled":%s},'
    b'"item":{"id":"n8XQv0-%06d","title":"\xe8\xbd\xbb\xe9\x87\x8f\xe8\xb7\x91\xe9\x9e\x8b \xe7\x94\xb7'
    b'\xe6\xac\xbe"}}'
)


def facts(
    count: int, *, first: int = 0, seed: int = SEED, users: int = USERS, step: int = 0
) -> Iterator[Row]:
    """Yield the facts of orders number `first` and following; `step` 0 paid, 1 received, 2 settled."""
    rng = random.Random(seed)
    drawn = [(rng.randrange(users), rng.randrange(100, 5_000)) for _ in range(DRAWN)]
    status, code = STATUSES[step]
    for number in range(first, first + count):
        user, commission = drawn[number % DRAWN]
        user = (user + number // DRAWN) % users
        yield fact(number, f"u{user}", commission, status, code, step)


def fact(number: int, user: str, commission: int, status: str, code: str, step: int) -> Row:
    """Return one fact; it raises the number of records of lines."""
    clock = (1 + number // 86_400 % 20, number // 3_600 % 24, number // 60 % 60, number % 60)
    modified = (clock[0] + 4 * step, *clock[1:])
    settled = status == "settled"
    value = _TEMPLATE % (
        number,
        *modified,
        900_000 + number,
        status.encode(),
        code.encode(),
        user.encode(),
        commission,
        commission - 90 if settled else 0,
        commission // 10,
        *clock,
        b'"2026-01-%02dT%02d:%02d:%02d+08:00"' % modified if settled else b"null",
        number % 10_000,
    )
    return Row(b"taobao:%019d" % number, value, (records_of(user) if step == 0 else 0,))


def records_of(user: str) -> int:
    """Return in how many accounts a new line of that user stands: the buyer's and those of inviters."""
    kind = int(user[1:]) % 100
    return 2 if kind < 20 else 3 if kind < 25 else 1


def people() -> Iterator[Row]:
    """Yield the profiles of buyers and inviters, for the user log."""
    return (Row(key, value) for key, value in profiles())
