"""Whole worlds with clients of both partitioners: the oracle's balances, and an audit without findings."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from rebate_app.audit.findings import LOST_MESSAGE
from rebate_app.wire.failure_headers import REROUTED_FROM
from tests.audit.list_logs import ListLogs, audit, only
from tests.domain.feed_runs import is_profile
from tests.domain.judging import Product
from tests.domain.world import NOW_US, World
from tests.oracle import Feed, Oracle, make_feed, shuffle_with_repeats
from tests.streams.failures.misplacing import MisplacingDriver, NoRerouter, guard
from tests.topology_driver import ACCOUNTS, LogRecord, PendingWork

PARTITIONS = 3


class MisplacedWorld(World):
    """A world into which both kinds of clients send."""

    stream: MisplacingDriver

    def __init__(self, feed: Feed, app: str = "rebate") -> None:
        super().__init__(feed.rules, PARTITIONS)
        self.stream = MisplacingDriver(PARTITIONS, self.rules, app=app)

    def beside(self, other: MisplacedWorld) -> MisplacedWorld:
        """Read the same logs as another app of the same topic prefix does."""
        self.stream.logs = other.stream.logs
        return self


def lived(seed: int, lines: int = 60) -> tuple[MisplacedWorld, Feed]:
    """Return a world after a feed of both kinds of clients."""
    rng = random.Random(seed)
    feed = make_feed(rng, lines, 8)
    world = MisplacedWorld(feed)
    world.know(filter(is_profile, feed.users))
    binds = [record for record in feed.users if not is_profile(record)]
    world.live(rng, shuffle_with_repeats(rng, feed.orders), binds)
    return world, feed


def disagreements(world: World, feed: Feed) -> list[str]:
    """Return what is not the oracle's after everything."""
    oracle = Oracle(feed.orders, feed.users, feed.rules)
    return list(Product(world).disagreements(oracle, max(feed.moments)))


def origins(records: list[LogRecord]) -> Counter[tuple[str, bytes]]:
    """Count the copies by topic and origin."""
    return Counter((record.topic, dict(record.headers)[REROUTED_FROM]) for record in records)


@pytest.mark.parametrize("seed", range(8))
def test_balances_are_the_oracles_and_the_audit_is_clean(seed: int) -> None:
    """Each misplaced record has one copy, in the partition of its key."""
    world, feed = lived(seed)
    assert disagreements(world, feed) == []
    misplaced = world.stream.misplaced()
    assert len(misplaced) > 20
    places = Counter((record.topic, b"%d/%d" % (record.partition, record.offset)) for record in misplaced)
    assert origins(world.stream.copies()) == places
    report = audit(ListLogs(world.stream))
    assert report.differences == 0, report.items
    assert report.messages >= len(misplaced)


def test_the_audit_finds_a_lost_copy() -> None:
    """A copy that is not where it belongs is found by the place of its record."""
    world, _ = lived(1)
    copy = world.stream.copies()[-1]

    def without(records: list[LogRecord]) -> list[LogRecord]:
        """Have the copy lose what names its origin, so that its fold stays the same."""
        return [
            LogRecord(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value) if r == copy else r
            for r in records
        ]

    logs = ListLogs(world.stream)
    logs.edits[copy.topic, copy.partition] = without
    found = [item for item in audit(logs).items if item.kind == LOST_MESSAGE]
    assert [item.where for item in found] == [f"{copy.topic}/{copy.partition}"]
    origin = dict(copy.headers)[REROUTED_FROM].decode()
    assert f"{copy.topic}/{origin} " in found[0].summary


@pytest.mark.parametrize("seed", range(4))
def test_two_apps_read_each_others_copies(seed: int) -> None:
    """Whichever sends first: both have the oracle's balances, and neither audit finds anything."""
    rng = random.Random(seed)
    feed = make_feed(rng, 50, 8)
    first = MisplacedWorld(feed)
    second = MisplacedWorld(feed, app="other").beside(first)
    for document, at_us in filter(is_profile, feed.users):
        first.stream.send_user(document, at_us)
    run_both(rng, first, second)
    facts: list[Any] = [(document, None) for document in shuffle_with_repeats(rng, feed.orders)]
    binds = [record for record in feed.users if not is_profile(record)]
    for bind in binds:
        facts.insert(rng.randrange(len(facts) + 1), bind)
    facts = in_order_of(facts, binds)
    for document, at_us in facts:
        if at_us is None:
            first.stream.send_order(document, NOW_US)
        else:
            first.stream.send_user(document, at_us)
    run_both(rng, first, second)
    for world in (first, second):
        assert disagreements(world, feed) == []
        assert audit(ListLogs(world.stream)).differences == 0
    assert set(origins(first.stream.copies()).values()) == {2}


