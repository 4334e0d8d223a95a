"""What was sent, held against what is there: neither lost, nor twice, nor invented.

Law: every message that the fold sends up to the cut is on its partition exactly once, and no other
message whose cause lies before the cut is there. Registry records are a state by key: what was sent
has to hold, however often it was said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from rebate_app.domain.messages import Cursor, Message
from rebate_app.lane.batches import partition_of
from rebate_app.lane.outbox import Outgoing
from rebate_app.wire.internal import ForeignMessageError, decode_message, is_internal

from .causes import Cause, Causes, Cut, Source, cause_in_headers, is_invented
from .described import named, text_of
from .events import EventNames, Events
from .findings import DOUBLED_MESSAGE, INVENTED_MESSAGE, LOST_MESSAGE, UNAUDITABLE, Finding, Findings
from .logs import Logs, Record
from .sends import Seen, Sent, Tally, Target, digest_of

CURSOR_MARK = b'"kind":"cursor"'


class Names(Struct, frozen=True):
    """What the messages are about: the app, its sources with their dead letters, registry and decisions."""

    app: str
    orders: str
    user_log: str
    dead_letters: dict[str, str]  # source → its dead letters
    parked: dict[str, str]  # source → copies of what waits
    registry: str
    decisions: str
    partitions: int
    events: str
    since_ms: int  # what is older is not told of


class Messages:
    """Collects what the fold sends, then compares it with the topics."""

    def __init__(self, names: Names, logs: Logs, findings: Findings) -> None:
        self.compared = 0
        self.after_cut = 0
        self._names = names
        self._logs = logs
        self._findings = findings
        self._sent = Sent()
        self._senders: list[Source] = []
        self._registry: dict[bytes, bytes] = {}
        self._decided: set[bytes] = set()
        event_names = EventNames(names.app, names.events, names.since_ms, names.user_log, names.partitions)
        self.events = Events(event_names, logs, findings)
        self.seen = [Seen() for _ in range(names.partitions)]
        self._cuts: Mapping[Source, Cut] = {}

    def sender(self, source: Source) -> Any:
        """Return the function to which the fold of that source partition hands what it sends."""
        number = len(self._senders)
        self._senders.append(source)
        names, count, sent, events = self._names, self._names.partitions, self._sent, self.events
        numbered = events.sender(source)

        def send(outgoing: Outgoing, offset: int) -> None:
            if outgoing.topic == names.registry:
                self._registry[outgoing.key or b""] = outgoing.value or b""
                return
            if outgoing.topic == names.decisions:
                self._decided.add(outgoing.key or b"")
                return
            if outgoing.topic == names.events:
                events.take(outgoing, numbered, offset)
                return
            partition = outgoing.partition
            if partition is None:
                partition = partition_of(outgoing.key or b"", count)
            digest = digest_of(outgoing.timestamp_ms, outgoing.key, outgoing.value, outgoing.headers)
            sent.add((outgoing.topic, partition), digest, number, offset)

        return send

    async def compare(self, watermarks: Mapping[Source, int]) -> None:
        """Compare everything, the cuts being final: what was sent up to them is acknowledged by now."""
        logs, names = self._logs, self._names
        for partition, seen in enumerate(self.seen):
            await self._read_tail(partition, seen)
        self._cuts = {
            source: Cut(watermark, await logs.end(*source)) for source, watermark in watermarks.items()
        }
        for partition, seen in enumerate(self.seen):
            await self._compare_user_log(partition, seen)
        for kept in (names.dead_letters, names.parked):
            for source, topic in kept.items():
                for partition in range(names.partitions):
                    await self._compare_dead_letters(source, (topic, partition))
        known = {names.user_log, *names.dead_letters.values(), *names.parked.values()}
        for target in self._sent.targets():
            if target[0] not in known:
                await self._compare_dead_letters("", target)
        await self._compare_registry()
        await self._compare_decisions()
        await self.events.compare(self._cuts)

    async def _read_tail(self, partition: int, seen: Seen) -> None:
        """Read on from the cut to the high watermark of now: there stands all that the cuts have sent."""
        topic = self._names.user_log
        start = max(seen.position, await self._logs.begin(topic, partition))
        end = await self._logs.end(topic, partition)
        async for records in self._logs.read(topic, partition, start, end):
            for record in records:
                if is_internal(record.value):
                    seen.add(_digest(record), record.offset)

    async def _compare_user_log(self, partition: int, seen: Seen) -> None:
        target = (self._names.user_log, partition)
        if await self._is_cut(target):
            return
        tally = Tally(self._sent.entries(target), seen)
        self.compared += tally.sent
        await self._note_lost(target, tally)
        await self._note_doubled(target, tally)
        if tally.unknown:
            await self._judge_unknown(target, tally.unknown)

    async def _is_cut(self, target: Target) -> bool:
        """Note a log that has lost its beginning: what was sent there cannot be looked for."""
        begin = await self._logs.begin(*target)
        if begin:
            where = f"{target[0]}/{target[1]}"
            says = f"{where} begins at {begin}: it cannot be audited from the beginning"
            self._findings.add(Finding(UNAUDITABLE, where, says))
        return begin > 0

    async def _judge_unknown(self, target: Target, offsets: list[int]) -> None:
        """Find out of messages that the fold did not send whether their causes came after the cut."""
        wanted = set(offsets)
        cut = self._cuts.get(target)
        start = 0 if cut is None else min(offsets[0], cut.watermark + 1)
        causes = Causes(self._names.orders, self._names.user_log, self._partition_of)
        async for records in self._logs.read(*target, start, offsets[-1] + 1):
            for record in records:
                if record.offset in wanted:
                    self._judge(record, causes)
                elif is_internal(record.value) and CURSOR_MARK in (record.value or b""):
                    self._message(record, causes)

    def _judge(self, record: Record, causes: Causes) -> None:
        message = self._message(record, causes)
        if message is None:
            return
        cause = causes.cause_of(message)
        if not is_invented(cause, self._cuts):
            self.after_cut += 1
            return
        where = f"{record.topic}/{record.partition}"
        says = f"{where} has a message at {record.offset} that does not follow from {_place(cause)}"
        key = text_of(record.key)
        self._findings.note(
            INVENTED_MESSAGE,
            where,
            key,
            record.offset,
            lambda: Finding(INVENTED_MESSAGE, where, says, key, record.offset, table=named(message)),
        )

    def _message(self, record: Record, causes: Causes) -> Message | None:
        """Return the message, None for another app's or an unreadable one, which the fold dead-letters."""
        try:
            message = decode_message(record.value or b"", self._names.app)
        except ForeignMessageError:
            return None
        if isinstance(message, Cursor):
            causes.meet_cursor(message, record.offset)
        return message

    def _partition_of(self, key: str) -> int:
        return partition_of(key.encode(), self._names.partitions)

    async def _note_lost(self, target: Target, tally: Tally) -> None:
        if not tally.lost:
            return
        where = f"{target[0]}/{target[1]}"
        for digest, number, offset in self._sent.entries(target):
            if tally.lost.get(digest):
                tally.lost[digest] -= 1
                source = self._senders[number]
                key = await self._key_at(source, offset) if self._findings.room > 0 else ""
                says = (
                    f"{where} lacks a message that follows from {source[0]}/{source[1]} at {offset} ({key})"
                )
                name = f"{digest.hex()} {tally.lost[digest]}"
                self._findings.note(
                    LOST_MESSAGE, where, name, offset, _finding(LOST_MESSAGE, where, says, key, offset)
                )

    async def _note_doubled(self, target: Target, tally: Tally) -> None:
        where = f"{target[0]}/{target[1]}"
        for offset in tally.doubled:
            key = await self._key_at(target, offset) if self._findings.room > 0 else ""
            says = f"{where} has a message at {offset} ({key}) that is there already"
            self._findings.note(
                DOUBLED_MESSAGE, where, key, offset, _finding(DOUBLED_MESSAGE, where, says, key, offset)
            )

    async def _key_at(self, target: Target, offset: int) -> str:
        key = ""
        async for records in self._logs.read(*target, offset, offset + 1):
            key = text_of(records[0].key)
        return key

    async def _compare_dead_letters(self, source: str, target: Target) -> None:
        """Compare dead letters, or copies of what waits: they are on the partition of the source's number.

        `source` "": any other topic, on which the stages are not the only ones that write.
        """
        if await self._is_cut(target):
            return
        seen, unknown = Seen(), {}
        async for records in self._logs.read(*target, 0, await self._logs.end(*target)):
            for record in records:
                seen.add(_digest(record), record.offset)
                cause = cause_in_headers(record, source, self._names.app)
                if cause is not None:
                    unknown[record.offset] = (cause, text_of(record.key))
        tally = Tally(self._sent.entries(target), seen)
        self.compared += tally.sent
        await self._note_lost(target, tally)
        await self._note_doubled(target, tally)
        self._judge_dead_letters(
            target, ((offset, *unknown[offset]) for offset in tally.unknown if offset in unknown)
        )

    def _judge_dead_letters(self, target: Target, letters: Iterable[tuple[int, Cause, str]]) -> None:
        where = f"{target[0]}/{target[1]}"
        for offset, cause, key in letters:
            if is_invented(cause, self._cuts):
                says = f"{where} has a record at {offset} that does not follow from {_place(cause)}"
                self._findings.add(Finding(INVENTED_MESSAGE, where, says, key, offset))
            else:
                self.after_cut += 1

    async def _compare_registry(self) -> None:
        topic = self._names.registry
        holds = await self._state_of(topic)
        for key, value in sorted(self._registry.items()):
            if holds.get(key) != value:
                says = f"{topic} has {text_of(holds.get(key))!r} for {text_of(key)}, not {text_of(value)!r}"
                self._findings.add(Finding(LOST_MESSAGE, f"{topic}/0", says, text_of(key)))

    async def _compare_decisions(self) -> None:
        """Look for the decisions that releases have made; an operator may have decided anew since."""
        topic = self._names.decisions
        holds = await self._state_of(topic) if self._decided else {}
        for key in sorted(self._decided - holds.keys()):
            says = f"{topic} has no decision about {text_of(key)}, which was released"
            self._findings.add(Finding(LOST_MESSAGE, f"{topic}/0", says, text_of(key)))

    async def _state_of(self, topic: str) -> dict[bytes, bytes | None]:
        """Return what a compacted topic of one partition holds."""
        holds: dict[bytes, bytes | None] = {}
        begin, end = await self._logs.begin(topic, 0), await self._logs.end(topic, 0)
        async for records in self._logs.read(topic, 0, begin, end):
            holds |= {record.key or b"": record.value for record in records}
        return holds


def _finding(kind: str, where: str, says: str, key: str, offset: int) -> Any:
    return lambda: Finding(kind, where, says, key, offset)


def _digest(record: Record) -> bytes:
    return digest_of(record.timestamp, record.key, record.value, record.headers)


def _place(cause: Cause | None) -> str:
    if cause is None:
        return "anything"
    return f"{cause.source[0]}/{cause.source[1]} at {cause.offset}, from which it says that it follows"
