"""Encode and decode the records of the retry topics: waiting events and progress markers.

The headers of a retry record hold the whole delivery state of its event, so that the next owner of the
partition continues where the last one stopped. Times are in ms since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rebate_app.domain.reasons import reason_of
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire import failure_headers as names
from rebate_app.wire.failure_headers import Header, Place, parse_place, texts_of
from rebate_app.wire.moments import MILLISECOND_US, format_moment
from rebate_app.wire.truncation import COPIED_BYTES_MAX, record_bytes, truncated
from rebate_app.wire.unreadable import UnreadableValueError, parse_number, parse_timestamp, shortened

PREFIX = "rebate-webhook-"
APP = names.DELIVERED_BY
ORIGIN = PREFIX + "origin"  # the event's place in rebate-events
ATTEMPTS = PREFIX + "attempt"  # failed attempts
FIRST_AT = PREFIX + "first-at"
EVENT_AT = PREFIX + "event-at"
ERROR = PREFIX + "error"
THROUGH = PREFIX + "through"  # of a progress marker: the key's events up to that offset are done

#: Events of one queue are delivered in order: a user's, or one event that has no order with any other.
QueueKey = bytes | Place


class Event(Struct, frozen=True):
    """What is delivered: the record without our headers."""

    key: bytes | None
    value: bytes
    headers: tuple[Header, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Return its approximate size in memory, in bytes."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.value) + len(self.key or b"") + headers + 500


class DeliveryState(Struct, frozen=True):
    """The delivery state of an event: failed attempts, and the times of the event and its first failure."""

    origin: Place
    event_at: int
    attempts: int = 0
    first_at: int = 0
    error: str = ""


class ProgressMarker(Struct, frozen=True):
    """All events of that key up to that offset of rebate-events are done."""

    key: bytes
    through: int


def may_wait(record: Record) -> bool:
    """Whether the event fits into a retry topic; a larger one is attempted once, out of order."""
    return record_bytes(record.key, record.value, record.headers) <= COPIED_BYTES_MAX


def event_of(record: Record) -> Event:
    """Return the event that a record holds."""
    theirs = tuple(header for header in record.headers if not header[0].startswith(PREFIX))
    return Event(record.key, record.value or b"", theirs)


def place_of(record: Record) -> Place:
    """Return the place of the record."""
    return Place(record.topic, record.partition, record.offset)


def read_retry_record(record: Record, app: str) -> DeliveryState | ProgressMarker | None:
    """Decode a record of a retry topic; None for another app's, or one that cannot be read."""
    try:
        return decode_retry_record(record, app)
    except UnreadableValueError:
        return None


def decode_retry_record(record: Record, app: str) -> DeliveryState | ProgressMarker | None:
    """Decode a record of a retry topic, None for another app's; UnreadableValueError.

    A record without an origin is the replay of a dead letter, and has no order with other events.
    """
    headers = texts_of(record.headers)
    if APP not in headers:
        raise UnreadableValueError(f"it has no header {APP}")
    if headers[APP] != app:
        return None
    if THROUGH in headers:
        if record.key is None:
            raise UnreadableValueError("it marks events as done and has no key")
        return ProgressMarker(record.key, parse_number(headers[THROUGH]))
    if record.value is None:
        raise UnreadableValueError("it has no value")
    event_at = parse_timestamp(headers[EVENT_AT]) if EVENT_AT in headers else record.timestamp
    if ORIGIN not in headers:
        return DeliveryState(place_of(record), event_at)
    attempts, first_at = parse_number(headers.get(ATTEMPTS, "")), parse_number(headers.get(FIRST_AT, ""))
    origin, error = _origin_of(record, headers[ORIGIN]), headers.get(ERROR, "")
    return DeliveryState(origin, event_at, attempts, first_at, error)


def _origin_of(record: Record, text: str) -> Place:
    """Return the event's place in rebate-events, whose partition its retry records share."""
    try:
        origin = parse_place(text)
    except ValueError as error:
        raise UnreadableValueError(shortened(error)) from error
    if origin.partition != record.partition:
        raise UnreadableValueError(f"it is on partition {record.partition} and is a copy of {origin}")
    return origin


def retry_record(event: Event, state: DeliveryState, topic: str, app: str, now_ms: int) -> OutgoingRecord:
    """Return the retry record of an event, due after its topic's delay from `now_ms` on."""
    ours: list[Header] = [
        (APP, app.encode()),
        (ORIGIN, str(state.origin).encode()),
        (ATTEMPTS, str(state.attempts).encode()),
        (FIRST_AT, str(state.first_at).encode()),
        (EVENT_AT, str(state.event_at).encode()),
        (ERROR, state.error.encode()),
    ]
    partition = state.origin.partition
    return OutgoingRecord(topic, event.key, event.value, now_ms, (*event.headers, *ours), partition)


def progress_record(
    mark: ProgressMarker, topic: str, partition: int, app: str, now_ms: int
) -> OutgoingRecord:
    """Return the record of a progress marker."""
    headers = ((APP, app.encode()), (THROUGH, str(mark.through).encode()))
    return OutgoingRecord(topic, mark.key, None, now_ms, headers, partition)


class Undelivered(Struct, frozen=True):
    """Why an event is given up, and the app, version and worker that give it up."""

    reason: str
    app_id: str
    version: str
    worker: str


def dead_letter_record(
    event: Event, state: DeliveryState, why: Undelivered, topic: str, now_ms: int
) -> OutgoingRecord:
    """Return the dead letter of an event, in the form of all dead letters (docs/dead-letters.md)."""
    texts = texts_of(event.headers)
    now = format_moment(now_ms * MILLISECOND_US)
    ours = [
        (names.REASON, why.reason),
        (names.DETAIL, state.error),
        (names.MEMBER, ""),
        (names.STAGE, reason_of(why.reason).failed_at),
        (names.TOPIC, state.origin.topic),
        (names.PARTITION, str(state.origin.partition)),
        (names.OFFSET, str(state.origin.offset)),
        (names.TIMESTAMP, str(state.event_at)),
        (names.ATTEMPT, str(state.attempts)),
        (names.FIRST_AT, format_moment(state.first_at * MILLISECOND_US)),
        (names.AT, now),
        (names.APP_VERSION, why.version),
        (names.WORKER, why.worker),
        (names.APP, why.app_id),
    ]
    if names.REPLAY_OF in texts:
        ours.append((names.ORIGIN, texts.get(names.ORIGIN) or texts[names.REPLAY_OF]))
    kept = truncated(event.key, event.value, without_failure(event.headers))
    headers = (*kept.headers, *((name, text.encode()) for name, text in ours), *kept.marks)
    return OutgoingRecord(topic, kept.key, kept.value, state.event_at, headers, state.origin.partition)


def without_failure(headers: Sequence[Header]) -> tuple[Header, ...]:
    """Return the headers without those of an earlier failure."""
    return tuple(header for header in headers if not header[0].startswith(names.ERROR_PREFIX))