def in_order_of(facts: list[Any], binds: list[Any]) -> list[Any]:
    """Return the facts with the bindings among them in their own order."""
    left = iter(binds)
    return [fact if fact[1] is None else next(left) for fact in facts]


def run_both(rng: random.Random, first: World, second: World) -> None:
    """Process in both apps until nothing waits in either."""
    while first.stream.waiting() or second.stream.waiting():
        stream = rng.choice((first, second)).stream
        if works := stream.waiting():
            work = rng.choice(works)
            stream.step(work.stage, work.partition, rng.randint(1, 40))


def test_an_old_binding_of_another_app_is_not_taken_again() -> None:
    """An app that is built anew sends its copy of an old binding behind the newer one: a repeat."""
    feed = make_feed(random.Random(0), 1, 1)
    first = MisplacedWorld(feed)
    log, partition_of = first.stream.topics.user_log, first.stream.partition_of
    key = next(key for key in (b"taobao:pid:%d" % n for n in range(99)) if partition_of(key) != 0)
    bind = b'{"schema":"user-fact/1","kind":"attribution.bind","attribution_id":"%s","user_id":"%s"}'
    first.stream.send(log, key, bind % (key, b"old"), NOW_US, partition=0)
    first.stream.run()
    first.stream.send(log, key, bind % (key, b"new"), NOW_US)
    second = MisplacedWorld(feed, app="other").beside(first)
    run_both(random.Random(0), first, second)
    assert len(first.stream.copies()) == 2
    for world in (first, second):
        assert world.id_head(key.decode()).bound == "new"


@pytest.mark.parametrize("seed", range(3))
def test_records_that_the_version_before_has_folded(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay where they were folded and the audit knows it; a rebuild under a new app id is right."""
    rng = random.Random(seed)
    feed = make_feed(rng, 50, 8)
    orders = shuffle_with_repeats(rng, feed.orders)
    world = MisplacedWorld(feed)
    with monkeypatch.context() as before:
        before.setattr(guard, "Rerouter", NoRerouter)
        world.know(filter(is_profile, feed.users))
        world.live(rng, orders[: len(orders) // 2], [])
    assert world.stream.copies() == []
    assert audit(ListLogs(world.stream)).differences == 0  # nothing is taken by this version yet
    binds = [record for record in feed.users if not is_profile(record)]
    world.live(rng, orders[len(orders) // 2 :], binds)
    assert world.stream.copies()
    report = audit(ListLogs(world.stream))
    assert report.differences == 0, report.items
    rebuilt = MisplacedWorld(feed, app="rebuilt").beside(world)
    rebuilt.stream.run(profiles_first)
    assert disagreements(rebuilt, feed) == []
    assert audit(ListLogs(rebuilt.stream)).differences == 0


def test_an_older_app_beside_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version without the rule folds another app's copies as facts of their own; its audit does too."""
    rng = random.Random(4)
    feed = make_feed(rng, 30, 6)
    new = MisplacedWorld(feed)
    old = MisplacedWorld(feed, app="older").beside(new)
    for document, at_us in feed.users:
        new.stream.send_user(document, at_us)
    for document in shuffle_with_repeats(rng, feed.orders):
        new.stream.send_order(document, NOW_US)
    new.stream.run(rng)
    copies = new.stream.copies()
    for copy in copies:  # and once more, as of a third app: facts that a rule would skip
        new.stream.send(copy.topic, copy.key or b"", copy.value, NOW_US, headers=copy.headers)
    with monkeypatch.context() as before:
        before.setattr(guard, "Rerouter", NoRerouter)
        old.stream.run(rng)
    old.stream.send_order(feed.orders[0], NOW_US)
    run_both(rng, new, old)
    for world in (new, old):
        report = audit(ListLogs(world.stream))
        assert report.differences == 0, report.items


def profiles_first(works: list[PendingWork]) -> tuple[PendingWork, int]:
    """Go on with the user log while it has anything, so that profiles are there before lines."""
    work = min(works, key=lambda each: (each.stage != ACCOUNTS, each.partition))
    return work, work.waiting


def test_a_damaged_begin_is_a_finding() -> None:
    """The record that tells from where on records are sent on cannot be read: found, not raised."""
    world, _ = lived(2, lines=5)
    logs = ListLogs(world.stream)
    logs.damage[world.stream.topics.accounts.changelog, 1] = {b"!reroutes": b"{"}
    assert only(audit(logs)).where == f"{ACCOUNTS}/1"
