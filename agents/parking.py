"""The parking lot of a partition: keys whose messages wait because our fold failed on one of them.

Law: of a parked key every record waits, in order, beginning with the one that failed; nobody else's is
touched. A release folds them in that order, each with its own offset and timestamp, as if it had never
waited; records that come meanwhile wait behind, and the key is free when none is left (docs/failures.md).

It is pure: what waits is kept in the table's changelog and not fetched from the parked topic, which has a
copy for people. So a release needs no reader, is one transaction like everything else, and is repeated by
the audit. It is separate from the guard because the guard knows folds, and this knows records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec import Struct
from msgspec.json import Decoder, decode, encode

from rebate_app.lane.outbox import Outbox, Outgoing
from rebate_app.lane.stage import Record
from rebate_app.lane.store import Overlay
from rebate_app.wire.control import Control, encode_cursor
from rebate_app.wire.decisions import REPLAYED, Decision, encode_decision
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.moments import format_moment
from tables.parking import (
    PARKED,
    PARKED_KEYS,
    PARKED_KEYS_KEY,
    TALLY,
    TALLY_KEY,
    Parked,
    ParkedKeys,
    Tally,
    Waiting,
    first_at_key,
    parked_key,
    waiting_key,
)

from .dead_letters import parked_copy

#: What one control message moves and sends at most; the rest goes on by cursor (engine.md 2).
MOVES_MAX = 500
SENDS_MAX = 500
MILLISECOND_US = 1_000

Changes = dict[bytes, bytes | None]
_decode_waiting = Decoder(Waiting).decode


class Again(Struct):
    """A record that waited, as the stage sees it: with its own offset and timestamp (a Record)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Step:
    """What one control message has done so far."""

    def __init__(self, control: Record, sent_before: int) -> None:
        self.control = control
        self.sent_before = sent_before
        self.moved = 0


