"""The parked keys of a partition: after our fold failed on a record of a key, the key's records wait.

Every record of a parked key waits, in order, beginning with the one that failed; other keys are not affected.
A release folds them in that order, each with its own offset and timestamp; records that arrive meanwhile wait
behind, and the key is free when none is left (docs/failures.md).

Waiting records are kept in the table's changelog (ADR 8); the parked topic has a copy for people. So a
release needs no reader, is part of an ordinary transaction, and an audit repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec import Struct
from msgspec.json import decode, encode

from rebate_app.wire.control import Control, encode_cursor
from rebate_app.wire.decisions import REPLAYED, Decision, encode_decision
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.moments import MILLISECOND_US, format_moment
from rebate_app.wire.truncation import COPIED_BYTES_MAX, record_bytes

from ..state.buffer import StateTransaction
from ..task.stage import Record
from ..transaction.collector import OutgoingRecord, RecordCollector
from .dead_letter import parked_copy
from .record_kinds import (
    PARKED,
    PARKED_KEYS,
    PARKED_KEYS_KEY,
    PARKED_TOTALS,
    PARKED_TOTALS_KEY,
    WAITING,
    Parked,
    ParkedKeys,
    ParkedTotals,
    Waiting,
    first_at_key,
    parked_key,
    waiting_key,
)

#: What one control message moves and sends at most; a cursor continues with the rest
#: (docs/spec/exactness.md#effects-per-message).
MOVES_MAX = 500
SENDS_MAX = 500
MOVED_BYTES_MAX = 2 * COPIED_BYTES_MAX
#: JSON takes at most six characters for a byte (of a header's name), for a value four for three.
TEXT_PER_BYTE_MAX = 6

Changes = dict[bytes, bytes | None]


class ReleasedRecord(Struct):
    """A record that waited, with its own offset and timestamp (implements Record)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class ReleaseStep:
    """How much one control message has moved so far."""

    def __init__(self, control: Record, sent_before: int) -> None:
        self.control = control
        self.sent_before = sent_before
        self.moved = 0
        self.moved_bytes = 0


