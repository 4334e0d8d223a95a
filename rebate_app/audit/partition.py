"""One partition of one stage: its table at a cut, the fold of its source up to there, and how they differ.

The cut is the watermark that the table itself carries: the lane commits the records of a chunk, what it
sends and the watermark in one transaction, so a table that was read to a stable end holds exactly the
source up to its watermark, whatever goes on meanwhile (docs/audit.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Protocol

from msgspec import MsgspecError
from msgspec.json import Decoder

from rebate_app.lane.outbox import Outbox, Outgoing
from rebate_app.lane.stage import Session, Stage
from rebate_app.lane.store import WATERMARK_KEY, Overlay, Watermark
from rebate_app.wire.internal import is_internal
from tables.parking import FOR_PEOPLE

from .bugs import KnownBugs
from .described import record_in_words, text_of
from .findings import (
    CHANGED_RECORD,
    EXTRA_RECORD,
    FOLD_FAILED,
    MISSING_RECORD,
    UNAUDITABLE,
    WRONG_WATERMARK,
    Finding,
    Findings,
)
from .logs import Logs, Record
from .sends import Seen, digest_of

#: Compaction leaves records of the last 60 s alone (wire.topics.COMPACTION_LAG_MS): a reading that ends
#: within half of that after its end was asked has missed nothing that held there.
READING_SECONDS_MAX = 30.0
FOLD_RECORDS_MAX = 2_000

Send = Callable[[Outgoing, int], None]
_decode_watermark = Decoder(Watermark).decode


class Records(dict[bytes, bytes]):
    """The records of a partition: plain, so that a damaged one is kept and not tripped over."""

    def apply(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Take changes, None deletes."""
        for key, value in changes.items():
            if value is None:
                self.pop(key, None)
            else:
                self[key] = value


class AuditedStage(Stage, Protocol):
    """A stage whose fold can be told at which records it failed, so that it fails there again."""

    @property
    def app(self) -> str:
        """Return whose stage it is."""
        ...

    @property
    def dlt(self) -> str:
        """Return the topic of its dead letters."""
        ...

    def session(
        self, overlay: Overlay, outbox: Outbox, known_bugs: Mapping[int, int] | None = None
    ) -> Session:
        """Return the work on one chunk, failing where the fold is known to have failed."""
        ...


