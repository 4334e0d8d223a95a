"""Records in another partition than their key's: sent on once, and each copy folded once.

See docs/spec/facts.md#wrong-partition. Clients built on librdkafka choose partitions by CRC32 unless told
otherwise. The copy names the place of the record in its header, but where it goes is computed from the key.

Every sender reroutes the records of a partition in order. So a copy is a repeat, sent by another app too, if
its offset lies between the one from which a sender reroutes and the greatest that was folded of that sender.
A sender whose older version has folded misplaced records itself reroutes from a later offset than 0 on, and
states it (`rebate-rerouted-since`): else an app that is built anew would take its own copies of those records
for repeats (docs/adr/0023-rerouted-records.md).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from msgspec.json import encode

from rebate_app.metrics.catalogue import REROUTED
from rebate_app.wire.failure_headers import REROUTED as OUR_HEADERS
from rebate_app.wire.failure_headers import REROUTED_FROM, REROUTED_SINCE, Header
from rebate_app.wire.stages import RECORD_BYTES_MAX
from rebate_app.wire.truncation import OUR_HEADERS_BYTES_MAX, record_bytes

from ..kafka.header_names import undecodable_name
from ..state.buffer import StateTransaction
from ..state.store import WATERMARK_KEY, decode_watermark
from ..task.stage import Record
from ..transaction.collector import OutgoingRecord, RecordCollector
from ..transaction.partitioner import is_in_place, partition_of
from .record_kinds import (
    REROUTED_COPIES,
    REROUTING,
    REROUTING_KEY,
    ReroutedCopies,
    Rerouting,
    rerouted_key,
)

SENT_ON, REPEAT = "rerouted", "repeat"
#: Largest record that is sent on: every source takes it, uncompressed, with the header added.
COPY_BYTES_MAX = 2 * RECORD_BYTES_MAX - OUR_HEADERS_BYTES_MAX
#: Of one source partition: as many apps that began at different offsets are told apart.
SPANS_MAX = 16
_match_origin = re.compile(rb"(0|[1-9][0-9]{0,8})/(0|[1-9][0-9]{0,17})").fullmatch
_match_offset = re.compile(rb"[1-9][0-9]{0,17}").fullmatch


class Origin(NamedTuple):
    """The record that a copy repeats; its sender reroutes that partition from offset `since` on."""

    partition: int
    offset: int
    since: int = 0


def origin_of(record: Record, partitions: int) -> Origin | None:
    """Return what the headers of a copy name; None for a record that is no copy.

    Headers that no sender of ours can have written make no copy: such a record is folded like any other.
    """
    found = [(name, value) for name, value in record.headers if name in OUR_HEADERS]
    values = dict(found)
    if REROUTED_FROM not in values or len(values) < len(found):
        return None
    place = _match_origin(values[REROUTED_FROM] or b"")
    since = values.get(REROUTED_SINCE)
    if place is None or (REROUTED_SINCE in values and not _match_offset(since or b"")):
        return None
    origin = Origin(int(place[1]), int(place[2]), int(since or 0))
    possible = origin.partition < partitions and origin.partition != record.partition
    return origin if possible and origin.since <= origin.offset else None


class Rerouter:
    """The rerouting of one partition's records, within one batch.

    Its changes stay out of the state transaction until the batch is finished, so that rolling back a fold
    keeps them.
    """

    def __init__(self, transaction: StateTransaction, topic: str, partitions: int) -> None:
        self._transaction = transaction
        self._topic = topic
        self._partitions = partitions
        self._copies: dict[int, ReroutedCopies] = {}  # changed ones, by the partition of their records
        self._counts: dict[str, int] = {}
        start = REROUTING.read(transaction, REROUTING_KEY)
        self._is_new = start is None
        self._since = _first_offset(transaction) if start is None else start.since  # the rule holds from here

    def is_misplaced(self, record: Record) -> bool:
        """Return whether the record belongs to another partition; False if it was before the rule."""
        if is_in_place(record.key, record.partition, self._partitions):
            return False
        return record.offset >= self._since

    def send_on(self, record: Record, collector: RecordCollector) -> None:
        """Send a copy of the record to the partition of its key."""
        key = record.key or b""
        added: list[Header] = [(REROUTED_FROM, b"%d/%d" % (record.partition, record.offset))]
        if self._since:
            added.append((REROUTED_SINCE, b"%d" % self._since))
        kept = [header for header in record.headers if header[0] not in OUR_HEADERS]
        to = partition_of(key, self._partitions)
        copy = OutgoingRecord(self._topic, key, record.value, record.timestamp, (*kept, *added), to)
        collector.send_raw(copy)
        self._count(SENT_ON)

    def origin_of(self, record: Record) -> Origin | None:
        """Return the origin of a copy, None for any other record and for those before the rule."""
        return origin_of(record, self._partitions) if record.offset >= self._since else None

    def is_repeat(self, origin: Origin) -> bool:
        """Return whether a copy of that record was folded already; if so, it is counted."""
        if not any(since <= origin.offset <= last for since, last in self._copies_of(origin).spans):
            return False
        self._count(REPEAT)
        return True

    def note(self, origin: Origin) -> None:
        """Note that a copy was folded, is parked or is a dead letter."""
        copies = self._copies_of(origin)
        spans = dict(copies.spans)
        if origin.since not in spans and len(spans) >= SPANS_MAX:
            return
        spans[origin.since] = origin.offset  # above what it was, else the copy were a repeat
        self._copies[origin.partition] = ReroutedCopies(1, sorted(spans.items()))

    def finish(self, collector: RecordCollector) -> None:
        """Write what has changed to the state transaction, and count."""
        changes = self._transaction.changes
        if self._is_new:
            changes[REROUTING_KEY] = encode(Rerouting(1, self._since))
        for partition, copies in self._copies.items():
            changes[rerouted_key(partition)] = encode(copies)
        collector.count({(REROUTED, (self._topic, outcome)): n for outcome, n in self._counts.items()})

    def _copies_of(self, origin: Origin) -> ReroutedCopies:
        changed = self._copies.get(origin.partition)
        if changed is not None:
            return changed
        return REROUTED_COPIES.read(self._transaction, rerouted_key(origin.partition)) or ReroutedCopies()

    def _count(self, outcome: str) -> None:
        self._counts[outcome] = self._counts.get(outcome, 0) + 1


def can_be_sent_on(record: Record) -> bool:
    """Return whether a copy can have everything that the record has, and the topic takes it."""
    if record.headers and undecodable_name(record.headers) is not None:
        return False
    return record_bytes(record.key, record.value, record.headers) <= COPY_BYTES_MAX


def _first_offset(transaction: StateTransaction) -> int:
    """Return the offset behind what a version without this rule has folded, 0 for a new state."""
    stored = transaction.get(WATERMARK_KEY)
    return 0 if stored is None else decode_watermark(stored).offset + 1
