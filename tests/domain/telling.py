"""What worlds were told: random lives folded in any chunks, and what to ask of the events.

Separate from story.py, because there facts are written by hand, and here what is told is read.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

from msgspec.structs import replace

from agents.telling import Telling
from rebate_app.domain.account import Head
from rebate_app.domain.balance import balance_on
from rebate_app.domain.calendar import DAY_US, day_of
from rebate_app.wire.events import (
    BalanceChanged,
    Buckets,
    Event,
    decode_event,
)
from rebate_app.wire.moments import parse_moment
from tables.accounts import HEAD
from tests.list_lane import ACCOUNTS, TOPICS, ListLane, LogRecord, at_random
from tests.oracle import make_feed, shuffle_with_repeats

from .world import NOW_US, World

PARTITIONS = 2


def balances(events: Iterable[Event]) -> dict[str, list[BalanceChanged]]:
    """Return what was told of balances, by user."""
    found: dict[str, list[BalanceChanged]] = defaultdict(list)
    for event in events:
        if isinstance(event, BalanceChanged):
            found[event.user_id].append(event)
    return found


def right(head: Head, at: str) -> Buckets:
    """Return the buckets of a head at a moment, by the function that answers over HTTP."""
    balance = balance_on(head, day_of(parse_moment(at)))
    return Buckets(balance.estimated, balance.confirmed, balance.held, balance.available, 0, 0, balance.debt)


def lived(seed: int, days: int, chunk_max: int = 30) -> World:
    """Return a world after a random feed, with timestamps of so many days, in chunks of any size."""
    rng = random.Random(seed)
    feed = make_feed(rng, lines=20, users=6)
    world = World(feed.rules, PARTITIONS)
    for document, at_us in feed.users:
        world.lane.send_user(document, at_us)
    for document in shuffle_with_repeats(rng, feed.orders):
        world.lane.send_order(document, NOW_US + rng.randrange(days) * DAY_US)
    world.lane.run(at_random(rng, chunk_max))
    return world


def refolded(world: World, chunk: int, since_ms: int = -1) -> ListLane:
    """Return a lane with the same user log, folded in chunks of that size; what it sends is dropped."""
    lane = ListLane(PARTITIONS, world.rules)
    stage = lane.stages[ACCOUNTS]
    lane.stages[ACCOUNTS] = replace(stage, telling=Telling(since_ms=lambda: since_ms))
    for partition in range(PARTITIONS):
        log = list(world.lane.log(TOPICS.user_log, partition))
        for start in range(0, len(log), chunk):
            lane.logs[TOPICS.user_log, partition] = log[:]
            lane.step(ACCOUNTS, partition, min(chunk, len(log) - start))
    return lane


def heads_by_version(world: World) -> dict[str, dict[int, Head]]:
    """Return every head that the accounts ever had, folding the user log record by record."""
    lane = ListLane(PARTITIONS, world.rules)
    heads: dict[str, dict[int, Head]] = defaultdict(lambda: {0: Head()})
    for partition in range(PARTITIONS):
        store = lane.stores[ACCOUNTS, partition]
        for record in list(world.lane.log(TOPICS.user_log, partition)):
            lane.logs[TOPICS.user_log, partition] = world.lane.log(TOPICS.user_log, partition)[:]
            lane.step(ACCOUNTS, partition, 1)
            user_id = (record.key or b"").decode()
            head = HEAD.read(store, HEAD.key(user_id))
            if head is not None:
                heads[user_id].setdefault(head.version, head)
    return heads


def events_in(lane: ListLane) -> list[Event]:
    """Return what a lane has told, in the order of its partitions."""
    return [decode_event(record.value) for log in lane.told.values() for record in log]


def since(world: World, since_ms: int) -> None:
    """Have the accounts tell of records from that moment on."""
    stage = world.lane.stages[ACCOUNTS]
    world.lane.stages[ACCOUNTS] = replace(stage, telling=Telling(since_ms=lambda: since_ms))


def user_log(world: World, user_id: str) -> list[LogRecord]:
    """Return the log of the user's partition."""
    return world.lane.log(TOPICS.user_log, world.lane.partition_of(user_id))


def at_once(world: World) -> None:
    """Process everything that waits, each partition in one chunk."""
    world.lane.run(lambda works: (works[0], works[0].waiting))


def lines(world: World, user_id: str) -> list[Event]:
    """Return what was told of a user's lines."""
    return [
        event
        for event in events_in(world.lane)
        if event.user_id == user_id and not isinstance(event, BalanceChanged)
    ]


def kinds(world: World, user_id: str) -> list[str]:
    """Return the kinds of what was told of a user's lines."""
    return [str(event.__struct_config__.tag) for event in lines(world, user_id)]
