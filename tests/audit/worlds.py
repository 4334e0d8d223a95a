"""Worlds to audit: a random feed in a TopologyDriver, with unusable records among them."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from tests.domain.world import NOW_US, World, us
from tests.oracle import make_feed, shuffle_with_repeats
from tests.topology_driver import TopologyDriver, at_random

AT_US = us(datetime(2026, 3, 1, tzinfo=UTC))
GARBAGE: tuple[tuple[bytes | None, bytes | None], ...] = (
    (b"taobao:L1", b"{"),
    (b"taobao:L1", None),
    (b"u1", b'{"schema":"user-fact/1","kind":"withdrawal.paid"}'),
    (b"u2", b'{"schema":"rebate-internal/1","app":"rebate","format":9,"kind":"line"}'),
    (b"u3", b'{"schema":"rebate-internal/1","app":"others","format":1,"kind":"line"}'),
)


def send_feed(seed: int, lines: int = 60, users: int = 8, partitions: int = 3) -> World:
    """Return a world with all records sent and none processed."""
    rng = random.Random(seed)
    feed = make_feed(rng, lines, users)
    world = World(feed.rules, partitions)
    stream = world.stream
    mixed = [("order", document, NOW_US) for document in shuffle_with_repeats(rng, feed.orders)]
    mixed += [("user", document, at_us) for document, at_us in feed.users]
    rng.shuffle(mixed)
    for number, (kind, document, at_us) in enumerate(mixed):
        if kind == "order":
            stream.send_order(document, at_us)
        else:
            stream.send_user(document, at_us)
        if number % 40 == 0:
            key, value = GARBAGE[number // 40 % len(GARBAGE)]
            topic = rng.choice((stream.topics.orders, stream.topics.user_log))
            stream.send(topic, key or b"", value, at_us)
    return world


def processed(seed: int, lines: int = 60, users: int = 8, partitions: int = 3) -> World:
    """Return a world with all records processed."""
    world = send_feed(seed, lines, users, partitions)
    world.stream.run(random.Random(seed))
    return world


class Stepping:
    """Processes a batch, with some probability, whenever the audit reads anything."""

    def __init__(
        self, stream: TopologyDriver, seed: int, chance: float = 0.5, batch_records_max: int = 9
    ) -> None:
        self._stream = stream
        self._rng = random.Random(seed)
        self._choose = at_random(self._rng, batch_records_max)
        self._chance = chance
        self.steps = 0

    def __call__(self) -> None:
        """Process a batch, perhaps."""
        works = self._stream.waiting()
        if works and self._rng.random() < self._chance:
            work, count = self._choose(works)
            self._stream.step(work.stage, work.partition, count)
            self.steps += 1


def user_of(world: World) -> tuple[str, int]:
    """Return somebody with a line, and the partition."""
    user_id = next(user for user, _ in world.contributions())
    return user_id, world.stream.partition_of(user_id)
