"""Reads a changelog partition into a store, up to its end.

See docs/spec/exactness.md#transaction and docs/spec/exactness.md#faust.

The end is a position, not a record: the last offsets of a changelog may be transaction markers or compacted,
so there may be no record to wait for. It is the high watermark, not the last stable offset: behind an open
transaction there may be committed records that cannot be read yet, and the state has to include them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka import TopicPartition
from msgspec import Struct

from ..errors import StateLostError
from ..kafka.aiokafka_clients import AIOKafkaConsumer
from ..kafka.clients import started
from ..kafka.log_reader import ReadStall, fetch
from .changelog import ChangelogRecords
from .store import Store

FETCH_BYTES_MAX = 1_048_576  # as fast as 4 MiB, and parsing a fetch blocks for 5 ms instead of 15
FETCH_MAX_WAIT_MS = 10  # after which an empty tail is known to be empty
POLL_MS = 200
STALL_SECONDS_MAX = 60.0
#: The cluster notices a node that hangs within some seconds; then other nodes answer.
START_SECONDS_MAX, REQUEST_TIMEOUT_MS = 15.0, 15_000
SLICE_RECORDS_MAX = 500  # 2 to 4 ms of work, then the event loop serves HTTP
TOMBSTONE_RETENTION_SECONDS = 86_400.0  # delete.retention.ms, 24 h by default
CLOCK_DIFFERENCE_SECONDS_MAX = 3_600.0  # of this machine and the broker, and the time that reading takes

Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)
_slice_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class Restored(Struct, frozen=True):
    """What was read: how many records, from offset `begin` (inclusive) to `end` (exclusive)."""

    records: int
    begin: int
    end: int


async def restore(
    options: Mapping[str, Any],
    topic: str,
    partition: int,
    store: Store,
    progress: Progress,
    clock: Callable[[], float] = time.time,
) -> Restored:
    """Bring the store to the changelog's current end; return what was read.

    Reads `read_committed` from the store's position and calls `progress(position, end)` after each slice.
    A store is cleared and read from the start, with a warning, if it is damaged or before the log's start, or
    if it did not follow for longer than tombstones are kept and missed records.
    StateLostError: the log ends before the store.
    KafkaError (LogStalledError too), TimeoutError: call it again; what was read so far is kept.
    UnreadableRecordError: the newest watermark, or a batch, cannot be read; nothing after it is applied.
    """
    topic_partition = TopicPartition(topic, partition)
    reader = AIOKafkaConsumer(
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",  # a log that was cut meanwhile is an error, not a jump
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        **options,
    )
    async with started(reader, START_SECONDS_MAX) as consumer:
        return await _Restore(consumer, topic_partition, store, progress, clock).run()


class _Restore:
    """Brings one store to the end of its log."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topic_partition: TopicPartition,
        store: Store,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._consumer = consumer
        self._topic_partition = topic_partition
        self._store = store
        self._progress = progress
        self._clock = clock
        self._records = ChangelogRecords(topic_partition)
        self._slice_lock = _slice_locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        self._position = 0
        self._stall = ReadStall(STALL_SECONDS_MAX)

    async def run(self) -> Restored:
        """Read to the end; the store is consistent after each step."""
        consumer, topic_partition, store = self._consumer, self._topic_partition, self._store
        log_start = (await consumer.beginning_offsets([topic_partition]))[topic_partition]
        requested_at = self._clock()
        stable_end = (await consumer.end_offsets([topic_partition]))[topic_partition]
        self._clear_if(self._misfit(log_start))
        if store.position > stable_end:
            topic, partition = topic_partition
            raise StateLostError(
                f"{topic}/{partition} ends at {stable_end}, the local store holds it up to {store.position}"
            )
        consumer.assign([topic_partition])
        self._seek(max(store.position, log_start))
        end, has_records = await self._find_end(stable_end)
        if has_records and self._is_outdated():
            self._clear_if(f"it did not follow since {time.ctime(store.complete_at)} and may miss deletions")
        begin = max(store.position, log_start)
        self._seek(begin)
        if store.position == 0:
            store.apply({}, begin, requested_at)  # nothing was read before this moment
        count = await self._read_to(end)
        self._records.refuse_unreadable()
        store.apply({}, max(store.position, end), requested_at)
        return Restored(count, begin, store.position)

    def _misfit(self, log_start: int) -> str | None:
        store = self._store
        if store.damage is not None:
            return store.damage
        if 0 < store.position < log_start:
            return f"the log begins at {log_start}, it is at {store.position}"
        return None

    def _is_outdated(self) -> bool:
        age = self._clock() - self._store.complete_at
        fresh = (
            -CLOCK_DIFFERENCE_SECONDS_MAX < age < TOMBSTONE_RETENTION_SECONDS - CLOCK_DIFFERENCE_SECONDS_MAX
        )
        return self._store.position > 0 and not fresh

    def _clear_if(self, reason: str | None) -> None:
        if reason is not None:
            log.warning(
                "the store of %s/%s is rebuilt: %s",
                self._topic_partition.topic,
                self._topic_partition.partition,
                reason,
            )
            self._store.clear()

    def _seek(self, position: int) -> None:
        self._position = position
        self._consumer.seek(self._topic_partition, position)

    async def _find_end(self, stable_end: int) -> tuple[int, bool]:
        """Return the log's end, and whether there is a record to read before it.

        Any writer since has left at least one record: compaction never removes the last watermark.
        """
        while True:
            fetched = await self._fetch(1, FETCH_MAX_WAIT_MS)
            high_watermark = self._consumer.highwater(self._topic_partition)
            end = max(stable_end, high_watermark or 0)
            if fetched or (high_watermark is not None and self._position >= end):
                return end, bool(fetched)

    async def _read_to(self, end: int) -> int:
        count = 0
        while self._position < end:
            async with self._slice_lock:  # one slice at a time of all restores, then HTTP
                records = await self._fetch(SLICE_RECORDS_MAX, 0)
                self._take(records)
                await asyncio.sleep(0)  # while the lock is held, else all slices would run in one iteration
            if not records and self._position < end:
                records = await self._fetch(1, POLL_MS)
                self._take(records)
            count += len(records)
            self._progress(self._position, end)
        return count

    def _take(self, records: Sequence[Any]) -> None:
        changes = self._records.take(records)
        if changes:
            self._store.apply(changes, records[-1].offset + 1)
            self._store.rest(changes)

    async def _fetch(self, records_max: int, wait_ms: int) -> Sequence[Any]:
        """Return the next records; LogStalledError when the position has not moved for a minute."""
        began = time.monotonic()
        _skip_record_objects(self._consumer, self._topic_partition)
        fetched = await fetch(
            self._consumer, self._topic_partition, timeout_ms=wait_ms, records_max=records_max
        )
        reached = await self._consumer.position(self._topic_partition)
        moved, self._position = reached != self._position, reached
        waited_seconds = time.monotonic() - began
        self._stall.note(waited_seconds, moved=moved, positions={self._topic_partition: reached})
        return fetched.get(self._topic_partition) or ()


def _skip_record_objects(consumer: AIOKafkaConsumer, topic_partition: TopicPartition) -> None:
    """Make the consumer return records as they were parsed: only key, value and offset are read here.

    aiokafka makes a frozen dataclass of eleven fields from each record, a third of the cost of restoring.
    Where its internals differ, it returns its own records, which work as well.
    """
    fetched = consumer._fetcher._records.get(topic_partition)  # noqa: SLF001 - pinned aiokafka
    partition_records = getattr(fetched, "_partition_records", None)
    if partition_records is not None:
        partition_records._consumer_record = _as_parsed  # noqa: SLF001 - pinned aiokafka


def _as_parsed(topic_partition: TopicPartition, record: Any) -> Any:
    del topic_partition
    return record
