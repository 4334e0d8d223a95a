"""Looks for the copies of records that stood in the wrong partition: each has to be in the right one.

Several apps of one topic prefix send copies of their own, which are equal; the fold skips repeats, so a
surplus copy is no finding (docs/spec/facts.md#wrong-partition).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire.failure_headers import REROUTED_FROM

from .causality import Source
from .findings import LOST_MESSAGE, Finding, Findings
from .logs import Logs
from .message_digests import SentDigests, digest_of, digest_of_record
from .rendering import text_of


def is_rerouted(headers: Iterable[tuple[str, Any]]) -> bool:
    """Return whether headers are those of a copy that was sent on."""
    return any(name == REROUTED_FROM for name, _ in headers)


class RerouteCheck:
    """Collects the copies that the folds send, then compares them with the topics."""

    def __init__(self, logs: Logs, findings: Findings) -> None:
        self._logs = logs
        self._findings = findings
        self._sent = SentDigests()
        self._senders: list[Source] = []

    def add(self, copy: OutgoingRecord, source: Source, offset: int) -> None:
        """Note the copy of the record at that offset of a source partition."""
        if not self._senders or self._senders[-1] != source:
            self._senders.append(source)
        digest = digest_of(copy.timestamp_ms, copy.key, copy.value, copy.headers)
        self._sent.add((copy.topic, copy.partition or 0), digest, len(self._senders) - 1, offset)

    async def compare(self) -> int:
        """Compare every partition to which copies are sent; return how many copies there should be."""
        compared = 0
        for target in self._sent.targets():
            present = await self._present(target)
            for digest, number, offset in self._sent.entries(target):
                compared += 1
                if digest not in present:
                    await self._add_lost(target, self._senders[number], offset)
        return compared

    async def _present(self, target: Source) -> set[bytes]:
        begin, end = await self._logs.begin(*target), await self._logs.end(*target)
        return {
            digest_of_record(record)
            async for records in self._logs.read(*target, begin, end)
            for record in records
            if is_rerouted(record.headers)
        }

    async def _add_lost(self, target: Source, source: Source, offset: int) -> None:
        where, place = f"{target[0]}/{target[1]}", f"{source[0]}/{source[1]}/{offset}"
        key = ""
        if self._findings.room > 0:
            async for records in self._logs.read(*source, offset, offset + 1):
                key = text_of(records[0].key)
        text = f"{where} lacks the copy of {place} ({key}), which belongs there"
        self._findings.add_lazily(
            LOST_MESSAGE, where, place, offset, lambda: Finding(LOST_MESSAGE, where, text, key, offset)
        )
