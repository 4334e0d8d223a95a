"""Faust's transport for the streams engine: one message per fetched batch of a partition.

See docs/spec/architecture.md#batches.

Worker, agents, rebalancing and assignor stay Faust's. The consumer yields batches, reads committed records
only, does not use committed offsets as positions, and leaves nothing behind in aiokafka's fetcher.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import aiokafka
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import maybe_async

from rebate_app.wire.commit_metadata import encode_metadata

from ..errors import UnreadableRecordError
from ..kafka.aiokafka_clients import AIOKafkaConsumer, translated
from ..kafka.lease_clock import lease_clock
from ..kafka.log_reader import unpacking_error
from ..kafka.records import record_of
from ..task.batch import RecordBatch
from ..task.batch_queue import BATCH_VALUE_BYTES_MAX
from ..task.manager import CommitPoint
from .consumer_health import coordination_error, renew_by_heartbeats, task_gone
from .offset_commit import OffsetCommits

log = logging.getLogger(__name__)

FETCH_MAX_WAIT_MS = 30  # Faust's 1,500 stalls busy partitions behind idle ones; 10 costs CPU
FETCH_BYTES_MAX = 4 * 1_048_576
POLL_SECONDS = 0.5
OUT_OF_RANGE_PAUSE_SECONDS = 1.0


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka's consumer lives: fetches, heartbeats, seeks."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        del transport  # the client options have the addresses
        app, conf = self.app, self.app.conf
        self._assignor = app.assignor
        return AIOKafkaConsumer(
            **app.tasks.client_options,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1_000),
            session_timeout_ms=int(conf.broker_session_timeout * 1_000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1_000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1_000),
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1_000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )

    #: When the last heartbeat that the broker answered without error was sent (lease clock), None before.
    heartbeat_sent_at: float | None = None
    _commits: OffsetCommits | None = None
    _out_of_range: set[Any] = set()  # noqa: RUF012 - replaced at the start

    async def on_start(self) -> None:
        """Start the consumer, and record when each heartbeat that was answered without error was sent.

        The time of its answer does not count: after a freeze, the answer to a heartbeat from before it is
        still in the socket.
        """
        self._out_of_range = set()
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001 - pinned aiokafka
        renew_by_heartbeats(coordinator, self._renew_lease)

    def _renew_lease(self, sent_at: float) -> None:
        self.heartbeat_sent_at = sent_at

    def coordination_error(self) -> BaseException | None:
        """Return why aiokafka has given the group up, None while it has not."""
        return None if self._consumer is None else coordination_error(self._consumer)

    def task_gone(self) -> str | None:
        """Return the name of a task of aiokafka that ended while its consumer is open, None if all run."""
        if self._consumer is None:
            return None
        silent_seconds_max = 2 * float(self.app.conf.broker_session_timeout)
        sent_at = self.heartbeat_sent_at
        is_silent = sent_at is not None and lease_clock() - sent_at > silent_seconds_max
        return task_gone(self._consumer, with_heartbeat=is_silent)

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run something in the consumer's thread; a CancelledError of the client's own is a KafkaError.

        So is one of the thread: it cancels what it runs when it stops, and hands that over as the result.
        """

        async def run() -> Any:
            with translated():
                return await maybe_async(fun(*args, **kwargs))

        with translated():
            return await super().call_thread(run)

    async def leave_and_join_again(self) -> None:
        """Leave the group; aiokafka then joins again as a new member."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001
        await self.call_thread(coordinator._maybe_leave_group)  # noqa: SLF001

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Pause every partition, at an arbitrary position, until its task is open."""
        consumer = self._ensure_consumer()
        for topic, partition in assigned:
            tp = aiokafka.TopicPartition(topic, partition)
            consumer.pause(tp)
            consumer.seek(tp, 0)
        await super().on_partitions_assigned(assigned, generation_id)
        # The lease begins now, not a heartbeat interval later.
        self._first_beat = asyncio.create_task(self._beat(consumer._coordinator._do_heartbeat))  # noqa: SLF001

    async def _beat(self, beat: Callable[[], Awaitable[bool]]) -> None:
        """Send one heartbeat; if it fails, aiokafka sends its own an interval later."""
        try:
            with translated():
                await beat()
        except KafkaError as error:
            self.log.info("the first heartbeat failed: %r", error)

    async def fetch_batches(self, seconds_max: float) -> list[RecordBatch]:
        """Return all that was fetched, a batch per partition; [] if nothing arrived in time."""
        return cast("list[RecordBatch]", await self.call_thread(self._fetch_batches, seconds_max))

    async def _fetch_batches(self, seconds_max: float) -> list[RecordBatch]:
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher  # noqa: SLF001 - pinned aiokafka; its public getmany hides positions
        if consumer._closed or fetcher._closed:  # noqa: SLF001
            raise ConsumerStoppedError
        deadline = time.monotonic() + seconds_max
        subscriptions = fetcher._subscriptions  # noqa: SLF001
        with subscriptions.fetch_context():
            while self.consumer.flow_active:
                if subscriptions.reassignment_in_progress:
                    return []
                batches = self._drain(fetcher)
                remaining = deadline - time.monotonic()
                if batches or remaining <= 0:
                    return batches
                waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
                done, _ = await asyncio.wait([waiter], timeout=remaining)
                if not done:
                    waiter.cancel()
                    return []
                waiter.result()
        return []

    def _drain(self, fetcher: Any) -> list[RecordBatch]:
        batches = []
        for tp in list(fetcher._records):  # noqa: SLF001
            fetched = fetcher._records.pop(tp)  # noqa: SLF001
            fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001
            if not isinstance(fetched, FetchResult):
                self._raise_unless_out_of_range(tp, fetched)
                continue
            if not fetched.check_assignment(tp):
                continue
            state = fetched._assignment.state_value(tp)  # noqa: SLF001
            begin = state.position
            if fetched._partition_records is not None:  # noqa: SLF001
                fetched._partition_records._consumer_record = record_of  # noqa: SLF001
            try:
                records, value_bytes = _records_of(fetched)
            except Exception as error:
                raise unpacking_error({tp: fetched}, error) or error from error
            if fetched.has_more():
                fetcher._records[tp] = fetched  # noqa: SLF001 - the next call continues it
            end = state.position
            if end > begin:
                stable_end = state.lso or end
                batches.append(
                    RecordBatch(tp.topic, tp.partition, begin, end, stable_end, records, value_bytes)
                )
        return batches

    def _raise_unless_out_of_range(self, tp: Any, failed: Any) -> None:
        """Raise a fetch's error; a position that a source does not have is left to the watch of lost logs.

        The fetcher requests it again every second, until the watch has confirmed what is lost.
        """
        try:
            failed.check_raise()
        except OffsetOutOfRangeError as error:
            if tp.topic not in self.app.tasks.stages:
                raise
            if tp not in self._out_of_range:
                self._out_of_range.add(tp)
                log.warning(
                    "%s/%d does not have the position that is read: %r", tp.topic, tp.partition, error
                )
            self.post(lambda consumer: consumer.pause(tp))
            self.thread_loop.call_later(
                OUT_OF_RANGE_PAUSE_SECONDS, self.post, lambda consumer: consumer.resume(tp)
            )

    def stable_end(self, topic: str, partition: int) -> int | None:
        """Return the last stable offset as of the last fetch, None while unknown."""
        consumer = self._consumer
        own = aiokafka.TopicPartition(topic, partition)
        if consumer is None or own not in consumer.assignment():
            return None
        return cast("int | None", consumer.last_stable_offset(own))

    def unstable(self, topic: str, partition: int) -> int:
        """Return how many offsets lay above the last stable one at the last fetch, 0 while unknown."""
        consumer = self._consumer
        own = aiokafka.TopicPartition(topic, partition)
        if consumer is None or own not in consumer.assignment():
            return 0
        high, stable = consumer.highwater(own), consumer.last_stable_offset(own)
        return 0 if high is None or stable is None or stable < 0 else max(0, high - stable)

    def post(self, do: Callable[[AIOKafkaConsumer], None]) -> None:
        """Run a short function with the consumer, in its thread, in order; a lost assignment is ignored."""

        def run() -> None:
            consumer = self._consumer
            if consumer is None:
                return
            try:
                do(consumer)
            except IllegalStateError:
                return

        self.thread_loop.call_soon_threadsafe(run)

    async def run_with_consumer(
        self, do: Callable[[AIOKafkaConsumer], Awaitable[Any]], seconds_max: float | None = None
    ) -> Any:
        """Await a coroutine with the consumer, in its thread. TimeoutError: it took longer than allowed.

        The thread runs few of them at once: one that never ends stops fetching too.
        """

        async def run() -> Any:
            async with asyncio.timeout(seconds_max):
                return await do(self._ensure_consumer())

        return await self.call_thread(run)

    async def commit_offsets(self, offsets: Mapping[tuple[str, int], CommitPoint]) -> None:
        """Commit offsets of assigned partitions. TimeoutError: no answer in time."""
        commits = self._commits = self._commits or OffsetCommits()
        await self.run_with_consumer(
            lambda consumer: commits.commit(consumer, _with_metadata(consumer, offsets))
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust's livelock warnings depend on acks, which the engine does not use."""


class BatchConsumer(driver.Consumer):
    """Faust's consumer, yielding batches and committing watermarks."""

    _thread: BatchConsumerThread

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> BatchConsumerThread:
        """Return the thread in which the consumer lives."""
        return self._thread

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's signature
        """Yield one message per fetched partition batch: its value is the batch."""
        del timeout
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        try:
            batches = await self._thread.fetch_batches(POLL_SECONDS)
        except UnreadableRecordError as error:
            self.app.tasks.fatal(error)  # raised, Faust would log a crash with its traceback
            await asyncio.sleep(POLL_SECONDS)
            return
        for batch in batches:
            tp = TP(batch.topic, batch.partition)
            if self.flow_active:
                self._read_offset[tp] = None  # the engine keeps positions
                yield tp, self._batch_message(tp, batch)

    def _batch_message(self, tp: TP, batch: RecordBatch) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            batch.end - 1,
            time.time(),
            0,
            None,
            None,
            batch,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Do nothing: each task seeks to its watermark + 1, never to the committed offset."""

    async def wait_empty(self) -> None:
        """Let every task finish its queue, commit, and suspend them until the next assignment."""
        await self.app.tasks.drain()
        await self.commit()
        await self.app.tasks.suspend()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit watermark + 1 of every running partition, for tools and lag figures only."""
        del topics, start_new_transaction
        offsets = self.app.tasks.offsets_to_commit()
        if not offsets:
            return False
        try:
            await self._thread.commit_offsets(offsets)
        except (
            CommitFailedError,
            IllegalStateError,
            KafkaError,
            ConsumerStoppedError,
            TimeoutError,
        ) as error:
            self.log.info("offsets not committed now: %r", error)
            return False
        self.app.tasks.offsets_committed(offsets)
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """See BatchConsumerThread.verify_event_path."""


def _records_of(fetched: FetchResult) -> tuple[list[Any], int]:
    """Take records of a fetch up to BATCH_VALUE_BYTES_MAX; return them and the size of their values.

    aiokafka's `getall` with a bound: a compressed fetch of 4 MiB may hold a thousand times as much.
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
            if value_bytes >= BATCH_VALUE_BYTES_MAX:
                fetched._update_position()  # noqa: SLF001
                return records, value_bytes
    fetched._update_position()  # noqa: SLF001
    fetched._partition_records = None  # noqa: SLF001
    return records, value_bytes


def _with_metadata(
    consumer: AIOKafkaConsumer, offsets: Mapping[tuple[str, int], CommitPoint]
) -> dict[aiokafka.TopicPartition, OffsetAndMetadata]:
    assigned = consumer.assignment()
    return {
        tp: OffsetAndMetadata(point.offset, encode_metadata(point.metadata))
        for (topic, partition), point in offsets.items()
        if (tp := aiokafka.TopicPartition(topic, partition)) in assigned
    }


class SilentProducer(driver.Producer):
    """Replaces Faust's producer and connects nowhere: records are sent in the transactions of batches."""

    async def on_start(self) -> None:
        """Do nothing: without a connection, any attempt to send through it fails at once."""


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with the engine's consumer."""

    Consumer = BatchConsumer
    Producer = SilentProducer
