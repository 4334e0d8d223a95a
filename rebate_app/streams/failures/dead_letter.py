"""Makes dead letters and parked copies: the raw record with the reason in headers.

See docs/spec/failures.md#headers. The record stays as it came; only one that is too large for the topic is
shortened (wire/truncation.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from traceback import extract_tb

from msgspec import Struct

from rebate_app.domain.faults import Fault, limit
from rebate_app.domain.reasons import INTERNAL_ERROR, reason_of
from rebate_app.wire import failure_headers as names
from rebate_app.wire.failure_headers import Header, Place
from rebate_app.wire.moments import format_moment
from rebate_app.wire.truncation import COPIED_BYTES_MAX, truncated

from ..kafka.header_names import plain_headers
from ..task.stage import Record, place_of
from ..transaction.collector import OutgoingRecord

DETAIL_BYTES_MAX = 1_024
TRACE_BYTES_MAX = 4_096
#: Of a header that a replay carries from its first failure; longer ones were not written by us.
CARRIED_BYTES_MAX = 512


class WorkerInfo(Struct, frozen=True):
    """The worker that writes a dead letter, for people who read it later. `clock`: µs since 1970."""

    app_version: str = "unknown"
    rules_hash: str = ""
    worker: str = ""
    clock: Callable[[], int] = lambda: 0


class Failure(Struct, frozen=True):
    """Why a record failed. `trace`: of our own bug; `attempt`: number of this record's failure, from 1."""

    fault: Fault
    trace: str = ""
    attempt: int = 1
    first_at: str = ""
    release: Place | None = None

    @property
    def is_bug(self) -> bool:
        """Whether our own code is at fault."""
        return self.fault.code == INTERNAL_ERROR


def failure_of(error: Exception) -> Failure:
    """Return an exception of our code as a failure: type and places only, no values and no messages."""
    frames = [
        f"{'/'.join(PurePath(frame.filename).parts[-2:])}:{frame.lineno} in {frame.name}"
        for frame in extract_tb(error.__traceback__)
    ]
    kind = type(error).__name__
    detail = f"{kind} at {frames[-1]}" if frames else kind
    while frames and len("\n".join([*frames, kind]).encode()) > TRACE_BYTES_MAX:
        del frames[0]
    return Failure(Fault(INTERNAL_ERROR, "", detail), "\n".join([*frames, kind]))


def too_large_to_wait(cause: Failure | None = None) -> Failure:
    """Return the failure of a record that cannot wait: no copy of it fits into the table's changelog.

    `cause`: our own bug, if the fold failed on this very record; then its key is not parked.
    """
    detail = "the record is larger than a parked key can keep"
    if cause is None:
        return Failure(limit("record", detail))
    return Failure(limit("record", f"{detail}, and our fold failed on it: {cause.fault.detail}"), cause.trace)


def dead_letter(
    record: Record,
    topic: str,
    failure: Failure,
    app: str,
    worker_info: WorkerInfo,
    bytes_max: int = COPIED_BYTES_MAX,
) -> OutgoingRecord:
    """Return the dead letter of a record: same partition, key, value, timestamp and headers, and the reason.

    A replay's dead letter keeps when and where the record failed first, and counts on from there. A record of
    more than `bytes_max` is shortened.
    """
    carried = _carried(record)
    now = format_moment(worker_info.clock())
    attempt = failure.attempt
    if names.REPLAY_OF in carried:
        attempt += _number(carried.get(names.ATTEMPT, b""))
    fault = failure.fault
    added: list[Header] = [
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
        (names.APP_VERSION, worker_info.app_version.encode()),
        (names.RULES_HASH, worker_info.rules_hash.encode()),
        (names.WORKER, worker_info.worker.encode()),
        (names.APP, app.encode()),
    ]
    added += _occasional(failure, carried)
    kept = [header for header in record.headers if not header[0].startswith(names.ERROR_PREFIX)]
    return _copy(record, topic, kept, added, bytes_max)


def _occasional(failure: Failure, carried: dict[str, bytes]) -> list[Header]:
    """Return the headers that only some dead letters have."""
    added: list[Header] = []
    if failure.trace:
        added.append((names.TRACE, failure.trace.encode("utf-8", "replace")[:TRACE_BYTES_MAX]))
    if names.REPLAY_OF in carried:
        added.append((names.ORIGIN, carried.get(names.ORIGIN) or carried[names.REPLAY_OF]))
    if failure.release is not None:
        added.append((names.RELEASE, str(failure.release).encode()))
    return added


def parked_copy(record: Record, topic: str, app: str) -> OutgoingRecord:
    """Return the copy of a waiting record for the parked topic, with its origin and the app of the fold."""
    added = [(names.PARKED_FROM, str(place_of(record)).encode()), (names.APP, app.encode())]
    ours = {name for name, _ in added}
    kept = [header for header in record.headers if header[0] not in ours]
    return _copy(record, topic, kept, added)


def is_replay(record: Record) -> bool:
    """Whether the record was sent again from a dead letter."""
    return any(name == names.REPLAY_OF for name, _ in record.headers)


def _copy(
    record: Record,
    topic: str,
    kept: list[Header],
    added: list[Header],
    bytes_max: int = COPIED_BYTES_MAX,
) -> OutgoingRecord:
    copied = truncated(record.key, record.value, plain_headers(kept), bytes_max)
    headers = (*copied.headers, *added, *copied.marks)
    return OutgoingRecord(topic, copied.key, copied.value, record.timestamp, headers, record.partition)


def _carried(record: Record) -> dict[str, bytes]:
    """Return the headers that a replay carries from its first failure; {} for a record that is no replay."""
    wanted = (names.REPLAY_OF, names.ORIGIN, names.FIRST_AT, names.ATTEMPT)
    found = {
        name: value
        for name, value in record.headers
        if name in wanted and value and len(value) <= CARRIED_BYTES_MAX
    }
    return found if names.REPLAY_OF in found else {}


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) <= len("999999") else 1