class ParkingLot:
    """The parked keys of a partition, within one batch.

    Its changes stay out of the state transaction until the batch is finished, so that rolling back a fold
    keeps what was parked before it.
    """

    def __init__(self, transaction: StateTransaction, app: str, topic: str, decisions: str) -> None:
        self._transaction = transaction
        self._app = app
        self._topic = topic
        self._decisions = decisions
        self._changes: Changes = {}
        self._loaded: dict[bytes, Parked] = {}
        self.totals = PARKED_TOTALS.read(transaction, PARKED_TOTALS_KEY) or ParkedTotals()
        listed = PARKED_KEYS.read(transaction, PARKED_KEYS_KEY) if self.totals.keys else None
        self._listed = {key: (since, at) for key, since, at in listed.keys} if listed else {}
        self._list_changed = self._is_used = False
        self.keys: set[bytes | None] = set(self._listed)

    def parked(self, key: bytes) -> Parked:
        """Return the record of a parked key, to be changed in place."""
        self._is_used = True
        found = self._loaded.get(key)
        if found is None:
            found = PARKED.read(self._transaction, parked_key(key))
            if found is None:
                raise KeyError(f"{key!r} is listed as parked and has no record")
            self._loaded[key] = found
        return found

    def park(self, record: Record, reason: str, first_at: str, collector: RecordCollector) -> None:
        """Park the key of a record on which the fold has failed; the record is the first that waits."""
        key = cast("bytes", record.key)
        self._loaded[key] = Parked(1, record.offset, record.timestamp, reason)
        self._listed[key] = (record.offset, record.timestamp)
        self.keys.add(key)
        self.totals.keys += 1
        self._list_changed = True
        self._changes[first_at_key(key)] = encode(first_at)
        self.add(record, collector, attempts=1)

    def add(self, record: Record, collector: RecordCollector, attempts: int = 0) -> None:
        """Have a record wait behind the others of its key, and send its copy to the parked topic."""
        key = cast("bytes", record.key)
        parked = self.parked(key)
        self._changes[waiting_key(key, parked.next)] = encode(_waiting_of(record, attempts))
        parked.next += 1
        self.totals.records += 1
        collector.send_raw(parked_copy(record, self._topic, self._app))

    def can_keep(self, record: Record) -> bool:
        """Whether the table's changelog takes the record as one that waits."""
        size = record_bytes(record.key, record.value, record.headers)
        if size * TEXT_PER_BYTE_MAX <= COPIED_BYTES_MAX:
            return True
        return len(record.key or b"") + len(encode(_waiting_of(record, 0))) <= COPIED_BYTES_MAX

    def begin_release(self, key: bytes, control: Control, offset: int) -> None:
        """Mark the key as being released."""
        parked = self.parked(key)
        parked.release, parked.by, parked.skip = offset, control.by, control.skip
        self.totals.releasing += 1

    def stop_release(self, key: bytes) -> None:
        """End the release: the first waiting record failed again; it and all behind it go on waiting."""
        parked = self.parked(key)
        head = self._waiting(key, parked.first)
        head.attempts += 1
        self._changes[waiting_key(key, parked.first)] = encode(head)
        parked.release, parked.by, parked.skip = -1, "", []
        self.totals.releasing -= 1

    def head(self, key: bytes, step: ReleaseStep, collector: RecordCollector) -> Waiting | None:
        """Return the first waiting record; None when there is none, or the step is full."""
        parked = self.parked(key)
        sent = len(collector.records) - step.sent_before
        full = step.moved >= MOVES_MAX or sent >= SENDS_MAX or step.moved_bytes >= MOVED_BYTES_MAX
        if not parked.count or full:
            return None
        return self._waiting(key, parked.first)

    def as_record(self, waiting: Waiting, control: Record) -> ReleasedRecord:
        """Return a waiting record as the stage read it."""
        headers = cast("list[tuple[str, bytes]]", waiting.headers)
        return ReleasedRecord(
            control.topic,
            control.partition,
            waiting.offset,
            waiting.timestamp,
            control.key,
            waiting.value,
            headers,
        )

    def first_at(self, key: bytes) -> str:
        """Return when the first record of the parked key failed first, as in its dead letter."""
        stored = self._changes.get(first_at_key(key)) or self._transaction.get(first_at_key(key))
        return decode(stored, type=str) if stored else ""

    def drop_head(self, key: bytes, step: ReleaseStep) -> None:
        """Remove the first waiting record: it is folded, dead-lettered or skipped."""
        parked = self.parked(key)
        self._changes[waiting_key(key, parked.first)] = None
        parked.first += 1
        self.totals.records -= 1
        step.moved += 1

    def decide(self, place: Place, key: bytes, step: ReleaseStep, collector: RecordCollector) -> None:
        """Close the dead letter of a record that was folded after all."""
        control = step.control
        decision = Decision(
            REPLAYED,
            by=self.parked(key).by,
            at=format_moment(control.timestamp * MILLISECOND_US),
            why="released",
            place=str(Place(control.topic, control.partition, control.offset)),
        )
        letter, value = encode_decision(place, decision)
        collector.send_raw(OutgoingRecord(self._decisions, letter, value, control.timestamp, (), 0))

    def go_on(self, key: bytes, step: ReleaseStep, collector: RecordCollector) -> None:
        """Free the key when no record waits, else send a cursor to continue."""
        parked, control = self.parked(key), step.control
        if parked.count:
            value = encode_cursor(self._app, parked.release)
            cursor = OutgoingRecord(control.topic, key, value, control.timestamp, (), control.partition)
            collector.send_raw(cursor)
            return
        self._changes[parked_key(key)] = None
        self._changes[first_at_key(key)] = None
        del self._loaded[key], self._listed[key]
        self.keys.discard(key)
        self.totals.keys -= 1
        self.totals.releasing -= 1
        self._list_changed = True

    def _waiting(self, key: bytes, number: int) -> Waiting:
        name = waiting_key(key, number)
        value = self._changes[name] if name in self._changes else self._transaction.get(name)
        if value is None:
            raise KeyError(f"record {number} that waits for {key!r} is not there")
        return WAITING.decode(value, name)

    def changes(self) -> Changes:
        """Return the changed records, for the state transaction."""
        if not self._is_used:
            return {}
        self._changes.update((parked_key(key), encode(parked)) for key, parked in self._loaded.items())
        self._changes[PARKED_TOTALS_KEY] = encode(self.totals)
        if self._list_changed:
            keys = [(key, since, at) for key, (since, at) in self._listed.items()]
            self._changes[PARKED_KEYS_KEY] = encode(ParkedKeys(1, keys)) if keys else None
        return self._changes


def _waiting_of(record: Record, attempts: int) -> Waiting:
    headers = cast("list[tuple[str, bytes | None]]", list(record.headers))
    return Waiting(1, record.offset, record.timestamp, record.value, headers, attempts)
