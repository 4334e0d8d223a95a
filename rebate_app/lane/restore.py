"""Reading a changelog partition into a store, up to its end (design.md 3, engine.md 2 and 4).

The end is a position, not a record: a changelog may close with transaction markers or with what
compaction removed, and waiting for a record there would wait for ever. It is the high watermark, not
the last stable offset: were somebody's transaction still open, records after it would be committed
and not yet readable, and a state without them would be taken for the whole.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct

from .clients import started
from .store import Store

FETCH_BYTES_MAX = 1_048_576  # as fast as 4 MiB, and a fetch is taken in within 5 ms instead of 15
FETCH_MAX_WAIT_MS = 10  # an empty tail is known to be one after it
POLL_MS = 200
STALLED_S = 60.0
SLICE_RECORDS_MAX = 500  # 2 to 4 ms of work, then HTTP gets its turn
TOMBSTONES_KEPT_S = 86_400.0  # delete.retention.ms, 24 h unless somebody changed it
CLOCKS_DIFFER_S_MAX = 3_600.0  # between this machine and the broker, with the time that reading takes

Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class RestoreStalledError(Exception):
    """The changelog gave nothing for a minute although its end was not reached."""


class Restored(Struct, frozen=True):
    """What was read: `records` of them, from offset `begin` up to and without `end`."""

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
    """Bring the store to the changelog's end of now; return what was read.

    Reads `read_committed` from the store's position; `progress(position, end)` is called on the way.
    A store that is damaged, ahead of the log, behind its start, or that was away for longer than
    tombstones are kept and missed something, is cleared and read anew; a warning names the reason.
    KafkaError, RestoreStalledError: try again; what was read so far is kept and joins.
    """
    tp = TopicPartition(topic, partition)
    reader = AIOKafkaConsumer(
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",  # a log that changes under our feet is looked at again, not jumped in
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        **options,
    )
    async with started(reader) as consumer:
        return await _Restoring(consumer, tp, store, progress, clock).run()


class _Restoring:
    """One store being brought to the end of its log."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        tp: TopicPartition,
        store: Store,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._consumer = consumer
        self._tp = tp
        self._store = store
        self._progress = progress
        self._clock = clock
        self._turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        self._position = 0
        self._moved_at = time.monotonic()

    async def run(self) -> Restored:
        """Read to the end; each step is safe to be the last one."""
        consumer, tp, store = self._consumer, self._tp, self._store
        log_start = (await consumer.beginning_offsets([tp]))[tp]
        asked_at = self._clock()
        stable_end = (await consumer.end_offsets([tp]))[tp]
        self._clear_if(self._unfit(log_start, stable_end))
        consumer.assign([tp])
        self._seek(max(store.position, log_start))
        end, has_records = await self._look(stable_end)
        if has_records and self._is_outdated():
            self._clear_if(f"it was away since {time.ctime(store.complete_at)} and may miss deletions")
        begin = max(store.position, log_start)
        self._seek(begin)
        if store.position == 0:
            store.apply({}, begin, asked_at)  # nothing was read before this moment
        count = await self._read_to(end)
        store.apply({}, max(store.position, end), asked_at)
        return Restored(count, begin, store.position)

    def _unfit(self, log_start: int, stable_end: int) -> str | None:
        store = self._store
        if store.damage is not None:
            return store.damage
        if store.position > stable_end:
            return f"it is ahead of the log, at {store.position} of {stable_end}"
        if 0 < store.position < log_start:
            return f"the log begins at {log_start}, it is at {store.position}"
        return None

    def _is_outdated(self) -> bool:
        age = self._clock() - self._store.complete_at
        fresh = -CLOCKS_DIFFER_S_MAX < age < TOMBSTONES_KEPT_S - CLOCKS_DIFFER_S_MAX
        return self._store.position > 0 and not fresh

    def _clear_if(self, reason: str | None) -> None:
        if reason is not None:
            log.warning("the store of %s/%s is built anew: %s", self._tp.topic, self._tp.partition, reason)
            self._store.clear()

    def _seek(self, position: int) -> None:
        self._position = position
        self._consumer.seek(self._tp, position)

    async def _look(self, stable_end: int) -> tuple[int, bool]:
        """Return the log's end, and whether any record is there to be read before it.

        Who wrote since has left a record at least: the last watermark is never compacted away.
        """
        while True:
            fetched = await self._fetch(1, FETCH_MAX_WAIT_MS)
            told = self._consumer.highwater(self._tp)
            end = max(stable_end, told or 0)
            if fetched or (told is not None and self._position >= end):
                return end, bool(fetched)

    async def _read_to(self, end: int) -> int:
        count = 0
        while self._position < end:
            async with self._turn:  # many restore at once, HTTP gets its turn after each one
                records = await self._fetch(SLICE_RECORDS_MAX, 0)
                self._take(records)
                await asyncio.sleep(0)  # still held, else all would work in one turn
            if not records and self._position < end:
                records = await self._fetch(1, POLL_MS)
                self._take(records)
            count += len(records)
            self._progress(self._position, end)
        return count

    def _take(self, records: Sequence[Any]) -> None:
        if records:
            self._store.apply({record.key: record.value for record in records}, records[-1].offset + 1)

    async def _fetch(self, records_max: int, wait_ms: int) -> Sequence[Any]:
        """Return what has come; RestoreStalledError when for a minute nothing has moved."""
        _hand_out_raw(self._consumer, self._tp)
        fetched = await self._consumer.getmany(self._tp, timeout_ms=wait_ms, max_records=records_max)
        reached = await self._consumer.position(self._tp)
        if reached != self._position:
            self._position, self._moved_at = reached, time.monotonic()
        elif time.monotonic() - self._moved_at > STALLED_S:
            raise RestoreStalledError(f"{self._tp.topic}/{self._tp.partition} gives nothing at {reached}")
        return fetched.get(self._tp) or ()


def _hand_out_raw(consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
    """Have the next records be given as they were parsed: key, value and offset are all that we read.

    aiokafka makes a frozen dataclass of eleven fields of each, which is a third of restoring's cost.
    Where its inside differs from what is written here, its own records come, and do as well.
    """
    fetched = consumer._fetcher._records.get(tp)  # noqa: SLF001 - pinned aiokafka
    partition_records = getattr(fetched, "_partition_records", None)
    if partition_records is not None:
        partition_records._consumer_record = _as_parsed  # noqa: SLF001 - pinned aiokafka


def _as_parsed(tp: TopicPartition, record: Any) -> Any:
    del tp
    return record