class ParkingLot:
    """The parked keys of a partition, within one chunk.

    Its changes are kept apart from the overlay's until the chunk is finished, so that undoing a fold
    never undoes what was parked before it.
    """

    def __init__(self, overlay: Overlay, app: str, topic: str, decisions: str) -> None:
        self._overlay = overlay
        self._app = app
        self._topic = topic
        self._decisions = decisions
        self._changes: Changes = {}
        self._loaded: dict[bytes, Parked] = {}
        self.tally = TALLY.read(overlay, TALLY_KEY) or Tally()
        listed = PARKED_KEYS.read(overlay, PARKED_KEYS_KEY) if self.tally.keys else None
        self._listed = {key: (since, at) for key, since, at in listed.keys} if listed else {}
        self._list_changed = self._is_used = False
        self.keys: set[bytes | None] = set(self._listed)

    def parked(self, key: bytes) -> Parked:
        """Return the record of a parked key; it may be changed in place."""
        self._is_used = True
        found = self._loaded.get(key)
        if found is None:
            found = PARKED.read(self._overlay, parked_key(key))
            if found is None:
                raise KeyError(f"{key!r} is listed as parked and has no record")
            self._loaded[key] = found
        return found

    def park(self, record: Record, reason: str, first_at: str, outbox: Outbox) -> None:
        """Park the key of a record on which the fold has failed; the record is the first that waits."""
        key = cast("bytes", record.key)
        self._loaded[key] = Parked(1, record.offset, record.timestamp, reason)
        self._listed[key] = (record.offset, record.timestamp)
        self.keys.add(key)
        self.tally.keys += 1
        self._list_changed = True
        self._changes[first_at_key(key)] = encode(first_at)
        self.add(record, outbox, attempts=1)

    def add(self, record: Record, outbox: Outbox, attempts: int = 0) -> None:
        """Have a record wait behind the others of its key, and send its copy to the parked topic."""
        key = cast("bytes", record.key)
        parked = self.parked(key)
        headers = cast("list[tuple[str, bytes | None]]", list(record.headers))
        waiting = Waiting(1, record.offset, record.timestamp, record.value, headers, attempts)
        self._changes[waiting_key(key, parked.next)] = encode(waiting)
        parked.next += 1
        self.tally.records += 1
        outbox.send_raw(parked_copy(record, self._topic))

    def begin_release(self, key: bytes, control: Control, offset: int) -> None:
        """Note that what waits is being folded from here on."""
        parked = self.parked(key)
        parked.release, parked.by, parked.skip = offset, control.by, control.skip
        self.tally.releasing += 1

    def stop_release(self, key: bytes) -> None:
        """Note that the first one that waits has failed again; it goes on waiting, and all behind it."""
        parked = self.parked(key)
        head = self._waiting(key, parked.first)
        head.attempts += 1
        self._changes[waiting_key(key, parked.first)] = encode(head)
        parked.release, parked.by, parked.skip = -1, "", []
        self.tally.releasing -= 1

    def head(self, key: bytes, step: Step, outbox: Outbox) -> Waiting | None:
        """Return the first one that waits; None when none does, or the step has done enough."""
        parked = self.parked(key)
        sent = len(outbox.records) - step.sent_before
        if not parked.count or step.moved >= MOVES_MAX or sent >= SENDS_MAX:
            return None
        return self._waiting(key, parked.first)

    def as_record(self, waiting: Waiting, control: Record) -> Again:
        """Return what waits as the record that it was."""
        headers = cast("list[tuple[str, bytes]]", waiting.headers)
        return Again(
            control.topic,
            control.partition,
            waiting.offset,
            waiting.timestamp,
            control.key,
            waiting.value,
            headers,
        )

    def first_at(self, key: bytes) -> str:
        """Return when the parked key's first record failed first, as its dead letter says."""
        stored = self._changes.get(first_at_key(key)) or self._overlay.get(first_at_key(key))
        return decode(stored, type=str) if stored else ""

    def drop_head(self, key: bytes, step: Step) -> None:
        """Take away the first one that waits: it is folded, dead-lettered or left out."""
        parked = self.parked(key)
        self._changes[waiting_key(key, parked.first)] = None
        parked.first += 1
        self.tally.records -= 1
        step.moved += 1

    def decide(self, place: Place, key: bytes, step: Step, outbox: Outbox) -> None:
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
        outbox.send_raw(Outgoing(self._decisions, letter, value, control.timestamp, (), 0))

    def go_on(self, key: bytes, step: Step, outbox: Outbox) -> None:
        """Free the key when nothing waits any more, else send oneself a cursor."""
        parked, control = self.parked(key), step.control
        if parked.count:
            value = encode_cursor(self._app, parked.release)
            cursor = Outgoing(control.topic, key, value, control.timestamp, (), control.partition)
            outbox.send_raw(cursor)
            return
        self._changes[parked_key(key)] = None
        self._changes[first_at_key(key)] = None
        del self._loaded[key], self._listed[key]
        self.keys.discard(key)
        self.tally.keys -= 1
        self.tally.releasing -= 1
        self._list_changed = True

    def _waiting(self, key: bytes, number: int) -> Waiting:
        name = waiting_key(key, number)
        value = self._changes[name] if name in self._changes else self._overlay.get(name)
        if value is None:
            raise KeyError(f"record {number} that waits for {key!r} is not there")
        return _decode_waiting(value)

    def changes(self) -> Changes:
        """Return the records that changed, for the overlay."""
        if not self._is_used:
            return {}
        self._changes.update((parked_key(key), encode(parked)) for key, parked in self._loaded.items())
        self._changes[TALLY_KEY] = encode(self.tally)
        if self._list_changed:
            keys = [(key, since, at) for key, (since, at) in self._listed.items()]
            self._changes[PARKED_KEYS_KEY] = encode(ParkedKeys(1, keys)) if keys else None
        return self._changes
