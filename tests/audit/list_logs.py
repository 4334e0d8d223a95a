"""Logs of a TopologyDriver, as a cluster has them: changelogs, dead letters and used rules included.

Tests can damage them, and they can grow while they are read, as those of a running system do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from agents.accounts import AccountsStage
from agents.order_lines import OrderLinesStage
from rebate_app.audit.audit import Auditor
from rebate_app.audit.balance_check import WorkerAnswer, expected_balance
from rebate_app.audit.findings import Finding, Report
from rebate_app.domain.account.account import Head
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.streams.state.store import WATERMARK_KEY, Watermark, encode_watermark
from rebate_app.wire.moments import format_moment
from tables.accounts import HEAD
from tests.topology_driver import ACCOUNTS, LINES, LogRecord, TopologyDriver

Changes = dict[bytes, bytes | None]
PAGE = 50


class ListLogs:
    """Implements Logs over a TopologyDriver. `meanwhile` is called before every answer."""

    def __init__(self, stream: TopologyDriver, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.stream = stream
        self.meanwhile = meanwhile
        self.compacting = False  # immediately; a broker waits for a minute at least
        self.begins: dict[tuple[str, int], int] = {}
        self.damage: dict[tuple[str, int], Changes] = {}  # changelog partition → records written by others
        self.edits: dict[tuple[str, int], Callable[[list[LogRecord]], list[LogRecord]]] = {}
        self._changelogs: dict[tuple[str, int], list[LogRecord]] = {}
        self._appended: dict[tuple[str, int], Changes] = {}

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
        """Return what the partition holds now, planted damage included."""
        topics = self.stream.topics
        if topic in (topics.order_lines.changelog, topics.accounts.changelog):
            records = self._changelog(topic, partition)
        elif topic == topics.events:
            records = self.stream.events.get(partition, [])
        elif topic == topics.rules:
            records = self._used_rules()
        elif topic in (topics.orders, topics.user_log):
            records = self.stream.log(topic, partition)
        else:
            records = self._failed(topic, partition) or self.stream.log(topic, partition)
        edit = self.edits.get((topic, partition))
        return records if edit is None else edit(list(records))

    def _changelog(self, topic: str, partition: int) -> list[LogRecord]:
        """Append the changes since the previous call, as a compacted changelog may show them."""
        where = (topic, partition)
        name = LINES if topic == self.stream.topics.order_lines.changelog else ACCOUNTS
        store = self.stream.stores[name, partition]
        holds: Changes = dict(store.items())
        if store.watermark is not None:
            holds[WATERMARK_KEY] = encode_watermark(store.watermark)
        holds |= self.damage.get(where, {})
        log, appended = self._changelogs.setdefault(where, []), self._appended.get(where, {})
        changes = {key: value for key, value in holds.items() if appended.get(key, b"?") != value}
        changes |= dict.fromkeys(appended.keys() - holds.keys())
        for key, value in changes.items():
            log.append(LogRecord(topic, partition, log[-1].offset + 1 if log else 0, 0, key, value))
        self._appended[where] = holds
        if self.compacting:
            newest = {record.key: record.offset for record in log}
            log[:] = [record for record in log if newest[record.key] == record.offset]
        return log

    def _failed(self, topic: str, partition: int) -> list[LogRecord]:
        failed = [*self.stream.dead_letters, *self.stream.failure_records]
        letters = [x for x in failed if (x.topic, x.partition) == (topic, partition)]
        return [
            LogRecord(topic, partition, offset, x.timestamp_ms, x.key, x.value, x.headers)
            for offset, x in enumerate(letters)
        ]

    def _used_rules(self) -> list[LogRecord]:
        topic = self.stream.topics.rules
        records = [r for number in range(self.stream.partitions) for r in self.stream.log(topic, number)]
        return [LogRecord(topic, 0, offset, 0, r.key, r.value) for offset, r in enumerate(records)]


class ListWorkers:
    """Implements Workers: answers from the current stores of a TopologyDriver."""

    def __init__(self, stream: TopologyDriver, at_us: int) -> None:
        self._stream = stream
        self._at = at_us
        self.requests = 0
        self.answers: dict[str, Callable[[dict[str, Any]], WorkerAnswer]] = {}

    async def balance(self, user_id: str) -> WorkerAnswer:
        """Return what a worker answers."""
        self.requests += 1
        store = self._stream.stores[ACCOUNTS, self._stream.partition_of(user_id)]
        head = HEAD.read(store, HEAD.key(user_id)) or Head()
        body = expected_balance(user_id, head, day_of(self._at)) | {"at": format_moment(self._at)}
        change = self.answers.get(user_id)
        await asyncio.sleep(0)
        return WorkerAnswer(200, body) if change is None else change(body)


def audit(logs: ListLogs, workers: ListWorkers | None = None, limit: int = 100) -> Report:
    """Audit a TopologyDriver."""
    stream = logs.stream
    lines, accounts = stream.stages[LINES], stream.stages[ACCOUNTS]
    assert isinstance(lines, OrderLinesStage)
    assert isinstance(accounts, AccountsStage)
    return asyncio.run(Auditor(lines, accounts, stream.partitions, logs, workers=workers, limit=limit).run())


def only(report: Report) -> Finding:
    """Return the one difference that there is."""
    assert report.differences == 1, report.items
    return report.items[0]


__all__ = ["Changes", "ListLogs", "ListWorkers", "Watermark", "audit", "only"]
