"""Compares the events on `rebate-events` with those that the fold emits.

Every due event about a line or a dead letter is there exactly once, byte by byte; balance events match the
fold's transitions (balance_transitions). Ids are unique and versions rise. An event that the fold did not
emit is invented, unless it follows from a record after the cut. Events of other apps are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.events import (
    APP_HEADER,
    BalanceChanged,
    DeadLetterOpened,
    Event,
    NoEventError,
    balance_id,
    decode_event,
)

from .balance_transitions import BalanceEventComparison, BalanceTransition, TransitionLog, transition_of
from .causality import Cut, Source
from .findings import DOUBLED_MESSAGE, INVENTED_MESSAGE, LOST_MESSAGE, WRONG_EVENT, Finding, Findings
from .logs import Logs, Record
from .message_digests import DigestComparison, PresentDigests, SentDigests, digest_of, digest_of_record
from .rendering import named, text_of
from .scope import AuditScope


class _PresentEvents(Struct):
    """The events of one partition: balances by user and version, all others as digests.

    `causes`: offset of an event → topic of the record that it follows from, and that record's key.
    """

    balances: dict[tuple[bytes, int], BalanceTransition]
    others: PresentDigests
    causes: dict[int, tuple[str, bytes | None]]


class EventCheck:
    """Collects the events that the folds emit, then compares them with the topic."""

    def __init__(self, scope: AuditScope, logs: Logs, findings: Findings) -> None:
        self.compared = 0
        self.after_cut = 0
        self.not_comparable = 0
        self._scope = scope
        self._logs = logs
        self._findings = findings
        self._others = SentDigests()
        self._transitions = [TransitionLog() for _ in range(scope.partitions)]
        self._sources: list[Source] = []

    def register(self, source: Source) -> int:
        """Return the number of a source partition, to be passed to `take`."""
        self._sources.append(source)
        return len(self._sources) - 1

    def take(self, outgoing: OutgoingRecord, sender: int, offset: int) -> None:
        """Note an event that the fold emits because of the record at `offset` of the sender's partition."""
        scope, event = self._scope, decode_event(outgoing.value)
        is_due = outgoing.timestamp_ms >= scope.since_ms
        partition = outgoing.partition
        if partition is None:
            partition = partition_of(outgoing.key or b"", scope.partitions)
        if isinstance(event, BalanceChanged):
            self._transitions[partition].add(transition_of(event, offset, is_due=is_due))
        elif is_due:
            digest = digest_of(outgoing.timestamp_ms, outgoing.key, outgoing.value, outgoing.headers)
            self._others.add((scope.events, partition), digest, sender, offset)

    async def compare(self, cuts: Mapping[Source, Cut]) -> None:
        """Compare every partition whose accounts were folded."""
        for partition in range(self._scope.partitions):
            if (self._scope.user_log, partition) in cuts:
                await self._compare_partition(partition, cuts)

    async def _compare_partition(self, partition: int, cuts: Mapping[Source, Cut]) -> None:
        target = (self._scope.events, partition)
        present = await self._read(partition)
        balances = BalanceEventComparison(self._transitions[partition], present.balances)
        others = DigestComparison(self._others.entries(target), present.others)
        self.compared += balances.compared + others.sent
        self.not_comparable += balances.not_comparable
        for offset in balances.wrong:
            self._add_finding(WRONG_EVENT, target, offset, "has another balance than the facts make")
        self._add_lost_balances(target, balances.lost)
        self._add_lost_others(target, others.lost)
        await self._judge_unknown(target, sorted([*balances.unknown, *others.unknown]), present, cuts)

    def _add_lost_balances(self, target: Source, offsets: list[int]) -> None:
        where = f"{target[0]}/{target[1]}"
        for offset in offsets:
            text = f"{where} lacks a balance that follows from {self._scope.user_log}/{target[1]} at {offset}"
            self._findings.add(Finding(LOST_MESSAGE, where, text, f"balance {offset}", offset))

    def _add_lost_others(self, target: Source, lost: dict[bytes, int]) -> None:
        where = f"{target[0]}/{target[1]}"
        for digest, number, offset in self._others.entries(target):
            if lost.get(digest):
                lost[digest] -= 1
                topic, partition = self._sources[number]
                text = f"{where} lacks an event that follows from {topic}/{partition} at {offset}"
                self._findings.add(Finding(LOST_MESSAGE, where, text, digest.hex(), offset))

    async def _read(self, partition: int) -> _PresentEvents:
        """Read a partition to its current end, and note what is wrong without comparing."""
        logs, topic = self._logs, self._scope.events
        present = _PresentEvents({}, PresentDigests(), {})
        ids, newest = set[bytes](), dict[str, int]()
        begin, end = await logs.begin(topic, partition), await logs.end(topic, partition)
        async for records in logs.read(topic, partition, begin, end):
            for record in records:
                if is_own(record, self._scope.app):
                    self._take_present(record, present, ids, newest)
        return present

    def _take_present(
        self, record: Record, present: _PresentEvents, ids: set[bytes], newest: dict[str, int]
    ) -> None:
        target, offset = (record.topic, record.partition), record.offset
        try:
            event = decode_event(record.value)
        except NoEventError:
            self._add_finding(INVENTED_MESSAGE, target, offset, "is of no kind that this version knows")
            return
        event_id = bytes.fromhex(event.event_id)
        if event_id in ids:
            self._add_finding(DOUBLED_MESSAGE, target, offset, "has an id that is there already", event)
            return
        ids.add(event_id)
        present.causes[offset] = _cause_topic(event, self._scope.user_log), record.key
        if not isinstance(event, BalanceChanged):
            present.others.add(digest_of_record(record), offset)
            return
        if event.version <= newest.get(event.user_id, 0) or event.event_id != _expected_id(event):
            self._add_finding(
                WRONG_EVENT, target, offset, "comes after a newer one, or has a wrong id", event
            )
        newest[event.user_id] = event.version
        transition = transition_of(event, offset, is_due=True)
        present.balances[transition.user, transition.version] = transition

    async def _judge_unknown(
        self, target: Source, offsets: list[int], present: _PresentEvents, cuts: Mapping[Source, Cut]
    ) -> None:
        """Separate events that follow from records after the cut from those that follow from nothing.

        An event counts as the former if its source has any record with its key after the cut. One whose
        source could not be audited is not judged: that is a finding of its own.
        """
        later: dict[str, set[bytes | None]] = {}
        for offset in offsets:
            topic, key = present.causes[offset]
            cut = cuts.get((topic, target[1]))
            if cut is None:
                self.not_comparable += 1
                continue
            if topic not in later:
                later[topic] = await self._keys_after(cut, (topic, target[1]))
            if key in later[topic]:
                self.after_cut += 1
            else:
                self._add_finding(INVENTED_MESSAGE, target, offset, "does not follow from any record")

    async def _keys_after(self, cut: Cut, source: Source) -> set[bytes | None]:
        """Return the keys between the cut and the current end, which is not before that of the events."""
        keys: set[bytes | None] = set()
        end = await self._logs.end(*source)
        async for records in self._logs.read(*source, cut.watermark + 1, end):
            keys |= {record.key for record in records}
        return keys

    def _add_finding(
        self, kind: str, target: Source, offset: int, fault: str, event: Event | None = None
    ) -> None:
        where = f"{target[0]}/{target[1]}"
        text = f"{where} has an event at {offset} that {fault}"
        key = "" if event is None else text_of(event.event_id.encode())
        self._findings.add_lazily(
            kind, where, key, offset, lambda: Finding(kind, where, text, key, offset, table=named(event))
        )


def is_own(record: Record, app: str) -> bool:
    """Return whether an event is this app's: its header says so, or it has none."""
    names = [value for name, value in record.headers if name == APP_HEADER]
    return not names or names == [app.encode()]


def _cause_topic(event: Event, user_log: str) -> str:
    return event.topic if isinstance(event, DeadLetterOpened) else user_log


def _expected_id(event: BalanceChanged) -> str:
    return balance_id(event.user_id, event.at, event.version, event.before, event.after)
