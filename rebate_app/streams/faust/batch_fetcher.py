"""Reads the assigned logs in the worker's event loop, by position and outside the consumer group.

The group's consumer has a thread of its own (`consumer_thread`), so that heartbeats do not wait for the
worker. It fetches nothing: records from there would cross two event loops, and the two threads would pass the
interpreter's lock to each other about a thousand times a second (ADR 28).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, OffsetOutOfRangeError

from ..kafka.aiokafka_clients import AIOKafkaConsumer, translated
from ..kafka.log_reader import unpacking_error
from ..kafka.records import record_of
from ..task.batch import RecordBatch
from ..task.batch_queue import BATCH_VALUE_BYTES_MAX
from .consumer_health import task_gone

log = logging.getLogger(__name__)

#: For how long a fetch waits at the broker (ms) until there is how much (bytes). Faust's 1,500 ms stall busy
#: partitions behind idle ones; 10 cost processor time.
QUICK = 30, 1
#: Each fetch costs a busy worker a quarter of a millisecond, however little comes.
BUSY = 100, 1_048_576
FETCH_BYTES_MAX = 1_048_576  # a partition; all of them are copied in one step of the event loop
OUT_OF_RANGE_PAUSE_SECONDS = 1.0
#: Of one batch, read in about a millisecond; then the event loop serves HTTP.
BATCH_RECORDS_READ_MAX = 500
SLICE_SECONDS = 0.001


class BatchFetcher:
    """A consumer without a group: each assigned partition is read from where it was last sought.

    `sources`: topics whose lost positions are left to the watch of lost logs; elsewhere they are an error.
    `is_busy`: whether fewer and larger fetches are wanted.
    """

    def __init__(
        self, options: Mapping[str, Any], sources: Iterable[str], is_busy: Callable[[], bool] = lambda: False
    ) -> None:
        self._options = options
        self._is_busy = is_busy
        self._sources = frozenset(sources)
        self._consumer: AIOKafkaConsumer | None = None
        self._out_of_range: set[TopicPartition] = set()

    async def start(self) -> None:
        """Connect. KafkaError: no broker."""
        consumer = AIOKafkaConsumer(
            **self._options,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=QUICK[0],
        )
        await consumer.start()
        self._consumer = consumer

    async def stop(self) -> None:
        """Disconnect, within the bound of every client."""
        consumer = self._consumer
        if consumer is not None:
            await consumer.stop()

    def assign(self, assigned: Iterable[tuple[str, int]]) -> None:
        """Read these partitions alone; each is paused, at an arbitrary position, until it is sought."""
        consumer = self._started()
        spots = [TopicPartition(*each) for each in assigned]
        self._out_of_range.clear()
        consumer.assign(spots)
        for spot in spots:
            consumer.pause(spot)
            consumer.seek(spot, 0)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read on at that offset; nothing if the partition is not assigned any more."""
        spot = TopicPartition(topic, partition)

        def do(consumer: AIOKafkaConsumer) -> None:
            consumer.seek(spot, offset)
            consumer.resume(spot)

        self._if_assigned(do)

    def pause(self, topic: str, partition: int) -> None:
        """Fetch nothing more of that partition."""
        self._if_assigned(lambda consumer: consumer.pause(TopicPartition(topic, partition)))

    def resume(self, topic: str, partition: int) -> None:
        """Fetch from that partition again."""
        self._if_assigned(lambda consumer: consumer.resume(TopicPartition(topic, partition)))

    def stable_end(self, topic: str, partition: int) -> int | None:
        """Return the last stable offset as of the last fetch, None while unknown."""
        spot, consumer = TopicPartition(topic, partition), self._consumer
        if consumer is None or spot not in consumer.assignment():
            return None
        found: int | None = consumer.last_stable_offset(spot)
        return found

    def unstable(self, topic: str, partition: int) -> int:
        """Return how many offsets lay above the last stable one at the last fetch, 0 while unknown."""
        spot, consumer = TopicPartition(topic, partition), self._consumer
        if consumer is None or spot not in consumer.assignment():
            return 0
        high, stable = consumer.highwater(spot), consumer.last_stable_offset(spot)
        return 0 if high is None or stable is None or stable < 0 else max(0, high - stable)

    def task_gone(self) -> str | None:
        """Return the name of a task of aiokafka that ended while its consumer is open, None if all run."""
        return None if self._consumer is None else task_gone(self._consumer, with_heartbeat=False)

    async def fetch(self, seconds_max: float, is_wanted: Callable[[], bool]) -> list[RecordBatch]:
        """Return what was fetched, one batch or more of a partition; [] if nothing arrived in time.

        `is_wanted`: nothing more is returned once that is false. UnreadableRecordError: records cannot be
        unpacked. ConsumerStoppedError: it was stopped.
        """
        consumer = self._started()
        fetcher = consumer._fetcher  # noqa: SLF001 - pinned aiokafka; its public getmany hides positions
        wanted = BUSY if self._is_busy() else QUICK
        fetcher._fetch_max_wait_ms, fetcher._fetch_min_bytes = wanted  # noqa: SLF001
        deadline = time.monotonic() + seconds_max
        while is_wanted():
            if consumer._closed or fetcher._closed:  # noqa: SLF001
                raise ConsumerStoppedError
            batches = self._read(fetcher)
            remaining = deadline - time.monotonic()
            if batches or remaining <= 0:
                return batches
            waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
            done, _ = await asyncio.wait([waiter], timeout=remaining)
            if not done:
                waiter.cancel()
                return []
            with translated():
                waiter.result()
        return []

    def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise ConsumerStoppedError
        return self._consumer

    def _if_assigned(self, do: Callable[[AIOKafkaConsumer], object]) -> None:
        if self._consumer is None:
            return
        try:
            do(self._consumer)
        except IllegalStateError:
            return

    def _read(self, fetcher: Any) -> list[RecordBatch]:
        """Take batches of partitions in turn, for about a slice."""
        batches: list[RecordBatch] = []
        end_at = time.perf_counter() + SLICE_SECONDS
        for spot in list(fetcher._records):  # noqa: SLF001
            fetched = fetcher._records.pop(spot)  # noqa: SLF001
            fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001
            if not isinstance(fetched, FetchResult):
                self._raise_unless_out_of_range(spot, fetched)
                continue
            if not fetched.check_assignment(spot):
                continue
            batch = _batch_of(spot, fetched)
            if fetched.has_more():
                fetcher._records[spot] = fetched  # noqa: SLF001 - the next call continues it, after the others
            if batch is not None:
                batches.append(batch)
            if time.perf_counter() >= end_at:
                break
        return batches

    def _raise_unless_out_of_range(self, spot: TopicPartition, failed: Any) -> None:
        """Raise a fetch's error; a position that a source does not have is left to the watch of lost logs.

        The fetcher requests it again every second, until the watch has confirmed what is lost.
        """
        try:
            failed.check_raise()
        except OffsetOutOfRangeError as error:
            if spot.topic not in self._sources:
                raise
            if spot not in self._out_of_range:
                self._out_of_range.add(spot)
                log.warning("%s/%d does not have the position that is read: %r", *spot, error)
            self.pause(*spot)
            asyncio.get_running_loop().call_later(OUT_OF_RANGE_PAUSE_SECONDS, self.resume, *spot)


