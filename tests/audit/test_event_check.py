"""Planted faults among the events are found, and events of other apps are left alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from agents.accounts import AccountsStage
from agents.order_lines import OrderLinesStage
from rebate_app.audit.audit import Auditor
from rebate_app.audit.findings import Report
from rebate_app.domain.pricing.calendar import DAY_US
from rebate_app.streams.event_emission import EventPolicy
from rebate_app.wire.events import APP_HEADER, BalanceChanged, balance_id, decode_event
from tests.audit.list_logs import ListLogs, audit
from tests.audit.worlds import Stepping
from tests.domain.world import NOW_US, World
from tests.oracle import make_feed, shuffle_with_repeats
from tests.topology_driver import ACCOUNTS, LINES, TOPICS, LogRecord, at_random

Records = list[LogRecord]


def edited(world: World, edit: Callable[[Records], Records]) -> Report:
    """Audit with the events of the fullest partition edited."""
    partition = max(world.stream.events, key=lambda number: len(world.stream.events[number]))
    logs = ListLogs(world.stream)
    logs.edits[TOPICS.events, partition] = edit
    return audit(logs)


def kinds(report: Report) -> list[str]:
    """Return the kinds of the findings."""
    return sorted({finding.kind for finding in report.items})


def of_kind(records: Records, kind: str) -> list[int]:
    """Return the places of events of that kind."""
    return [n for n, record in enumerate(records) if orjson.loads(record.value or b"")["kind"] == kind]


def changed(record: LogRecord, change: Callable[[dict[str, Any]], None]) -> LogRecord:
    """Return an event with another value."""
    value = orjson.loads(record.value or b"")
    change(value)
    return replace(record, value=orjson.dumps(value))


KINDS = ("line.attributed", "line.settled", "line.closed", "dead-letter.opened")


class TestPlanted:
    """Each planted fault is one difference of its kind."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_lost_event(self, world: World, kind: str) -> None:
        """Of a line or a dead letter, whichever."""
        lost: list[int] = []

        def edit(records: Records) -> Records:
            lost[:] = of_kind(records, kind)[:1]
            return [record for n, record in enumerate(records) if n not in lost]

        report = edited(world, edit)
        assert lost
        assert (report.differences, kinds(report)) == (1, ["lost-message"])

    def test_a_lost_balance_event(self, world: World) -> None:
        """The last one of a user is lost; after one in the middle, the next begins wrongly."""
        for partition, log in world.stream.events.items():
            for n in of_kind(log, "balance.changed"):
                logs = ListLogs(world.stream)
                logs.edits[TOPICS.events, partition] = lambda r, n=n: r[:n] + r[n + 1 :]  # type: ignore[misc]
                report = audit(logs)
                assert report.differences == 1
                assert set(kinds(report)) <= {"lost-message", "wrong-event"}

    def test_a_doubled_event(self, world: World) -> None:
        """Of any kind."""
        for kind in (*KINDS, "balance.changed"):

            def edit(records: Records, kind: str = kind) -> Records:
                twice = records[of_kind(records, kind)[0]]
                return [*records, replace(twice, offset=len(records))]

            report = edited(world, edit)
            assert (kind, report.differences, kinds(report)) == (kind, 1, ["doubled-message"])

    @pytest.mark.parametrize("kind", ["line.attributed", "dead-letter.opened"])
    def test_an_invented_event(self, world: World, kind: str) -> None:
        """With an id of its own, about something that never happened."""

        def edit(records: Records) -> Records:
            found = records[of_kind(records, kind)[0]]
            return [*records, replace(changed(found, invented), offset=len(records))]

        def invented(value: dict[str, Any]) -> None:
            value["event_id"] = "0" * 32

        report = edited(world, edit)
        assert (report.differences, kinds(report)) == (1, ["invented-message"])

    def test_an_invented_balance(self, world: World) -> None:
        """Of a version that the account never had."""

        def edit(records: Records) -> Records:
            found = records[of_kind(records, "balance.changed")[-1]]
            return [*records, replace(changed(found, later), offset=len(records))]

        def later(value: dict[str, Any]) -> None:
            value["version"] += 1_000
            _rename(value)

        report = edited(world, edit)
        assert (report.differences, kinds(report)) == (1, ["invented-message"])

    @pytest.mark.parametrize(("side", "bucket"), [("after", "estimated"), ("before", "held")])
    def test_a_wrong_balance(self, world: World, side: str, bucket: str) -> None:
        """One fen more after it, or before it, with the id that would be right for it."""

        def edit(records: Records) -> Records:
            n = of_kind(records, "balance.changed")[0]
            return [*records[:n], changed(records[n], more), *records[n + 1 :]]

        def more(value: dict[str, Any]) -> None:
            value[side][bucket] += 1
            _rename(value)

        report = edited(world, edit)
        assert (report.differences, kinds(report)) == (1, ["wrong-event"])

    def test_a_wrong_id_and_a_wrong_order(self, world: World) -> None:
        """An id that does not follow, and versions that do not rise."""

        def renamed(records: Records) -> Records:
            n = of_kind(records, "balance.changed")[0]
            other = changed(records[n], lambda value: value.update(event_id="f" * 32))
            return [*records[:n], other, *records[n + 1 :]]

        assert kinds(edited(world, renamed)) == ["wrong-event"]

        def turned(records: Records) -> Records:
            return [replace(r, offset=n) for n, r in enumerate(reversed(records))]

        assert kinds(edited(world, turned)) == ["wrong-event"]

    def test_garbage(self, world: World) -> None:
        """A record that is no event is invented, unless its header names another app."""
        for headers, found in ((), 1), (((APP_HEADER, b"other"),), 0):

            def edit(records: Records, headers: Any = headers) -> Records:
                return [*records, LogRecord(TOPICS.events, 0, len(records), 0, b"u1", b"{", headers)]

            assert edited(world, edit).differences == found


