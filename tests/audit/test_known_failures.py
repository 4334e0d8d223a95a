"""Failures of our code: parked keys, releases and copies of waiting records follow from the log."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.json import encode

from agents.accounts import AccountsFold
from agents.order_lines import OrderLinesFold
from rebate_app.streams.failures.record_kinds import (
    PARKED_TOTALS_KEY,
    ParkedTotals,
    parked_key,
    read_parked,
    read_parked_totals,
)
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire.control import encode_release
from tests.audit.list_logs import ListLogs, audit
from tests.audit.worlds import send_feed
from tests.domain.world import NOW_US, World
from tests.topology_driver import ACCOUNTS, APP, TOPICS


class Bug:
    """A bug that can be mended: both folds do all their work on records of some keys, and then raise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: set[bytes] = set()
        for work in (AccountsFold, OrderLinesFold):
            monkeypatch.setattr(work, "take", self._raising(work.take))

    def _raising(self, take: Callable[[Any, Record], None]) -> Callable[[Any, Record], None]:
        def take_and_raise(work: Any, record: Record) -> None:
            take(work, record)
            if record.key in self.keys:
                raise ZeroDivisionError

        return take_and_raise


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> Bug:
    """Return a bug that no key has yet."""
    return Bug(monkeypatch)


def broken_world(bug: Bug, seed: int = 5) -> World:
    """Return a world at rest in which three users, two lines and an attribution id are parked."""
    world = send_feed(seed)
    lines = sorted({r.key for p in range(3) for r in world.stream.log(TOPICS.orders, p) if r.key})
    users = {b"u1", b"u2", b"u3"}
    bug.keys = users | set(lines[4:6])
    world.stream.run(random.Random(seed))
    ids = sorted(key for key in (k for p in range(3) for k in log_keys(world, p)) if b":" in key)
    assert ids
    return world


def log_keys(world: World, partition: int) -> list[bytes]:
    """Return the keys of a partition of the user log."""
    return [record.key or b"" for record in world.stream.log(TOPICS.user_log, partition)]


def release_all(world: World) -> None:
    """Release every parked key, and let all that follows be processed."""
    for (name, number), store in world.stream.stores.items():
        stage = world.stream.stages[name]
        keys = {r.key for r in world.stream.log(stage.source, number) if r.key}
        for key in sorted(k for k in keys if read_parked(store, k.decode("utf-8", "replace"))):
            world.stream.send(stage.source, key, encode_release(APP, "ann", []), NOW_US)
    world.stream.run(random.Random(3))


def parked_keys(world: World) -> int:
    """Return how many keys are parked in both tables."""
    return sum(read_parked_totals(store).keys for store in world.stream.stores.values())


class TestRight:
    """Nothing differs, with whatever code the audit folds."""

    @pytest.mark.parametrize("seed", range(4))
    def test_while_parked_and_after_the_release(self, bug: Bug, seed: int) -> None:
        """By the code that has the bug, by mended code, released in vain, and released."""
        world = broken_world(bug, seed)
        assert parked_keys(world) >= 3
        assert audit(ListLogs(world.stream)).items == []
        release_all(world)
        assert parked_keys(world) >= 3
        bug.keys = set()
        assert audit(ListLogs(world.stream)).items == []
        release_all(world)
        assert parked_keys(world) == 0
        report = audit(ListLogs(world.stream))
        assert report.items == []
        assert report.messages

    def test_after_the_release_money_is_as_without_the_bug(self, bug: Bug) -> None:
        """Every user's and every line's state, but for the order of ledgers and lists, is as if never."""
        world = broken_world(bug, 7)
        bug.keys = set()
        release_all(world)
        twin = send_feed(7)
        twin.stream.run(random.Random(99))
        users = sorted(twin.users())
        assert users == sorted(world.users())
        assert {user: sums(world, user) for user in users} == {user: sums(twin, user) for user in users}


def sums(world: World, user: str) -> tuple[Any, ...]:
    """Return what an account holds, whatever the order in which it came."""
    head = world.head(user)
    return head.estimated, head.held, head.settled, head.later, head.open, head.settled_lines, head.closed


class TestFaults:
    """What is planted is found."""

    def test_a_key_that_is_not_parked_any_more(self, bug: Bug) -> None:
        """A table that has lost the mark of a parked key."""
        world = broken_world(bug)
        logs = ListLogs(world.stream)
        user = next(
            x.key or b"" for x in world.stream.dead_letters if x.key in bug.keys and b":" not in x.key
        )
        partition = world.stream.partition_of(user)
        logs.damage[TOPICS.accounts.changelog, partition] = {parked_key(user): None}
        kinds = [(finding.kind, finding.key) for finding in audit(logs).items]
        assert kinds == [("missing-record", f"parked/{user.decode()}")]

    def test_a_wrong_count(self, bug: Bug) -> None:
        """Wrong totals of parked keys are a changed record, decoded for people."""
        world = broken_world(bug)
        logs = ListLogs(world.stream)
        number = next(
            n
            for (name, n), store in world.stream.stores.items()
            if name == ACCOUNTS and read_parked_totals(store).keys
        )
        logs.damage[TOPICS.accounts.changelog, number] = {
            PARKED_TOTALS_KEY: encode(ParkedTotals(1, 77, 77, 0))
        }
        (finding,) = audit(logs).items
        assert (finding.kind, finding.table["keys"]) == ("changed-record", 77)

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            (lambda kept: kept[1:], "lost-message"),
            (lambda kept: [kept[0], *kept], "doubled-message"),
        ],
    )
    def test_a_copy_lost_or_doubled(
        self, bug: Bug, change: Callable[[list[OutgoingRecord]], list[OutgoingRecord]], kind: str
    ) -> None:
        """What waits is copied once."""
        world = broken_world(bug)
        world.stream.failure_records = change(world.stream.failure_records)
        assert [finding.kind for finding in audit(ListLogs(world.stream)).items] == [kind]

    def test_an_invented_failure(self, bug: Bug) -> None:
        """A forged letter about a failure of our fold: what would follow from it is missing."""
        world = broken_world(bug)
        letter = next(x for x in world.stream.dead_letters if x.key in bug.keys)
        headers = tuple(
            (name, b"0" if name == "rebate-error-offset" else value) for name, value in letter.headers
        )
        forged = OutgoingRecord(
            letter.topic, letter.key, letter.value, letter.timestamp_ms, headers, letter.partition
        )
        world.stream.dead_letters.append(forged)
        assert audit(ListLogs(world.stream)).differences

    def test_a_failure_without_dead_letter(self, bug: Bug) -> None:
        """Without the dead letter the table has records that do not follow."""
        world = broken_world(bug)
        bug.keys = set()
        parked = next(x for x in world.stream.dead_letters if x.key in {b"u1", b"u2", b"u3"})
        world.stream.dead_letters.remove(parked)
        assert audit(ListLogs(world.stream)).differences
