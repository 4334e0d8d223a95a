"""How many facts an order a source sends: its re-reads played through on its own memory, without a network.

Lines are paid at random moments, received 5 to 10 days later and settled 10 to 20 days after that; a row
stands at the moment of its last change, as networks show it. One account reads them: hot windows, the last 50
minutes, the last 26 hours, and at night the days T-1 to T-85 (rebate_app/sources/scans.py); what its
memory still knows is dropped, the rest is sent. The re-reads of last month by settlement are counted, not
played: three times a month each settled line, all of them forgotten.

    python -m bench.rereads [--orders 300000] [--scale 100]
"""

from __future__ import annotations

import argparse
import json
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from rebate_app.sources.facts import ROWS_REMEMBERED, RowMemory
from rebate_app.sources.scans import (
    DAY_EVERY_SECONDS,
    DAY_SPAN_SECONDS,
    NIGHTLY_DAYS,
    RECENT_EVERY_SECONDS,
    RECENT_SECONDS,
)

DAY_S = 86_400
LAG_S, HOT_EVERY_S, OVERLAP_S, NIGHT_AT_S = 60, 60, 120, 9_000
HISTORY_DAYS = max(NIGHTLY_DAYS) + 35  # settled lines of every day that is read
WARM_DAYS = 2  # before the day that is counted
NEVER = 1 << 60
SETTLEMENT = 3.0


class Shown(Struct, frozen=True):
    """A row's content, from when until when it stands at its moment."""

    at: int
    until: int
    line: int
    step: int


Scan = tuple[int, str, int, int]  # when, which, and the interval that is read


def history(orders_a_day: int, seed: int = 1) -> list[Shown]:
    """Return all that the network shows, by moment."""
    rng, rows = random.Random(seed), []
    for line in range((HISTORY_DAYS + 1) * orders_a_day):
        paid = line // orders_a_day * DAY_S + rng.randrange(DAY_S)
        received = paid + rng.randrange(5 * DAY_S, 10 * DAY_S)
        settled = received + rng.randrange(10 * DAY_S, 20 * DAY_S)
        moments = (paid, received, settled, NEVER)
        rows += [Shown(moments[step], moments[step + 1], line, step) for step in range(3)]
    return sorted(rows, key=lambda row: row.at)


def scans() -> Iterator[Scan]:
    """Yield what is read in the last days, in no order."""
    end = HISTORY_DAYS * DAY_S
    first = end - (1 + WARM_DAYS) * DAY_S
    for now in range(first, end, HOT_EVERY_S):
        yield now, "hot", now - LAG_S - HOT_EVERY_S - OVERLAP_S, now - LAG_S
    for now in range(first, end, RECENT_EVERY_SECONDS):
        yield now, "recent", now - RECENT_SECONDS, now - LAG_S
    for now in range(first, end, DAY_EVERY_SECONDS):
        yield now, "day", now - DAY_SPAN_SECONDS, now - LAG_S
    for night in range(first, end, DAY_S):
        for days in NIGHTLY_DAYS:
            begin = night - days * DAY_S
            yield night + NIGHT_AT_S, "nightly", begin, begin + DAY_S - 1


def sent_an_order(orders_a_day: int, remembered: int = ROWS_REMEMBERED) -> dict[str, float]:
    """Return facts an order that are sent on the last day, by kind of reading."""
    rows = history(orders_a_day)
    moments = [row.at for row in rows]
    memory, sent = RowMemory[tuple[str, str], bytes](remembered), Counter[str]()
    for now, kind, begin, end in sorted(scans()):
        new: dict[tuple[str, str], bytes] = {}
        for row in rows[bisect_left(moments, begin) : bisect_right(moments, end)]:
            key, content = ("rows", str(row.line)), bytes([1 + row.step])
            if row.until > now and memory.get(key) != content:
                new[key] = content
        for key, content in new.items():
            memory.put(key, content)
        if now >= (HISTORY_DAYS - 1) * DAY_S:
            sent[kind] += len(new)
    return {kind: count / orders_a_day for kind, count in sent.items()} | {"settlement": SETTLEMENT}


def main() -> None:
    """Print the facts an order as JSON; orders and memory are both divided by the scale."""
    parser = argparse.ArgumentParser(description="facts an order that a source sends")
    parser.add_argument("--orders", type=int, default=300_000, help="a day, of one account")
    parser.add_argument("--scale", type=int, default=100)
    given = parser.parse_args()
    found = sent_an_order(given.orders // given.scale, ROWS_REMEMBERED // given.scale)
    print(json.dumps(found | {"all": sum(found.values())}))


if __name__ == "__main__":
    main()