def _rename(value: dict[str, Any]) -> None:
    event = decode_event(orjson.dumps(value))
    assert isinstance(event, BalanceChanged)
    value["event_id"] = balance_id(event.user_id, event.at, event.version, event.before, event.after)


class TestEventEpoch:
    """Events are audited from the event epoch on."""

    @pytest.mark.parametrize("seed", range(12))
    def test_nothing_differs(self, seed: int) -> None:
        """Over days, in any batches, while processing goes on; with another epoch, events differ."""
        rng = random.Random(seed)
        feed = make_feed(rng, 40, 6)
        world = World(feed.rules, 2)
        stream, since_ms = world.stream, NOW_US // 1_000 + rng.randrange(3) * DAY_US // 1_000
        for name in (LINES, ACCOUNTS):
            stream.stages[name] = replace(
                stream.stages[name], event_policy=EventPolicy(since_ms=lambda: since_ms)
            )
        for document, at_us in feed.users:
            stream.send_user(document, at_us)
        for document in shuffle_with_repeats(rng, feed.orders):
            stream.send_order(document, NOW_US + rng.randrange(4) * DAY_US)
        stream.run(at_random(rng, 30)) if seed % 2 else None
        logs = ListLogs(stream, (lambda: None) if seed % 2 else Stepping(stream, seed))
        report = self._audit(logs, since_ms)
        assert report.items == []
        if seed % 2 and report.events:
            assert self._audit(logs, since_ms + 4 * DAY_US // 1_000).differences >= report.events

    @staticmethod
    def _audit(logs: ListLogs, since_ms: int) -> Report:
        lines, accounts = logs.stream.stages[LINES], logs.stream.stages[ACCOUNTS]
        assert isinstance(lines, OrderLinesStage)
        assert isinstance(accounts, AccountsStage)
        return asyncio.run(Auditor(lines, accounts, 2, logs, since_ms=since_ms).run())