class PartitionAudit:
    """The table and the fold of one partition; `advance` brings both to a cut of now."""

    def __init__(
        self,
        stage: AuditedStage,
        table: str,
        partition: int,
        partitions: int,
        *,
        logs: Logs,
        findings: Findings,
        send: Send,
        tell: Callable[[int], None],
        seen: Seen | None = None,
    ) -> None:
        self.stage = stage
        self.partition = partition
        self.table = Records()
        self.fold = Records()
        self.next_offset = 0  # of the source: everything before it is folded
        self._table_name = table
        self._partitions = partitions
        self._logs = logs
        self._findings = findings
        self._send = send
        self._tell = tell
        self._seen = seen
        self._read_to: int | None = None
        self._bugs = KnownBugs(stage.app, stage.source, stage.dlt, partition)

    @property
    def where(self) -> str:
        """Return table and partition, for findings."""
        return f"{self._table_name}/{self.partition}"

    @property
    def watermark(self) -> int:
        """Return the last source offset that the fold holds, -1 for none."""
        return self.next_offset - 1

    async def advance(self) -> bool:
        """Read the table to its end of now and fold up to its watermark; False when that is impossible."""
        await self._read_table()
        mark = self._mark()
        if mark is None or not await self._source_fits(mark):
            return False
        await self._bugs.read(self._logs)
        topic = self.stage.source
        async for records in self._logs.read(topic, self.partition, self.next_offset, mark + 1):
            for start in range(0, len(records), FOLD_RECORDS_MAX):
                if not self._take(records[start : start + FOLD_RECORDS_MAX]):
                    return False
        self.next_offset = mark + 1
        return True

    async def _read_table(self) -> None:
        """Read on to the changelog's end; once more when that took so long that compaction came between."""
        topic, number = self.stage.changelog, self.partition
        position = self._read_to
        if position is None:
            position = await self._logs.begin(topic, number)
        while True:
            began = monotonic()
            end = await self._logs.stable_end(topic, number)
            async for records in self._logs.read(topic, number, position, end):
                self.table.apply({record.key or b"": record.value for record in records})
            self._read_to = position = max(position, end)
            if monotonic() - began < READING_SECONDS_MAX:
                return

    def _mark(self) -> int | None:
        """Return the offset up to which the table holds, -1 for an empty one, None if it does not fit."""
        says = ""
        mark = -1
        watermark: Watermark | None = None
        try:
            if WATERMARK_KEY in self.table:
                watermark = _decode_watermark(self.table[WATERMARK_KEY])
        except (MsgspecError, UnicodeDecodeError) as error:
            says = f"the watermark cannot be read: {error}"
        if watermark is not None:
            mark = watermark.offset
            expected = (self.stage.source, self._partitions)
            if (watermark.topic, watermark.partitions) != expected:
                says = (
                    f"the table was made from {watermark.topic} with {watermark.partitions} partitions, "
                    f"not from {expected[0]} with {expected[1]}"
                )
            elif mark < self.watermark:
                says = f"the table went back from {self.watermark} to {mark} while it was audited"
        if says:
            self._findings.add(Finding(WRONG_WATERMARK, self.where, says))
            return None
        return mark

    async def _source_fits(self, mark: int) -> bool:
        """Whether the source has all that the fold needs."""
        topic = self.stage.source
        begin = await self._logs.begin(topic, self.partition)
        if begin > self.next_offset:
            says = f"{topic}/{self.partition} begins at {begin}: it cannot be audited from the beginning"
            self._findings.add(Finding(UNAUDITABLE, f"{topic}/{self.partition}", says))
            return False
        end = await self._logs.stable_end(topic, self.partition)
        if mark >= end:
            says = f"the table holds up to {mark}, but {topic}/{self.partition} ends at {end}"
            self._findings.add(Finding(WRONG_WATERMARK, self.where, says))
            return False
        return True

    def _take(self, records: Sequence[Record]) -> bool:
        """Fold records in order, and note what they send; False when the fold fails on one."""
        overlay, outbox = Overlay(self.fold), Outbox()
        session = self.stage.session(overlay, outbox, self._bugs.offsets)
        sent = outbox.records
        seen = self._seen
        for record in records:
            if seen is not None:
                seen.position = record.offset + 1
                if is_internal(record.value):
                    digest = digest_of(record.timestamp, record.key, record.value, record.headers)
                    seen.add(digest, record.offset)
            try:
                session.take(record)
            except Exception as error:  # noqa: BLE001 - a bug of the fold is what has to be reported
                self._failed(record, error)
                return False
            if sent:
                for outgoing in sent:
                    self._send(outgoing, record.offset)
                sent.clear()
        session.finish()
        for outgoing in sent:
            self._send(outgoing, records[-1].offset)
        self.fold.apply(overlay.changes)
        self._tell(len(records))
        return True

    def _failed(self, record: Record, error: Exception) -> None:
        where = f"{record.topic}/{record.partition}"
        says = f"the fold fails on the record at {record.offset}: {error!r}"
        self._findings.add(Finding(FOLD_FAILED, where, says, text_of(record.key), record.offset))

    def compare(self) -> None:
        """Note every record in which table and fold differ, byte by byte.

        The watermark is no such record, nor is what is kept for people (tables.parking).
        """
        table, fold = self.table, self.fold
        for key in sorted(key for key in table.keys() | fold.keys() if not key.startswith(FOR_PEOPLE)):
            has, should = table.get(key), fold.get(key)
            if has != should:
                self._differs(key, has, should)

    def _differs(self, key: bytes, has: bytes | None, should: bytes | None) -> None:
        kind = MISSING_RECORD if has is None else EXTRA_RECORD if should is None else CHANGED_RECORD
        name = text_of(key)

        def make() -> Finding:
            return Finding(
                kind,
                self.where,
                f"{name!r}: {SAYS[kind]}",
                name,
                table=record_in_words(self._table_name, key, has),
                fold=record_in_words(self._table_name, key, should),
            )

        self._findings.note(kind, self.where, name, None, make)


SAYS = {
    CHANGED_RECORD: "the table does not have what the facts make",
    MISSING_RECORD: "the facts make it, the table does not have it",
    EXTRA_RECORD: "the table has it, the facts do not make it",
}
