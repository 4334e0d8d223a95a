"""Lives random feeds through the real stages and holds each against the oracle.

It is a program of its own, because hundreds of feeds are work for every processor, and measuring the
coverage of each would double it: `python -m tests.domain.feed_runs FIRST STOP STEP` prints what disagrees.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

from tests.domain.judging import Product
from tests.domain.world import World
from tests.oracle import Feed, Oracle, UserRecord, make_feed, shuffle_with_repeats

LINES = 200
USERS = 12
MOMENTS = 2  # of those that decide; and one after everything
PARTITIONS = (1, 3)
CHUNKS_MAX = (7, 60, 1_000)


def is_profile(record: UserRecord) -> bool:
    """Return whether a user fact is a profile."""
    return str(record[0]["kind"]) == "user.profile"


def live(feed: Feed, rng: random.Random, partitions: int = 3, chunk_max: int = 60) -> World:
    """Let a feed happen: profiles, then facts with repeats and bindings in an order that `rng` chooses."""
    world = World(feed.rules, partitions)
    world.know(filter(is_profile, feed.users))
    binds = [record for record in feed.users if not is_profile(record)]
    world.live(rng, shuffle_with_repeats(rng, feed.orders), binds, chunk_max)
    assert world.stream.dead_letters == []  # a feed holds only what has to be accepted
    return world


def disagreements(seed: int) -> Iterator[str]:
    """Yield everything on which product and oracle disagree about the feed of a seed."""
    rng = random.Random(seed)
    feed = make_feed(rng, LINES, USERS)
    product = Product(live(feed, rng, rng.choice(PARTITIONS), rng.choice(CHUNKS_MAX)))
    oracle = Oracle(feed.orders, feed.users, feed.rules)
    for at in [max(feed.moments), *rng.sample(feed.moments, MOMENTS)]:
        for disagreement in product.disagreements(oracle, at):
            yield f"seed {seed} at {at}: {disagreement}"


def main(first: int, stop: int, step: int) -> int:
    """Print what disagrees, at most a few sentences a seed; return how many seeds it is."""
    wrong = 0
    for seed in range(first, stop, step):
        found = list(disagreements(seed))
        wrong += bool(found)
        for disagreement in found[:5]:
            print(disagreement, flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(*map(int, sys.argv[1:])), 1))
