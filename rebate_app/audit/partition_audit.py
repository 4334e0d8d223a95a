"""Folds one partition of one stage again and compares its table with the result.

The cut is the watermark in the table itself: the engine commits the records of a batch, its messages and
the watermark in one transaction, so a table that is read to a stable end holds exactly the source up to its
watermark, whatever goes on meanwhile (docs/audit.md). Table and fold must be equal byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec.json import encode

from rebate_app.streams.errors import UnreadableStateError
from rebate_app.streams.failures.record_kinds import REROUTING, REROUTING_KEY, Rerouting
from rebate_app.streams.state import build
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import WATERMARK_KEY, Watermark, decode_watermark
from rebate_app.streams.task.stage import BatchProcessor, Stage
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.facts.owner import is_ours
from rebate_app.wire.internal import is_internal
from rebate_app.wire.unreadable import UnreadableValueError
from tables.kinds import BUILT_KINDS, PROGRESS, KindSpec, kind_of

from .activations import ActivationReplay
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
from .known_failures import KnownFailures
from .logs import Logs, Record
from .message_check import Send
from .message_digests import PresentDigests, digest_of_record
from .older_formats import is_missing_number, is_older_form
from .rendering import rendered_record, text_of
from .table_copy import StoredRecords, TableCopy

FOLD_RECORDS_MAX = 2_000


class AuditedStage(Stage, Protocol):
    """A stage that can replay known failures of its fold."""

    @property
    def app(self) -> str:
        """Return the app that the stage belongs to."""
        ...

    @property
    def dead_letter_topic(self) -> str:
        """Return the topic of its dead letters."""
        ...

    def processor(
        self,
        transaction: StateTransaction,
        collector: RecordCollector,
        known_bugs: Mapping[int, int] | None = None,
    ) -> BatchProcessor:
        """Return a processor for one batch that fails at the offsets in `known_bugs`."""
        ...


class PartitionAudit:
    """The table and the fold of one partition at a cut.

    `next_offset`: of the source; everything before it is folded. `present` collects the messages that the
    fold reads from the user log. `building`: kinds of records that a scan is still building, which were not
    compared.
    """

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
        on_folded: Callable[[int], None],
        present: PresentDigests | None = None,
        activations: ActivationReplay | None = None,
    ) -> None:
        self.stage = stage
        self.partition = partition
        self._copy = TableCopy(logs, stage.changelog, partition)
        self.table = self._copy.records
        self.fold = StoredRecords()
        self.next_offset = 0
        self.building: list[str] = []
        self._table_name = table
        self._partitions = partitions
        self._logs = logs
        self._findings = findings
        self._send = send
        self._on_folded = on_folded
        self._present = present
        self._activations = activations
        self._known_failures = KnownFailures(stage.app, stage.source, stage.dead_letter_topic, partition)

    @property
    def where(self) -> str:
        """Return table and partition, for findings."""
        return f"{self._table_name}/{self.partition}"

    @property
    def watermark(self) -> int:
        """Return the last source offset that the fold holds, -1 for none."""
        return self.next_offset - 1

    async def fold_to_watermark(self) -> bool:
        """Read the table to its current end and fold up to its watermark; False when that is impossible.

        Called again, it goes on from where it stopped. The reason for False is a finding.
        """
        await self._copy.read()
        mark = self._table_watermark()
        if mark is None or not await self._source_fits(mark) or not self._take_rerouting(mark):
            return False
        await self._known_failures.read(self._logs)
        topic = self.stage.source
        if not await self._read_activations():
            return False
        async for records in self._logs.read(topic, self.partition, self.next_offset, mark + 1):
            for part in self._parts(records):
                for start in range(0, len(part), FOLD_RECORDS_MAX):
                    if not self._fold_records(part[start : start + FOLD_RECORDS_MAX]):
                        return False
        if self._activations is not None:
            self._activations.conclude(mark, self.fold)
        self.next_offset = mark + 1
        return True

    async def _read_activations(self) -> bool:
        if self._activations is not None:
            try:
                await self._activations.read(self.table)
            except UnreadableStateError as error:
                self._findings.add(Finding(UNAUDITABLE, self.where, str(error)))
                return False
        return True

    def _parts(self, records: Sequence[Record]) -> Iterable[Sequence[Record]]:
        return [records] if self._activations is None else self._activations.parts(records, self.fold)

    def _table_watermark(self) -> int | None:
        """Return the source offset that the table has reached, -1 if empty, None if it does not fit."""
        fault = ""
        mark = -1
        watermark: Watermark | None = None
        try:
            if WATERMARK_KEY in self.table:
                watermark = decode_watermark(self.table[WATERMARK_KEY])
        except UnreadableValueError as error:
            fault = f"the watermark cannot be read: {error}"
        if watermark is not None:
            mark = watermark.offset
            expected = (self.stage.source, self._partitions)
            if (watermark.topic, watermark.partitions) != expected:
                fault = (
                    f"the table was made from {watermark.topic} with {watermark.partitions} partitions, "
                    f"not from {expected[0]} with {expected[1]}"
                )
            elif mark < self.watermark:
                fault = f"the table went back from {self.watermark} to {mark} during the audit"
        if fault:
            self._findings.add(Finding(WRONG_WATERMARK, self.where, fault))
            return None
        return mark

    async def _source_fits(self, mark: int) -> bool:
        """Return whether the source has every record that the fold needs."""
        topic = self.stage.source
        begin = await self._logs.begin(topic, self.partition)
        if begin > self.next_offset:
            fault = f"{topic}/{self.partition} begins at {begin}: it cannot be audited from the beginning"
            self._findings.add(Finding(UNAUDITABLE, f"{topic}/{self.partition}", fault))
            return False
        end = await self._logs.stable_end(topic, self.partition)
        if mark >= end:
            fault = f"the table holds up to {mark}, but {topic}/{self.partition} ends at {end}"
            self._findings.add(Finding(WRONG_WATERMARK, self.where, fault))
            return False
        return True

    def _take_rerouting(self, mark: int) -> bool:
        """Take over from the table from which offset on records in the wrong partition are rerouted.

        A version without that rule has folded those before it, and a table without the record up to its
        watermark. False if the record cannot be read, which is a finding.
        """
        stored = self.table.get(REROUTING_KEY)
        if stored is None:
            stored = encode(Rerouting(1, mark + 1))
        try:
            REROUTING.decode(stored, REROUTING_KEY)
        except UnreadableStateError as error:
            self._findings.add(Finding(CHANGED_RECORD, self.where, str(error), text_of(REROUTING_KEY)))
            return False
        self.fold[REROUTING_KEY] = stored
        return True

    def _fold_records(self, records: Sequence[Record]) -> bool:
        """Fold records in order and pass on what they send; False when the fold fails on one."""
        transaction, collector = StateTransaction(self.fold), RecordCollector()
        processor = self.stage.processor(transaction, collector, self._known_failures.offsets)
        sent = collector.records
        present = self._present
        for record in records:
            if present is not None:
                present.position = record.offset + 1
                if is_internal(record.value) or is_ours(record.value, self.stage.app):
                    present.add(digest_of_record(record), record.offset)
            try:
                processor.take(record)
            except Exception as error:  # noqa: BLE001 - every failure of the fold is a finding
                self._add_fold_failure(record, error)
                return False
            if sent:
                for outgoing in sent:
                    self._send(outgoing, record.offset)
                sent.clear()
        processor.finish()
        for outgoing in sent:
            self._send(outgoing, records[-1].offset)
        self.fold.apply(transaction.changes)
        self._on_folded(len(records))
        return True

    def _add_fold_failure(self, record: Record, error: Exception) -> None:
        where = f"{record.topic}/{record.partition}"
        text = f"the fold fails on the record at {record.offset}: {error!r}"
        self._findings.add(Finding(FOLD_FAILED, where, text, text_of(record.key), record.offset))

    def compare_table(self) -> None:
        """Note every record in which table and fold differ, byte by byte, older formats aside.

        Records that depend on more than the log, such as the watermark, are not compared.
        """
        table, fold = self.table, self.fold
        left_out = self._left_out()
        for key in sorted(filter(self._is_from_log, table.keys() | fold.keys())):
            actual, expected = table.get(key), fold.get(key)
            if actual == expected or kind_of(self._table_name, key) in left_out:
                continue
            if not self._is_older_form(key, actual, expected):
                self._add_difference(key, actual, expected)

    def _left_out(self) -> set[KindSpec]:
        """Return the kinds that a scan is still building in the table, with those of their progress."""
        unbuilt = [name for name in BUILT_KINDS if self._is_building(name)]
        self.building = sorted(f"{self.where} {name}" for name in unbuilt)
        left_out = {spec for name in unbuilt for spec in BUILT_KINDS[name]}
        return left_out | {PROGRESS} if unbuilt else left_out

    def _is_building(self, name: str) -> bool:
        """Return whether the fold has a kind whole, and the table not yet."""
        key = build.PROGRESS.key(name)
        return key in self.fold and self.table.get(key) != self.fold[key]

    def _is_from_log(self, key: bytes) -> bool:
        spec = kind_of(self._table_name, key)
        return spec is None or spec.from_log

    def _is_older_form(self, key: bytes, actual: bytes | None, expected: bytes | None) -> bool:
        if expected is not None and is_missing_number(self._table_name, key, actual, self.table):
            return True
        if actual is None or expected is None:
            return False
        return is_older_form(self._table_name, key, actual, expected)

    def _add_difference(self, key: bytes, actual: bytes | None, expected: bytes | None) -> None:
        kind = MISSING_RECORD if actual is None else EXTRA_RECORD if expected is None else CHANGED_RECORD
        name = text_of(key)

        def make() -> Finding:
            return Finding(
                kind,
                self.where,
                f"{name!r}: {DESCRIPTIONS[kind]}",
                name,
                table=rendered_record(self._table_name, key, actual),
                fold=rendered_record(self._table_name, key, expected),
            )

        self._findings.add_lazily(kind, self.where, name, None, make)


DESCRIPTIONS = {
    CHANGED_RECORD: "the table does not have what the facts make",
    MISSING_RECORD: "the facts make it, the table does not have it",
    EXTRA_RECORD: "the table has it, the facts do not make it",
}
