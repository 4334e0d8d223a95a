"""The toy feed: orders as JSON of about 450 bytes and 15 fields, one event an order, the same for everybody.

Order number n of a seed is always the same, so that what every contender has to come to is known
without asking any of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from msgspec import Struct

SEED = 20_260_102
USERS = 5_000
PARTITIONS = 4
DRAWN = 8_192  # figures that are drawn once and used in turn: drawing must not hold the feed up

_TEMPLATE = (
    b'{"platform":"taobao","order_line_id":"%019d","user_id":"user-%06d","version":%d,"status":"paid",'
    b'"gross":%d,"commission":%d,"quantity":%d,"paid_at":"2026-01-01T%02d:%02d:%02d+08:00",'
    b'"modified_at":"2026-01-01T23:59:59+08:00","shop_id":"%010d","shop_title":"\xe8\xbf\x90\xe5\x8a\xa8'
    b'\xe6\x97\x97\xe8\x88\xb0\xe5\xba\x97 %06d","item_id":"n8XQv0kA-%010d","item_title":"'
    b"\xe8\xbd\xbb\xe9\x87\x8f\xe8\xb7\x91\xe9\x9e\x8b \xe7\x94\xb7\xe6\xac\xbe \xe9\x80\x8f\xe6\xb0\x94"
    b'\xe7\xbc\x93\xe9\x9c\x87 2026","pid":"mm_118800001_2200000001_%013d"}'
)


class Row(Struct, frozen=True, gc=False):
    """One record of `order_topic`, and by how much it raises what is counted at the end (bench.watch)."""

    key: bytes
    value: bytes
    raises: tuple[int, ...] = ()


def rebate_of(commission: int) -> int:
    """Return the toy's share of a commission, in fen, rounded down."""
    return commission * 4_400 // 10_000


def orders(
    count: int, *, first: int = 0, seed: int = SEED, users: int = USERS, version: int = 1
) -> Iterator[Row]:
    """Yield orders number `first` and following; users are spread evenly, in an order that is drawn."""
    rng = random.Random(seed)
    drawn = [(rng.randrange(users), rng.randrange(1_000, 50_000), rng.randrange(100)) for _ in range(DRAWN)]
    for number in range(first, first + count):
        user, gross, shop = drawn[number % DRAWN]
        user = (user + number // DRAWN) % users
        commission = gross // 10 + version
        value = _TEMPLATE % (
            number,
            user,
            version,
            gross,
            commission,
            1 + shop % 3,
            number // 3_600 % 24,
            number // 60 % 60,
            number % 60,
            shop,
            shop,
            number % 10_000,
            shop,
        )
        yield Row(b"taobao:%019d" % number, value, (1, 1, rebate_of(commission)))


#: How a user of a probe is called; no other user is.
PROBE = "probe-"
_PROBED_FROM = 900_000_000


def probe(number: int) -> tuple[str, Row]:
    """Return a user who has no other order, and the order."""
    user = f"{PROBE}{number:06d}"
    row = next(orders(1, first=_PROBED_FROM + number))
    before, name, after = row.value.partition(b'"user_id":"')
    return user, Row(row.key, before + name + user.encode() + after[after.index(b'"') :], row.raises)
