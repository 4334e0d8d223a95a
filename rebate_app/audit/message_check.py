"""Compares the messages that the fold sends with those on the topics: none lost, doubled or invented.

Every message that the fold sends up to the cut is on its partition exactly once, and no other message
whose cause lies at or before the cut is there. Used rules and decisions are states by key, compared by
their last record, however often it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rebate_app.domain.messages import Cursor, Message
from rebate_app.domain.pricing.catalogue import Activation
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.facts.owner import begins_as_owner_fact, decode_owner_fact, is_ours
from rebate_app.wire.facts.payouts import AuthoredFact
from rebate_app.wire.internal import ForeignMessageError, decode_message, is_internal
from rebate_app.wire.unreadable import UnreadableValueError

from .causality import (
    Cut,
    RecordCause,
    RecordCauses,
    Source,
    cause_in_headers,
    is_invented,
    writer_in_headers,
)
from .event_check import EventCheck
from .findings import DOUBLED_MESSAGE, INVENTED_MESSAGE, LOST_MESSAGE, UNAUDITABLE, Finding, Findings
from .logs import Logs, Record
from .message_digests import (
    DigestComparison,
    PresentDigests,
    SentDigests,
    Target,
    digest_of,
    digest_of_record,
)
from .rendering import named, text_of
from .reroute_check import RerouteCheck, is_rerouted
from .scope import AuditScope

CURSOR_MARK = b'"kind":"cursor"'
#: Takes a message that the fold sends, and the offset of the record that causes it.
Send = Callable[[OutgoingRecord, int], None]


class MessageCheck:
    """Collects what the folds send, then compares it with the topics; events go to the event check.

    `present`: by partition of the user log, the messages that the fold has read there. `cuts`: set by
    `compare`, when the cuts are final.
    """

    def __init__(self, scope: AuditScope, logs: Logs, findings: Findings, events: EventCheck) -> None:
        self.compared = 0
        self.after_cut = 0
        self.cuts: Mapping[Source, Cut] = {}
        self.present = [PresentDigests() for _ in range(scope.partitions)]
        self._scope = scope
        self._logs = logs
        self._findings = findings
        self._events = events
        self._copies = RerouteCheck(logs, findings)
        self._sent = SentDigests()
        self._senders: list[Source] = []
        self._used_rules: dict[bytes, bytes] = {}
        self._decided: set[bytes] = set()
        self.followed: set[tuple[int, int]] = set()  # decisions that took effect as facts: partition, offset

    def sender(self, source: Source) -> Send:
        """Return the function that takes what the fold of that source partition sends."""
        number = len(self._senders)
        self._senders.append(source)
        scope, count, sent, events = self._scope, self._scope.partitions, self._sent, self._events
        event_sender = events.register(source)
        sources = (scope.orders, scope.user_log)

        def send(outgoing: OutgoingRecord, offset: int) -> None:
            if outgoing.topic == scope.used_rules:
                self._used_rules[outgoing.key or b""] = outgoing.value or b""
                return
            if outgoing.topic == scope.decisions:
                self._decided.add(outgoing.key or b"")
                return
            if outgoing.topic == scope.events:
                events.take(outgoing, event_sender, offset)
                return
            if outgoing.headers and outgoing.topic in sources and is_rerouted(outgoing.headers):
                self._copies.add(outgoing, source, offset)
                return
            partition = outgoing.partition
            if partition is None:
                partition = partition_of(outgoing.key or b"", count)
            digest = digest_of(outgoing.timestamp_ms, outgoing.key, outgoing.value, outgoing.headers)
            sent.add((outgoing.topic, partition), digest, number, offset)

        return send

    async def compare(self, watermarks: Mapping[Source, int]) -> None:
        """Compare all topics but that of events.

        `watermarks`: source partition → last folded offset. Everything sent up to it is acknowledged.
        """
        logs, scope = self._logs, self._scope
        for partition, present in enumerate(self.present):
            await self._read_tail(partition, present)
        self.cuts = {
            source: Cut(watermark, await logs.end(*source)) for source, watermark in watermarks.items()
        }
        for partition, present in enumerate(self.present):
            await self._compare_user_log(partition, present)
        self.compared += await self._copies.compare()
        for topics in (scope.dead_letters, scope.parked):
            for source, topic in topics.items():
                for partition in range(scope.partitions):
                    await self._compare_dead_letters(source, (topic, partition))
        for target in self._sent.targets():
            if target[0] not in scope.stage_topics:
                await self._compare_dead_letters("", target)
        await self._compare_used_rules()
        await self._compare_decisions()

    async def _read_tail(self, partition: int, present: PresentDigests) -> None:
        """Read from the cut to the current high watermark, before which is all that the cuts have sent."""
        topic = self._scope.user_log
        start = max(present.position, await self._logs.begin(topic, partition))
        end = await self._logs.end(topic, partition)
        async for records in self._logs.read(topic, partition, start, end):
            for record in records:
                if is_internal(record.value) or is_ours(record.value, self._scope.app):
                    present.add(digest_of_record(record), record.offset)

    async def _compare_user_log(self, partition: int, present: PresentDigests) -> None:
        target = (self._scope.user_log, partition)
        if await self._lost_beginning(target):
            return
        comparison = DigestComparison(self._sent.entries(target), present)
        self.compared += comparison.sent
        await self._add_lost(target, comparison)
        await self._add_doubled(target, comparison)
        if comparison.unknown:
            await self._judge_unknown(target, comparison.unknown)

    async def _lost_beginning(self, target: Target) -> bool:
        """Note a log that has lost its beginning: messages to it cannot be compared."""
        begin = await self._logs.begin(*target)
        if begin:
            where = f"{target[0]}/{target[1]}"
            text = f"{where} begins at {begin}: it cannot be audited from the beginning"
            self._findings.add(Finding(UNAUDITABLE, where, text))
        return begin > 0

    async def _judge_unknown(self, target: Target, offsets: list[int]) -> None:
        """Decide for messages that the fold did not send whether their causes come after the cut."""
        wanted = set(offsets)
        cut = self.cuts.get(target)
        start = 0 if cut is None else min(offsets[0], cut.watermark + 1)
        causes = RecordCauses(self._scope.orders, self._scope.user_log, self._partition_of)
        async for records in self._logs.read(*target, start, offsets[-1] + 1):
            for record in records:
                if record.offset in wanted and begins_as_owner_fact(record.value):
                    self._judge_owner_fact(record, cut)
                elif record.offset in wanted:
                    self._judge_message(record, causes)
                elif is_internal(record.value) and CURSOR_MARK in (record.value or b""):
                    self._decoded(record, causes)

    def _judge_message(self, record: Record, causes: RecordCauses) -> None:
        message = self._decoded(record, causes)
        if message is None:
            return
        cause = causes.cause_of(message)
        if not is_invented(cause, self.cuts):
            self.after_cut += 1
            return
        where = f"{record.topic}/{record.partition}"
        text = f"{where} has a message at {record.offset} that does not follow from {_place(cause)}"
        key = text_of(record.key)
        self._findings.add_lazily(
            INVENTED_MESSAGE,
            where,
            key,
            record.offset,
            lambda: Finding(INVENTED_MESSAGE, where, text, key, record.offset, table=named(message)),
        )

    def _judge_owner_fact(self, record: Record, cut: Cut | None) -> None:
        """Judge what the fold did not write: what is behind the cut may have come meanwhile."""
        try:
            fact = decode_owner_fact(record.value, record.key, self._scope.app)
        except UnreadableValueError:
            return  # its partition halts there
        if isinstance(fact, AuthoredFact):
            self._judge_decision(record, cut)
        elif isinstance(fact, Activation):
            self._judge_activation(record, fact, cut)

    def _judge_decision(self, record: Record, cut: Cut | None) -> None:
        """Judge a decision of this app: one that took effect as a fact is of a state before this one."""
        if (record.partition, record.offset) in self.followed:
            return
        if cut is None or record.offset > cut.watermark:
            self.after_cut += 1
            return
        where, key = f"{record.topic}/{record.partition}", text_of(record.key)
        text = f"{where} has a decision at {record.offset} that the account did not make"
        self._findings.add(Finding(INVENTED_MESSAGE, where, text, key, record.offset))

    def _judge_activation(self, record: Record, activation: Activation, cut: Cut | None) -> None:
        if cut is None or activation.after_offset >= cut.watermark:
            self.after_cut += 1
            return
        where, key = f"{record.topic}/{record.partition}", text_of(record.key)
        text = (
            f"{where} states at {record.offset} that {activation.version} is known after "
            f"{activation.after_offset}, which its owner did not note"
        )
        self._findings.add(Finding(INVENTED_MESSAGE, where, text, key, record.offset))

    def _decoded(self, record: Record, causes: RecordCauses) -> Message | None:
        """Return the message; None for another app's or an unreadable one, which the fold dead-letters."""
        try:
            message = decode_message(record.value or b"", self._scope.app)
        except ForeignMessageError:
            return None
        if isinstance(message, Cursor):
            causes.add_cursor(message, record.offset)
        return message

    def _partition_of(self, key: str) -> int:
        return partition_of(key.encode(), self._scope.partitions)

    async def _add_lost(self, target: Target, comparison: DigestComparison) -> None:
        if not comparison.lost:
            return
        where = f"{target[0]}/{target[1]}"
        for digest, number, offset in self._sent.entries(target):
            if comparison.lost.get(digest):
                comparison.lost[digest] -= 1
                source = self._senders[number]
                key = await self._key_at(source, offset) if self._findings.room > 0 else ""
                text = (
                    f"{where} lacks a message that follows from {source[0]}/{source[1]} at {offset} ({key})"
                )
                identity = f"{digest.hex()} {comparison.lost[digest]}"
                self._findings.add_lazily(
                    LOST_MESSAGE, where, identity, offset, _finding(LOST_MESSAGE, where, text, key, offset)
                )

    async def _add_doubled(self, target: Target, comparison: DigestComparison) -> None:
        where = f"{target[0]}/{target[1]}"
        for offset in comparison.doubled:
            key = await self._key_at(target, offset) if self._findings.room > 0 else ""
            text = f"{where} has a message at {offset} ({key}) that is there already"
            self._findings.add_lazily(
                DOUBLED_MESSAGE, where, key, offset, _finding(DOUBLED_MESSAGE, where, text, key, offset)
            )

    async def _key_at(self, target: Target, offset: int) -> str:
        key = ""
        async for records in self._logs.read(*target, offset, offset + 1):
            key = text_of(records[0].key)
        return key

    async def _compare_dead_letters(self, source: str, target: Target) -> None:
        """Compare dead letters or parked records, which have the partition number of their source.

        `source` "": any other topic, to which not only the stages write. The apps of a prefix write to one
        topic, and of one record the same: what another app wrote is left out. What names no app may be
        anybody's (copies of parked records once named none): it is taken where ours lacks, and no finding.
        """
        if await self._lost_beginning(target):
            return
        present, anybodys = PresentDigests(), PresentDigests()
        causes: dict[int, tuple[RecordCause, str]] = {}
        async for records in self._logs.read(*target, 0, await self._logs.end(*target)):
            for record in records:
                writer = writer_in_headers(record) if source else self._scope.app
                if writer is None:
                    anybodys.add(digest_of_record(record), record.offset)
                elif writer == self._scope.app:
                    present.add(digest_of_record(record), record.offset)
                    cause = cause_in_headers(record, source)
                    if cause is not None:
                        causes[record.offset] = (cause, text_of(record.key))
        comparison = DigestComparison(self._sent.entries(target), present, anybodys)
        self.compared += comparison.sent
        await self._add_lost(target, comparison)
        await self._add_doubled(target, comparison)
        self._judge_dead_letters(
            target, ((offset, *causes[offset]) for offset in comparison.unknown if offset in causes)
        )

    def _judge_dead_letters(self, target: Target, letters: Iterable[tuple[int, RecordCause, str]]) -> None:
        where = f"{target[0]}/{target[1]}"
        for offset, cause, key in letters:
            if is_invented(cause, self.cuts):
                text = f"{where} has a record at {offset} that does not follow from {_place(cause)}"
                self._findings.add(Finding(INVENTED_MESSAGE, where, text, key, offset))
            else:
                self.after_cut += 1

    async def _compare_used_rules(self) -> None:
        topic = self._scope.used_rules
        current = await self._state_of(topic)
        for key, value in sorted(self._used_rules.items()):
            if current.get(key) != value:
                text = f"{topic} has {text_of(current.get(key))!r} for {text_of(key)}, not {text_of(value)!r}"
                self._findings.add(Finding(LOST_MESSAGE, f"{topic}/0", text, text_of(key)))

    async def _compare_decisions(self) -> None:
        """Compare the decisions of releases; an operator may have replaced them since."""
        topic = self._scope.decisions
        current = await self._state_of(topic) if self._decided else {}
        for key in sorted(self._decided - current.keys()):
            text = f"{topic} has no decision about {text_of(key)}, which a release has closed"
            self._findings.add(Finding(LOST_MESSAGE, f"{topic}/0", text, text_of(key)))

    async def _state_of(self, topic: str) -> dict[bytes, bytes | None]:
        """Return the state of a compacted topic of one partition: key → last value."""
        state: dict[bytes, bytes | None] = {}
        begin, end = await self._logs.begin(topic, 0), await self._logs.end(topic, 0)
        async for records in self._logs.read(topic, 0, begin, end):
            state |= {record.key or b"": record.value for record in records}
        return state


def _finding(kind: str, where: str, text: str, key: str, offset: int) -> Callable[[], Finding]:
    return lambda: Finding(kind, where, text, key, offset)


def _place(cause: RecordCause | None) -> str:
    if cause is None:
        return "anything"
    return f"{cause.source[0]}/{cause.source[1]} at {cause.offset}, which it names as its cause"
