"""The real feeds: canonical facts, as `POST /v1/orders` would take them, about 560 bytes each.

A fifth of the buyers has one inviter and a twentieth two (bench.domain.profiles), so a line brings
1.3 messages to the user log on average. Order number n of a seed is always the same. `paid` is one event
an order, so every event is a new line; `life` is what networks send: three facts a line, then half as
many repeats.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from bench.domain import USERS, profiles
from bench.orders import DRAWN, SEED, Row

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
    modified = (clock[0] + 2 * step, *clock[1:])
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


def fact_again(number: int, again: int) -> Row:
    """Return what the network says of line `number` when it tells of it for the again-th time.

    Nothing differs but the moment of the modification, so the line's version grows and no money moves.
    """
    row = fact(number, f"u{number % USERS}", 1_000 + number % 977, "paid", "12", 0)
    days, seconds = divmod(again * 60 + number % 60, 86_400)
    moment = b"2026-02-%02dT%02d:%02d:%02d+08:00" % (
        1 + days % 27,
        seconds // 3_600,
        seconds // 60 % 60,
        seconds % 60,
    )
    head, marker, tail = row.value.partition(b'"modified_at":"')
    return Row(row.key, head + marker + moment + tail[len(moment) :], (records_of(f"u{number % USERS}"),))


EVENTS_PER_LINE = 4.5
WINDOW = 500  # lines that are reported at a time


def life(events: int, *, first: int = 0, seed: int = SEED) -> Iterator[Row]:
    """Yield so many events of lines number `first` and following, each in three steps, and repeats.

    The repeats come last, drawn from all rows before them, as networks report last week's orders again.
    """
    rng = random.Random(seed + first)
    lines = max(1, int(events / EVENTS_PER_LINE))
    steps = [list(facts(lines, first=first, step=step)) for step in range(len(STATUSES))]
    count = 0
    for start in range(0, lines, WINDOW):
        for rows in steps:
            part = rows[start : start + WINDOW]
            count += len(part)
            yield from part
    for _ in range(events - count):
        row = rng.choice(steps[rng.randrange(len(steps))])
        yield Row(row.key, row.value, (0,))


POSTINGS = 5


def five(events: int, *, first: int = 0) -> Iterator[Row]:
    """Yield five facts a line, each with another commission, so five postings a line; nobody is invited."""
    lines = events // POSTINGS
    for start in range(first, first + lines, WINDOW):
        for step in range(POSTINGS):
            for number in range(start, min(start + WINDOW, first + lines)):
                user = f"u{number % (USERS // 100) * 100 + 25 + number // 7 % 75}"
                yield fact(number, user, 1_000 + 100 * step, "paid", "12", step)


def records_of(user: str) -> int:
    """Return in how many accounts a new line of that user stands: the buyer's and those of inviters."""
    kind = int(user[1:]) % 100
    return 2 if kind < 20 else 3 if kind < 25 else 1


def people() -> Iterator[Row]:
    """Yield the profiles of buyers and inviters, for the user log."""
    return (Row(key, value) for key, value in profiles())
