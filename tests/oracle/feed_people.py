"""Random people: profiles over time with inviters, loops and strange levels, and bindings of ids."""

import random
from datetime import datetime, timedelta
from typing import Any

from tests.oracle.feed_clock import midnight_of, random_day, random_moment, spell
from tests.oracle.feed_rules import LEVELS, STRANGE_LEVELS
from tests.oracle.sharing import UserRecord

MICROSECOND = timedelta(microseconds=1)


def make_user_ids(rng: random.Random, users: int) -> list[str]:
    """Return different well-formed user ids in many shapes."""
    shapes = ("u{0}", "1008{0}", "a.b-{0}@shop_x", "U{0}", "{0}_" + "x" * 60)
    return [rng.choice(shapes).format(number) for number in range(1, users + 1)]


def _profile(rng: random.Random, user_id: str, user_ids: list[str], implied: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "schema": "user-fact/1",
        "kind": "user.profile",
        "user_id": user_id,
        "level": rng.choice(LEVELS + LEVELS + STRANGE_LEVELS),
    }
    roll = rng.random()
    if roll < 0.08:
        document["inviter_id"] = user_id  # a self-invite, cut when it is read
    elif roll < 0.75:
        document["inviter_id"] = rng.choice(user_ids)  # loops come by themselves
    elif roll < 0.9:
        document["inviter_id"] = None
    if not implied:
        document["effective_at"] = spell(rng, _effective_at(rng))
    return document


def _effective_at(rng: random.Random) -> datetime:
    if rng.random() < 0.3:
        return midnight_of(random_day(rng))  # likely to be equal to another one's
    return random_moment(rng) - timedelta(days=rng.choice((0, 0, 30)))


def make_people(
    rng: random.Random, user_ids: list[str], attribution_ids: list[str], implied_effective_at: bool
) -> list[UserRecord]:
    """Return profiles and bindings with their log times, in log order."""
    documents: list[dict[str, Any]] = []
    for user_id in user_ids:
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            implied = implied_effective_at and rng.random() < 0.3
            documents.append(_profile(rng, user_id, user_ids, implied))
    for attribution_id in attribution_ids:
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            owner = None if rng.random() < 0.12 else rng.choice(user_ids)
            bind = {"schema": "user-fact/1", "kind": "attribution.bind"}
            documents.append({**bind, "attribution_id": attribution_id, "user_id": owner})
    rng.shuffle(documents)
    start = random_moment(rng)
    times = sorted(start + timedelta(seconds=rng.randrange(60 * 86_400)) for _ in documents)
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return [
        (document, (time - epoch) // MICROSECOND) for document, time in zip(documents, times, strict=True)
    ]
