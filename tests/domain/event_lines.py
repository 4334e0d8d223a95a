"""Events of random feeds, folded in batches of any size, and readers of them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

from msgspec.structs import replace

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.balance import balance_on
from rebate_app.domain.pricing.calendar import DAY_US, day_of
from rebate_app.streams.event_emission import EventPolicy
from rebate_app.wire.events import BalanceChanged, Buckets, Event, decode_event
from rebate_app.wire.moments import parse_moment
from tables.accounts import HEAD
from tests.domain.world import NOW_US, World
from tests.oracle import make_feed, shuffle_with_repeats
from tests.topology_driver import ACCOUNTS, TOPICS, LogRecord, TopologyDriver, at_random

PARTITIONS = 2


def balances(events: Iterable[Event]) -> dict[str, list[BalanceChanged]]:
    """Return the events of balances, by user."""
    found: dict[str, list[BalanceChanged]] = defaultdict(list)
    for event in events:
        if isinstance(event, BalanceChanged):
            found[event.user_id].append(event)
    return found


def right(head: Head, at: str) -> Buckets:
    """Return the buckets of a head at a moment, by the function that answers over HTTP."""
    balance = balance_on(head, day_of(parse_moment(at)))
    return Buckets(balance.estimated, balance.confirmed, balance.held, balance.available, 0, 0, balance.debt)


def lived(seed: int, days: int, batch_max: int = 30) -> World:
    """Return a world after a random feed, with timestamps of so many days, in batches of any size."""
    rng = random.Random(seed)
    feed = make_feed(rng, lines=20, users=6)
    world = World(feed.rules, PARTITIONS)
    for document, at_us in feed.users:
        world.stream.send_user(document, at_us)
    for document in shuffle_with_repeats(rng, feed.orders):
        world.stream.send_order(document, NOW_US + rng.randrange(days) * DAY_US)
    world.stream.run(at_random(rng, batch_max))
    return world


def refolded(world: World, batch: int, since_ms: int = -1) -> TopologyDriver:
    """Return a stream with the same user log, folded in batches of that size; what it sends is dropped."""
    stream = TopologyDriver(PARTITIONS, world.rules)
    stage = stream.stages[ACCOUNTS]
    stream.stages[ACCOUNTS] = replace(stage, event_policy=EventPolicy(since_ms=lambda: since_ms))
    for partition in range(PARTITIONS):
        log = list(world.stream.log(TOPICS.user_log, partition))
        for start in range(0, len(log), batch):
            stream.logs[TOPICS.user_log, partition] = log[:]
            stream.step(ACCOUNTS, partition, min(batch, len(log) - start))
    return stream


def heads_by_version(world: World) -> dict[str, dict[int, Head]]:
    """Return every head that the accounts ever had, folding the user log record by record."""
    stream = TopologyDriver(PARTITIONS, world.rules)
    heads: dict[str, dict[int, Head]] = defaultdict(lambda: {0: Head()})
    for partition in range(PARTITIONS):
        store = stream.stores[ACCOUNTS, partition]
        for record in list(world.stream.log(TOPICS.user_log, partition)):
            stream.logs[TOPICS.user_log, partition] = world.stream.log(TOPICS.user_log, partition)[:]
            stream.step(ACCOUNTS, partition, 1)
            user_id = (record.key or b"").decode()
            head = HEAD.read(store, HEAD.key(user_id))
            if head is not None:
                heads[user_id].setdefault(head.version, head)
    return heads


def events_in(stream: TopologyDriver) -> list[Event]:
    """Return the events of a stream, in the order of its partitions."""
    return [decode_event(record.value) for log in stream.events.values() for record in log]


def since(world: World, since_ms: int) -> None:
    """Emit events of records from that moment on only."""
    stage = world.stream.stages[ACCOUNTS]
    world.stream.stages[ACCOUNTS] = replace(stage, event_policy=EventPolicy(since_ms=lambda: since_ms))


def user_log(world: World, user_id: str) -> list[LogRecord]:
    """Return the log of the user's partition."""
    return world.stream.log(TOPICS.user_log, world.stream.partition_of(user_id))


def at_once(world: World) -> None:
    """Process everything that waits, each partition in one batch."""
    world.stream.run(lambda works: (works[0], works[0].waiting))


def lines(world: World, user_id: str) -> list[Event]:
    """Return the events of a user's lines."""
    return [
        event
        for event in events_in(world.stream)
        if event.user_id == user_id and not isinstance(event, BalanceChanged)
    ]


def kinds(world: World, user_id: str) -> list[str]:
    """Return the kinds of the events of a user's lines."""
    return [str(event.__struct_config__.tag) for event in lines(world, user_id)]
