"""Random feeds from a seed: rules, people and order facts, all accepted, and the moments that decide.

Every document is valid under docs/spec/facts.md: a worker has to accept all of them. Amounts are in fen.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tests.oracle.feed_clock import far_moments, midnight_of
from tests.oracle.feed_lines import Document, LinePlot, before_and_after
from tests.oracle.feed_people import make_people, make_user_ids
from tests.oracle.feed_rules import make_rules
from tests.oracle.moments import SHANGHAI, next_month_day
from tests.oracle.sharing import UserRecord

PLATFORMS = ("taobao", "taobao", "taobao", "jd", "jd", "pdd", "pdd", "vip", "k9")
MOMENTS_MAX = 60
# Ties between equal snapshots go to the greater in UTF-8: the emoji there, the full-width tilde in UTF-16.
STRANGE_VALUES = ("\uff5e", "\U0001f600", "a:b", "x/y", "用户1", "u#1", "z" * 128)


@dataclass(frozen=True)
class Feed:
    """One random world: rule files, user facts in log order, order facts, and moments to ask about."""

    rules: list[str]
    users: list[UserRecord]
    orders: list[Document]
    moments: list[datetime]
    user_ids: list[str]
    attribution_ids: list[str]


def make_feed(rng: random.Random, lines: int, users: int, *, implied_effective_at: bool = False) -> Feed:
    """Return a random world with so many lines and users.

    With `implied_effective_at` some profiles leave `effective_at` to the record's own time: only for tests
    that can set that time.
    """
    user_ids = make_user_ids(rng, users)
    values = _attribution_values(user_ids)
    orders: list[Document] = []
    for key in _line_keys(rng, lines):
        orders += LinePlot(rng, key, user_ids, values).facts()
    rng.shuffle(orders)
    attribution_ids = _attribution_ids(orders)
    people = make_people(rng, user_ids, attribution_ids, implied_effective_at)
    return Feed(make_rules(rng), people, orders, _moments(rng, orders), user_ids, attribution_ids)


def shuffle_with_repeats(rng: random.Random, orders: Sequence[Document]) -> list[Document]:
    """Return the same set of facts in another order, with about a third of them once or twice more."""
    result = list(orders)
    for document in orders:
        result += [document] * rng.choice((0, 0, 0, 1, 2))
    rng.shuffle(result)
    return result


def _line_keys(rng: random.Random, lines: int) -> list[tuple[str, str]]:
    keys: dict[tuple[str, str], None] = {}
    while len(keys) < lines:
        number = rng.randrange(lines * 2)  # the same id on two networks is two lines
        order_line_id = rng.choice(("L{0}", "39010000000000{0:05d}", "260105-{0}", "a.b_{0}")).format(number)
        keys[rng.choice(PLATFORMS), order_line_id] = None
    return list(keys)


def _attribution_values(user_ids: list[str]) -> dict[str, list[str]]:
    """Return for each member the values to draw from; few, so that lines meet under one id."""
    strange = list(STRANGE_VALUES)
    return {
        "user_id": user_ids,
        "special_id": ["2880001234", "2880001235", "s-3", *strange[:2]],
        "sub_union_id": [*user_ids, *strange],
        "custom_uid": [*user_ids, *strange],
        "relation_id": ["77", "78", "79"],
        "pid": ["mm_1_2_3", "mm_1_2_4", "8600001_250000001"],
    }


def _attribution_ids(orders: Sequence[Document]) -> list[str]:
    """Return every attribution id that these facts could make, and `platform:none` of each platform."""
    found: set[str] = set()
    for document in orders:
        found.add(f"{document['platform']}:none")
        for member, value in (document.get("attribution") or {}).items():
            if member not in ("user_id", "claimed_user_id") and value not in (None, "", "0"):
                found.add(f"{document['platform']}:{member}:{value}")
    return sorted(found)


def _days(orders: Sequence[Document]) -> set[date]:
    """Return the days that can settle or release a line of these facts."""
    settling: set[date] = set()
    for document in orders:
        times = document.get("times") or {}
        if document.get("status") not in ("received", "settled"):
            continue
        if times.get("expected_settle") is not None:
            settling.add(date.fromisoformat(times["expected_settle"]))
        for text in (times.get("settled"), document["seq"]["modified_at"]):
            if text is not None:
                settling.add(datetime.fromisoformat(text).astimezone(SHANGHAI).date())
    days = set(settling)
    for day in settling:
        days |= {
            day + timedelta(days=1),
            day + timedelta(days=30),
            next_month_day(day, 21),
            day.replace(day=21),
        }
    return days


def _moments(rng: random.Random, orders: Sequence[Document]) -> list[datetime]:
    days = sorted(_days(orders))
    chosen = rng.sample(days, min(len(days), MOMENTS_MAX // 3))
    moments = far_moments()
    for day in sorted(chosen):
        moments += before_and_after(midnight_of(day))
    return moments
