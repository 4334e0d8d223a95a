"""Logs of a list lane, as a cluster would have them: changelogs, dead letters and registry included.

They can be damaged on purpose, and they can go on while they are read, as those of a running system do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from agents.accounts import AccountsStage
from agents.order_lines import OrderLinesStage
from rebate_app.audit.audit import Auditor
from rebate_app.audit.balances import Said, balance_in_words
from rebate_app.audit.findings import Finding, Report
from rebate_app.domain.account import Head
from rebate_app.domain.calendar import day_of
from rebate_app.lane.store import WATERMARK_KEY, Watermark, encode_watermark
from rebate_app.wire.moments import format_moment
from tables.accounts import HEAD
from tests.list_lane import ACCOUNTS, LINES, ListLane, LogRecord

Changes = dict[bytes, bytes | None]
PAGE = 50


class ListLogs:
    """Implements Logs over a list lane. `meanwhile` is called before every answer."""

    def __init__(self, lane: ListLane, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.lane = lane
        self.meanwhile = meanwhile
        self.compacting = False  # at once, where a broker waits for a minute at least
        self.begins: dict[tuple[str, int], int] = {}
        self.damage: dict[tuple[str, int], Changes] = {}  # changelog partition → records written by others
        self.edits: dict[tuple[str, int], Callable[[list[LogRecord]], list[LogRecord]]] = {}
        self._changelogs: dict[tuple[str, int], list[LogRecord]] = {}
        self._held: dict[tuple[str, int], Changes] = {}

    async def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that the log still has."""
        return self.begins.get((topic, partition), 0)

    async def stable_end(self, topic: str, partition: int) -> int:
        """Return the end: in lists every transaction is decided."""
        return await self.end(topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        """Return the end."""
        self.meanwhile()
        records = self.records(topic, partition)
        return records[-1].offset + 1 if records else 0

    async def read(
        self, topic: str, partition: int, start: int, end: int
    ) -> AsyncIterator[Sequence[LogRecord]]:
        """Iterate over the records from `start` to before `end`, a page at a time."""
        while True:
            self.meanwhile()
            page = [r for r in self.records(topic, partition) if start <= r.offset < end][:PAGE]
            if not page:
                return
            yield page
            start = page[-1].offset + 1

    def records(self, topic: str, partition: int) -> list[LogRecord]:
        """Return what the partition holds now, with what was done to it on purpose."""
        topics = self.lane.topics
        if topic in (topics.lines_changelog, topics.accounts_changelog):
            records = self._changelog(topic, partition)
        elif topic == topics.events:
            records = self.lane.told.get(partition, [])
        elif topic == topics.rules:
            records = self._registry()
        elif topic in (topics.orders, topics.user_log):
            records = self.lane.log(topic, partition)
        else:
            records = self._kept(topic, partition) or self.lane.log(topic, partition)
        edit = self.edits.get((topic, partition))
        return records if edit is None else edit(list(records))

    def _changelog(self, topic: str, partition: int) -> list[LogRecord]:
        """Append what changed since it was looked at last, as a compacted changelog may show it."""
        where = (topic, partition)
        name = LINES if topic == self.lane.topics.lines_changelog else ACCOUNTS
        store = self.lane.stores[name, partition]
        holds: Changes = dict(store.items())
        if store.watermark is not None:
            holds[WATERMARK_KEY] = encode_watermark(store.watermark)
        holds |= self.damage.get(where, {})
        log, held = self._changelogs.setdefault(where, []), self._held.get(where, {})
        changes = {key: value for key, value in holds.items() if held.get(key, b"?") != value}
        changes |= dict.fromkeys(held.keys() - holds.keys())
        for key, value in changes.items():
            log.append(LogRecord(topic, partition, log[-1].offset + 1 if log else 0, 0, key, value))
        self._held[where] = holds
        if self.compacting:
            newest = {record.key: record.offset for record in log}
            log[:] = [record for record in log if newest[record.key] == record.offset]
        return log

    def _kept(self, topic: str, partition: int) -> list[LogRecord]:
        kept = [*self.lane.dead_letters, *self.lane.kept]
        letters = [x for x in kept if (x.topic, x.partition) == (topic, partition)]
        return [
            LogRecord(topic, partition, offset, x.timestamp_ms, x.key, x.value, x.headers)
            for offset, x in enumerate(letters)
        ]

    def _registry(self) -> list[LogRecord]:
        topic = self.lane.topics.rules
        records = [r for number in range(self.lane.partitions) for r in self.lane.log(topic, number)]
        return [LogRecord(topic, 0, offset, 0, r.key, r.value) for offset, r in enumerate(records)]


class ListWorkers:
    """Implements Workers: answers from the stores of a list lane as they are now."""

    def __init__(self, lane: ListLane, at_us: int) -> None:
        self._lane = lane
        self._at = at_us
        self.asked = 0
        self.answers: dict[str, Callable[[dict[str, Any]], Said]] = {}

    async def balance(self, user_id: str) -> Said:
        """Return what a worker would answer."""
        self.asked += 1
        store = self._lane.stores[ACCOUNTS, self._lane.partition_of(user_id)]
        head = HEAD.read(store, HEAD.key(user_id)) or Head()
        body = balance_in_words(user_id, head, day_of(self._at)) | {"at": format_moment(self._at)}
        change = self.answers.get(user_id)
        await asyncio.sleep(0)
        return Said(200, body) if change is None else change(body)


def audit(logs: ListLogs, workers: ListWorkers | None = None, limit: int = 100) -> Report:
    """Audit a list lane."""
    lane = logs.lane
    lines, accounts = lane.stages[LINES], lane.stages[ACCOUNTS]
    assert isinstance(lines, OrderLinesStage)
    assert isinstance(accounts, AccountsStage)
    return asyncio.run(Auditor(lines, accounts, lane.partitions, logs, workers=workers, limit=limit).run())


def only(report: Report) -> Finding:
    """Return the one difference that there is."""
    assert report.differences == 1, report.items
    return report.items[0]


__all__ = ["Changes", "ListLogs", "ListWorkers", "Watermark", "audit", "only"]
