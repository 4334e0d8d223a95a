"""Dead letters and parked copies: the raw record, untouched, with the reason in headers (failures.md 3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from traceback import extract_tb

from msgspec import Struct

from rebate_app.domain.faults import Fault
from rebate_app.domain.reasons import INTERNAL_ERROR, reason_of
from rebate_app.lane.outbox import Outgoing
from rebate_app.lane.stage import Record
from rebate_app.wire import failure_headers as names
from rebate_app.wire.failure_headers import Header, Place
from rebate_app.wire.moments import format_moment

DETAIL_BYTES_MAX = 1_024
TRACE_BYTES_MAX = 4_096
#: What a replay brings along from its first failure; longer ones are none of ours.
CARRIED_BYTES_MAX = 512


class Imprint(Struct, frozen=True):
    """Who says that a record failed: for a person who asks later. `clock`: µs since 1970."""

    app_version: str = "unknown"
    rules_hash: str = ""
    worker: str = ""
    clock: Callable[[], int] = lambda: 0


class Failure(Struct, frozen=True):
    """Why a record failed; `trace` of our own bug. `attempt` counts failures of this record, from 1."""

    fault: Fault
    trace: str = ""
    attempt: int = 1
    first_at: str = ""
    release: Place | None = None

    @property
    def is_bug(self) -> bool:
        """Whether it is our fault."""
        return self.fault.code == INTERNAL_ERROR


def failure_of(error: Exception) -> Failure:
    """Return our own bug as a failure: type and places only, no values and no messages."""
    frames = [
        f"{'/'.join(PurePath(frame.filename).parts[-2:])}:{frame.lineno} in {frame.name}"
        for frame in extract_tb(error.__traceback__)
    ]
    kind = type(error).__name__
    detail = f"{kind} at {frames[-1]}" if frames else kind
    while frames and len("\n".join([*frames, kind]).encode()) > TRACE_BYTES_MAX:
        del frames[0]
    return Failure(Fault(INTERNAL_ERROR, "", detail), "\n".join([*frames, kind]))


def place_of(record: Record) -> Place:
    """Return where the record stands."""
    return Place(record.topic, record.partition, record.offset)


def dead_letter(record: Record, topic: str, failure: Failure, app: str, imprint: Imprint) -> Outgoing:
    """Return the dead letter of a record: same partition, key, value, timestamp and headers, and why.

    What a replay carries of its first failure goes on with it: when that was, where, and how often.
    """
    carried = _carried(record)
    now = format_moment(imprint.clock())
    attempt = failure.attempt
    if names.REPLAY_OF in carried:
        attempt += _number(carried.get(names.ATTEMPT, b""))
    fault = failure.fault
    ours: list[Header] = [
        (names.REASON, fault.code.encode("utf-8", "replace")),
        (names.DETAIL, fault.detail.encode("utf-8", "replace")[:DETAIL_BYTES_MAX]),
        (names.MEMBER, fault.member.encode("utf-8", "replace")),
        (names.STAGE, reason_of(fault.code).failed_at.encode()),
        (names.TOPIC, record.topic.encode()),
        (names.PARTITION, str(record.partition).encode()),
        (names.OFFSET, str(record.offset).encode()),
        (names.TIMESTAMP, str(record.timestamp).encode()),
        (names.ATTEMPT, str(attempt).encode()),
        (names.FIRST_AT, carried.get(names.FIRST_AT) or (failure.first_at or now).encode()),
        (names.AT, now.encode()),
        (names.APP_VERSION, imprint.app_version.encode()),
        (names.RULES_HASH, imprint.rules_hash.encode()),
        (names.WORKER, imprint.worker.encode()),
        (names.APP, app.encode()),
    ]
    if failure.is_bug:
        ours.append((names.TRACE, failure.trace.encode("utf-8", "replace")[:TRACE_BYTES_MAX]))
    if names.REPLAY_OF in carried:
        ours.append((names.ORIGIN, carried.get(names.ORIGIN) or carried[names.REPLAY_OF]))
    if failure.release is not None:
        ours.append((names.RELEASE, str(failure.release).encode()))
    theirs = [header for header in record.headers if not header[0].startswith(names.ERROR_PREFIX)]
    return _copy(record, topic, [*theirs, *ours])


def parked_copy(record: Record, topic: str) -> Outgoing:
    """Return what is kept of a record that waits: all of it, and where it came from."""
    from_ = (names.PARKED_FROM, str(place_of(record)).encode())
    theirs = [header for header in record.headers if header[0] != names.PARKED_FROM]
    return _copy(record, topic, [*theirs, from_])


def is_replay(record: Record) -> bool:
    """Whether the record was sent again from a dead letter."""
    return any(name == names.REPLAY_OF for name, _ in record.headers)


def _copy(record: Record, topic: str, headers: list[Header]) -> Outgoing:
    return Outgoing(topic, record.key, record.value, record.timestamp, tuple(headers), record.partition)


def _carried(record: Record) -> dict[str, bytes]:
    """Return the headers by which a replay tells of its first failure; {} for what is no replay."""
    wanted = (names.REPLAY_OF, names.ORIGIN, names.FIRST_AT, names.ATTEMPT)
    found = {
        name: value
        for name, value in record.headers
        if name in wanted and value and len(value) <= CARRIED_BYTES_MAX
    }
    return found if names.REPLAY_OF in found else {}


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) <= len("999999") else 1
