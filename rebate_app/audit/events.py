"""Reads `rebate-events`, and says what is wrong with it.

It is separate from told.py, which decides without any log, and from messages.py, where what is sent to
other topics is held against them.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rebate_app.lane.batches import partition_of
from rebate_app.lane.outbox import Outgoing
from rebate_app.wire.events import (
    BalanceChanged,
    DeadLetterOpened,
    Event,
    NoEventError,
    balance_id,
    decode_event,
)

from .causes import Cut, Source
from .described import named, text_of
from .findings import DOUBLED_MESSAGE, INVENTED_MESSAGE, LOST_MESSAGE, WRONG_EVENT, Finding, Findings
from .logs import Logs, Record
from .sends import Seen, Sent, Tally, digest_of
from .told import BalanceTally, Step, Steps, is_own, step_of


class EventNames(Struct, frozen=True):
    """Whose events, on which topic, told since when; and the log from which accounts are folded."""

    app: str
    topic: str
    since_ms: int
    user_log: str
    partitions: int


class _Read(Struct):
    """What one partition of the topic has: balances by user and version, all other events as digests."""

    balances: dict[tuple[bytes, int], Step]
    others: Seen
    sources: dict[int, tuple[str, bytes | None]]  # offset → topic from which it follows, and the key there


class Events:
    """Collects what the folds tell, then compares it with the topic."""

    def __init__(self, names: EventNames, logs: Logs, findings: Findings) -> None:
        self.compared = 0
        self.after_cut = 0
        self.not_comparable = 0
        self._names = names
        self._logs = logs
        self._findings = findings
        self._others = Sent()
        self._steps = [Steps() for _ in range(names.partitions)]
        self._sources: list[Source] = []

    def sender(self, source: Source) -> int:
        """Return the number of a source partition, to be named in `take`."""
        self._sources.append(source)
        return len(self._sources) - 1

    def take(self, outgoing: Outgoing, sender: int, offset: int) -> None:
        """Note an event that the fold sends because of the record at `offset`; `since_ms` is judged here."""
        names, event = self._names, decode_event(outgoing.value)
        told = outgoing.timestamp_ms >= names.since_ms
        partition = outgoing.partition
        if partition is None:
            partition = partition_of(outgoing.key or b"", names.partitions)
        if isinstance(event, BalanceChanged):
            self._steps[partition].add(step_of(event, offset, told=told))
        elif told:
            digest = digest_of(outgoing.timestamp_ms, outgoing.key, outgoing.value, outgoing.headers)
            self._others.add((names.topic, partition), digest, sender, offset)

    async def compare(self, cuts: Mapping[Source, Cut]) -> None:
        """Compare every partition whose accounts were folded."""
        for partition in range(self._names.partitions):
            if (self._names.user_log, partition) in cuts:
                await self._compare(partition, cuts)

    async def _compare(self, partition: int, cuts: Mapping[Source, Cut]) -> None:
        target = (self._names.topic, partition)
        read = await self._read(partition)
        balances = BalanceTally(self._steps[partition], read.balances)
        others = Tally(self._others.entries(target), read.others)
        self.compared += balances.compared + others.sent
        self.not_comparable += balances.not_comparable
        for offset in balances.wrong:
            self._note(WRONG_EVENT, target, offset, "says another balance than the facts make")
        where = f"{target[0]}/{partition}"
        for offset in balances.lost:
            says = f"{where} lacks a balance that follows from {self._names.user_log}/{partition} at {offset}"
            self._findings.add(Finding(LOST_MESSAGE, where, says, f"balance {offset}", offset))
        for digest, number, offset in self._others.entries(target):
            if others.lost.get(digest):
                others.lost[digest] -= 1
                topic, source = self._sources[number]
                says = f"{where} lacks an event that follows from {topic}/{source} at {offset}"
                self._findings.add(Finding(LOST_MESSAGE, where, says, digest.hex(), offset))
        await self._judge(target, sorted([*balances.unknown, *others.unknown]), read, cuts)

    async def _read(self, partition: int) -> _Read:
        """Read a partition to its end of now, and note what is wrong with it by itself."""
        logs, topic = self._logs, self._names.topic
        read, ids, newest = _Read({}, Seen(), {}), set[bytes](), dict[str, int]()
        begin, end = await logs.begin(topic, partition), await logs.end(topic, partition)
        async for records in logs.read(topic, partition, begin, end):
            for record in records:
                if is_own(record, self._names.app):
                    self._see(record, read, ids, newest)
        return read

    def _see(self, record: Record, read: _Read, ids: set[bytes], newest: dict[str, int]) -> None:
        target, offset = (record.topic, record.partition), record.offset
        try:
            event = decode_event(record.value)
        except NoEventError:
            self._note(INVENTED_MESSAGE, target, offset, "is none that this version knows")
            return
        event_id = bytes.fromhex(event.event_id)
        if event_id in ids:
            self._note(DOUBLED_MESSAGE, target, offset, "has an id that is there already", event)
            return
        ids.add(event_id)
        read.sources[offset] = _source_of(event, self._names.user_log), record.key
        if not isinstance(event, BalanceChanged):
            digest = digest_of(record.timestamp, record.key, record.value, record.headers)
            read.others.add(digest, offset)
            return
        if event.version <= newest.get(event.user_id, 0) or event.event_id != _id_of(event):
            self._note(WRONG_EVENT, target, offset, "comes after a newer one, or has a wrong id", event)
        newest[event.user_id] = event.version
        step = step_of(event, offset, told=True)
        read.balances[step.user, step.version] = step

    async def _judge(
        self, target: Source, offsets: list[int], read: _Read, cuts: Mapping[Source, Cut]
    ) -> None:
        """Tell events that follow from records after the cut from those that follow from nothing.

        They do if their source has any record under their key there.
        """
        later: dict[str, set[bytes | None]] = {}
        for offset in offsets:
            topic, key = read.sources[offset]
            if topic not in later:
                later[topic] = await self._keys_after(cuts.get((topic, target[1])), (topic, target[1]))
            if key in later[topic]:
                self.after_cut += 1
            else:
                self._note(INVENTED_MESSAGE, target, offset, "does not follow from any record")

    async def _keys_after(self, cut: Cut | None, source: Source) -> set[bytes | None]:
        """Return the keys after the cut: to the end of now, since the events were read up to a moment ago."""
        keys: set[bytes | None] = set()
        if cut is not None:
            end = await self._logs.end(*source)
            async for records in self._logs.read(*source, cut.watermark + 1, end):
                keys |= {record.key for record in records}
        return keys

    def _note(self, kind: str, target: Source, offset: int, what: str, event: Event | None = None) -> None:
        where = f"{target[0]}/{target[1]}"
        says = f"{where} has an event at {offset} that {what}"
        key = "" if event is None else text_of(event.event_id.encode())
        self._findings.note(
            kind, where, key, offset, lambda: Finding(kind, where, says, key, offset, table=named(event))
        )


def _source_of(event: Event, user_log: str) -> str:
    return event.topic if isinstance(event, DeadLetterOpened) else user_log


def _id_of(event: BalanceChanged) -> str:
    return balance_id(event.user_id, event.at, event.version, event.before, event.after)
