"""What stands in the retry topics: events that wait, as copies with headers, and marks of what is done.

Law: a copy says in its headers all that is known of the event's delivery, so that whoever takes the partition
over goes on where the last one was. It is separate because whoever writes, reads and replays copies shares
only this.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rebate_app.domain.reasons import reason_of
from rebate_app.lane.outbox import Outgoing
from rebate_app.lane.stage import Record
from rebate_app.wire import failure_headers as names
from rebate_app.wire.failure_headers import Header, Place, parse_place, texts_of
from rebate_app.wire.moments import format_moment

PREFIX = "rebate-webhook-"
APP = names.DELIVERED_BY
ORIGIN = PREFIX + "origin"  # where the event stands in rebate-events
ATTEMPTS = PREFIX + "attempt"  # how many there were
FIRST_AT = PREFIX + "first-at"
EVENT_AT = PREFIX + "event-at"
ERROR = PREFIX + "error"
THROUGH = PREFIX + "through"  # of a mark: this user's events up to that offset are done
MILLISECOND_US = 1_000

#: Events of one line are delivered in order: a user's, or one event that has no order with any other.
Line = bytes | Place


class Event(Struct, frozen=True):
    """What is delivered: the record without what we wrote on it."""

    key: bytes | None
    value: bytes
    headers: tuple[Header, ...] = ()

    @property
    def weight(self) -> int:
        """Return about how many bytes it takes in memory."""
        return len(self.value) + len(self.key or b"") + sum(len(n) + len(v) for n, v in self.headers) + 500


class Travel(Struct, frozen=True):
    """What is known of an event's delivery; times in ms since 1970. `attempts` failed so far."""

    origin: Place
    event_at: int
    attempts: int = 0
    first_at: int = 0
    error: str = ""


class Mark(Struct, frozen=True):
    """All events of that key up to that offset of rebate-events are done."""

    key: bytes
    through: int


def event_of(record: Record) -> Event:
    """Return the event that a record holds."""
    theirs = tuple(header for header in record.headers if not header[0].startswith(PREFIX))
    return Event(record.key, record.value or b"", theirs)


def place_of(record: Record) -> Place:
    """Return where the record stands."""
    return Place(record.topic, record.partition, record.offset)


def read_copy(record: Record, app: str) -> Travel | Mark | None:
    """Return what a record of a retry topic is; None for what is another app's, or nothing that we know.

    A copy without an origin is one that was sent again from a dead letter: it has no order any more.
    """
    told = texts_of(record.headers)
    if told.get(APP) != app:
        return None
    try:
        if THROUGH in told:
            return None if record.key is None else Mark(record.key, int(told[THROUGH]))
        if record.value is None:
            return None
        event_at = int(told.get(EVENT_AT, record.timestamp))
        if ORIGIN not in told:
            return Travel(place_of(record), event_at)
        attempts, first_at = int(told[ATTEMPTS]), int(told[FIRST_AT])
        return Travel(parse_place(told[ORIGIN]), event_at, attempts, first_at, told.get(ERROR, ""))
    except (KeyError, ValueError):
        return None


def copy_of(event: Event, travel: Travel, topic: str, app: str, now_ms: int) -> Outgoing:
    """Return the copy of an event for a retry topic: due a delay after `now_ms`."""
    ours: list[Header] = [
        (APP, app.encode()),
        (ORIGIN, str(travel.origin).encode()),
        (ATTEMPTS, str(travel.attempts).encode()),
        (FIRST_AT, str(travel.first_at).encode()),
        (EVENT_AT, str(travel.event_at).encode()),
        (ERROR, travel.error.encode()),
    ]
    partition = travel.origin.partition
    return Outgoing(topic, event.key, event.value, now_ms, (*event.headers, *ours), partition)


def mark_of(mark: Mark, topic: str, partition: int, app: str, now_ms: int) -> Outgoing:
    """Return the record that says so."""
    headers = ((APP, app.encode()), (THROUGH, str(mark.through).encode()))
    return Outgoing(topic, mark.key, None, now_ms, headers, partition)


class Undelivered(Struct, frozen=True):
    """Why an event is given up, and who says so."""

    reason: str
    app_id: str
    version: str
    worker: str


def dead_letter_of(event: Event, travel: Travel, why: Undelivered, topic: str, now_ms: int) -> Outgoing:
    """Return the dead letter of an event: as of every record that fails (docs/dead-letters.md)."""
    told = texts_of(event.headers)
    now = format_moment(now_ms * MILLISECOND_US)
    ours = [
        (names.REASON, why.reason),
        (names.DETAIL, travel.error),
        (names.MEMBER, ""),
        (names.STAGE, reason_of(why.reason).failed_at),
        (names.TOPIC, travel.origin.topic),
        (names.PARTITION, str(travel.origin.partition)),
        (names.OFFSET, str(travel.origin.offset)),
        (names.TIMESTAMP, str(travel.event_at)),
        (names.ATTEMPT, str(travel.attempts)),
        (names.FIRST_AT, format_moment(travel.first_at * MILLISECOND_US)),
        (names.AT, now),
        (names.APP_VERSION, why.version),
        (names.WORKER, why.worker),
        (names.APP, why.app_id),
    ]
    if names.REPLAY_OF in told:
        ours.append((names.ORIGIN, told.get(names.ORIGIN) or told[names.REPLAY_OF]))
    theirs = without_failure(event.headers)
    headers = (*theirs, *((name, text.encode()) for name, text in ours))
    return Outgoing(topic, event.key, event.value, travel.event_at, headers, travel.origin.partition)


def without_failure(headers: Sequence[Header]) -> tuple[Header, ...]:
    """Return the headers without those of an earlier failure."""
    return tuple(header for header in headers if not header[0].startswith(names.ERROR_PREFIX))