def _batch_of(spot: TopicPartition, fetched: FetchResult) -> RecordBatch | None:
    """Take records of a fetch, and the positions before and after them; None if it moves nothing."""
    state = fetched._assignment.state_value(spot)  # noqa: SLF001 - pinned aiokafka
    begin = state.position
    if fetched._partition_records is not None:  # noqa: SLF001
        fetched._partition_records._consumer_record = record_of  # noqa: SLF001
    try:
        records, value_bytes = _records_of(fetched)
    except Exception as error:
        raise unpacking_error({spot: fetched}, error) or error from error
    end = state.position
    if end <= begin:
        return None
    stable_end = state.lso or end
    return RecordBatch(spot.topic, spot.partition, begin, end, stable_end, records, value_bytes)


def _records_of(fetched: FetchResult) -> tuple[list[Any], int]:
    """Take records of a fetch up to the bounds of a batch; return them and the size of their values.

    aiokafka's `getall` with bounds: a compressed fetch of 4 MiB may hold a thousand times as much.
    """
    parsed = fetched._partition_records  # noqa: SLF001 - pinned aiokafka
    records: list[Any] = []
    value_bytes = 0
    if parsed is None:
        return records, value_bytes
    for record in parsed:
        records.append(record)
        if record.value is not None:
            value_bytes += len(record.value)
        if value_bytes >= BATCH_VALUE_BYTES_MAX or len(records) >= BATCH_RECORDS_READ_MAX:
            fetched._update_position()  # noqa: SLF001
            return records, value_bytes
    fetched._update_position()  # noqa: SLF001
    fetched._partition_records = None  # noqa: SLF001
    return records, value_bytes
