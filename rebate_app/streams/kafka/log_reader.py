"""Reading partitions of logs by position, up to an end.

`SpanReader` reads each partition from an offset to an end. The end is a position, not a record: a log may
close with transaction markers or with what compaction removed. When no position moves for `stalled_seconds`
it raises LogStalledError. A batch that cannot be unpacked (its codec is missing, its bytes are damaged) is
never skipped: it raises UnreadableRecordError with topic, partition and offset. `fetch` is the only place at
which records leave aiokafka's consumers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnsupportedCodecError

from rebate_app.settings import EXIT_TRY_AGAIN
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.unreadable import BadRecord, shortened

from ..errors import UnreadableRecordError
from .aiokafka_clients import AIOKafkaConsumer

CODEC_REMEDY = "install what requirements-runtime.lock lists (cramjam has snappy, lz4 and zstd)"
DAMAGE_REMEDY = "compare the partition's replicas and look at the disks of the brokers"
#: Options of a consumer that reads whole spans: small fetches, and an empty tail is known to be one at once.
SPAN_OPTIONS: Mapping[str, Any] = {
    "isolation_level": "read_committed",
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "max_partition_fetch_bytes": 1_048_576,
    "fetch_max_wait_ms": 10,
}
POLL_MS = 20  # transaction markers move the position without giving a record
#: Whoever has a transaction open ends it, or the broker does at its time-out.
STALLED_SECONDS = 30.0


class LogStalledError(KafkaTimeoutError):
    """A log gave nothing for long although its end was not reached; trying again may help."""


class NoSuchPlaceError(ValueError):
    """A page of a log cannot begin there: the log has not come that far."""


class ReadStall:
    """The bound on waiting for a log: only time spent in fetches that move no position counts."""

    def __init__(self, stalled_seconds: float) -> None:
        self._stalled_seconds = stalled_seconds
        self._waited_seconds = 0.0

    def note(self, fetch_seconds: float, *, moved: bool, positions: Mapping[TopicPartition, int]) -> None:
        """Take account of one fetch; LogStalledError, naming `positions`, when the wait is too long."""
        self._waited_seconds = 0.0 if moved else self._waited_seconds + fetch_seconds
        if self._waited_seconds > self._stalled_seconds:
            places = ", ".join(f"{spot.topic}/{spot.partition} at {at}" for spot, at in positions.items())
            raise LogStalledError(f"nothing comes for {self._stalled_seconds:.0f} s from {places}")


class SpanReader:
    """One reading of partitions from their starts to before their ends, with an assigned consumer.

    `spans`: start and end by partition; an end of None is the high watermark that the first fetch reports,
    before which everything stands that was acknowledged when the reading began; records behind it may come
    too. Call `poll` while `waiting` is not empty. The consumer belongs to this reading until then.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        spans: Mapping[TopicPartition, tuple[int, int]] | Mapping[TopicPartition, tuple[int, None]],
        *,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._consumer = consumer
        self._stall = ReadStall(stalled_seconds)
        unread = {spot: span for spot, span in spans.items() if span[1] is None or span[0] < span[1]}
        self._given_ends = {spot: end for spot, (_, end) in unread.items() if end is not None}
        self._ends = dict(self._given_ends)
        self.positions = {spot: start for spot, (start, _) in spans.items()}
        self.waiting = list(unread)
        consumer.assign(self.waiting)
        for spot, (start, _) in unread.items():
            consumer.seek(spot, start)

    async def poll(
        self, timeout_ms: int = POLL_MS, records_max: int | None = None
    ) -> dict[TopicPartition, Sequence[Any]]:
        """Return the records that have come, by partition, none of them at or behind the end that was given.

        KafkaError, LogStalledError among them: try again. UnreadableRecordError: trying again does not help.
        """
        began = time.monotonic()
        fetched = await fetch(self._consumer, *self.waiting, timeout_ms=timeout_ms, records_max=records_max)
        found = {spot: self._before_end(spot, records) for spot, records in fetched.items()}
        moved = [await self._advance(spot) for spot in list(self.waiting)]
        waiting = {spot: self.positions[spot] for spot in self.waiting}
        if waiting:
            self._stall.note(time.monotonic() - began, moved=any(moved), positions=waiting)
        return {spot: records for spot, records in found.items() if records}

    def drop(self, spot: TopicPartition) -> None:
        """Read a partition no further."""
        self.waiting.remove(spot)
        self._consumer.pause(spot)

    async def _advance(self, spot: TopicPartition) -> bool:
        """Take over the consumer's position; return whether it moved."""
        position: int = await self._consumer.position(spot)
        moved = position != self.positions[spot]
        self.positions[spot] = position
        high_watermark = self._consumer.highwater(spot)
        if high_watermark is not None:
            self._ends.setdefault(spot, high_watermark)
        if position >= self._ends.get(spot, position + 1):
            self.drop(spot)
        return moved

    def _before_end(self, spot: TopicPartition, records: Sequence[Any]) -> Sequence[Any]:
        end = self._given_ends.get(spot)
        if end is None or not records or records[-1].offset < end:
            return records
        return [record for record in records if record.offset < end]


async def whole_spans(
    consumer: AIOKafkaConsumer, spots: Sequence[TopicPartition]
) -> dict[TopicPartition, tuple[int, int]]:
    """Return the span of each partition as it is now, up to the consumer's own end.

    That is the last stable offset for a consumer with `read_committed`.
    """
    begins, ends = await consumer.beginning_offsets(spots), await consumer.end_offsets(spots)
    return {spot: (begins[spot], ends[spot]) for spot in spots}


async def fetch(
    consumer: AIOKafkaConsumer, *spots: TopicPartition, timeout_ms: int, records_max: int | None = None
) -> Mapping[TopicPartition, Sequence[Any]]:
    """Return what has come, by partition; {} when nothing comes within the time.

    KafkaError: try again. UnreadableRecordError: trying again does not help, a batch cannot be unpacked.
    """
    try:
        fetched: Mapping[TopicPartition, Sequence[Any]] = await consumer.getmany(
            *spots, timeout_ms=timeout_ms, max_records=records_max
        )
    except Exception as error:
        found = unpacking_error(consumer._fetcher._records, error)  # noqa: SLF001 - pinned aiokafka
        if found is None:
            raise
        raise found from error
    return fetched


def unpacking_error(fetched: Mapping[TopicPartition, Any], error: Exception) -> UnreadableRecordError | None:
    """Return the error with the place of the batch that raised it, None when it is no batch's fault.

    `fetched` is what the fetcher holds by partition: an iteration over records that has raised is over, and
    is still there, before the record at which it stopped.
    """
    for spot, result in fetched.items():
        records = getattr(result, "_partition_records", None)
        iterator = getattr(records, "_records_iterator", None)
        if records is not None and iterator is not None and iterator.gi_frame is None:
            return _unreadable(Place(spot.topic, spot.partition, records.next_fetch_offset), error)
    return None


def _unreadable(place: Place, error: Exception) -> UnreadableRecordError:
    if isinstance(error, UnsupportedCodecError):
        return UnreadableRecordError(BadRecord(place, shortened(error.args[0]), CODEC_REMEDY))
    found = UnreadableRecordError(BadRecord(place, shortened(repr(error)), DAMAGE_REMEDY))
    if isinstance(error, KafkaError):
        found.exit_code = EXIT_TRY_AGAIN  # a checksum that does not fit may fit when it is fetched again
    return found
