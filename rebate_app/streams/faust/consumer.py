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
from typing import Any

import aiokafka
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import maybe_async

from rebate_app.wire.commit_metadata import encode_metadata

from ..errors import UnreadableRecordError
from ..kafka.aiokafka_clients import AIOKafkaConsumer, translated
from ..kafka.lease_clock import lease_clock
from ..task.batch import RecordBatch
from ..task.manager import CommitPoint
from .batch_fetcher import BatchFetcher
from .consumer_health import coordination_error, renew_by_heartbeats, task_gone
from .offset_commit import OffsetCommits

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
HEARTBEAT_WAIT_SECONDS_MAX = 3.0
HEARTBEAT_POLL_SECONDS = 0.02


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which the group's consumer lives: membership, heartbeats, offsets. It fetches nothing."""

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

    async def on_start(self) -> None:
        """Start the consumer, and record when each heartbeat that was answered without error was sent.

        The time of its answer does not count: after a freeze, the answer to a heartbeat from before it is
        still in the socket.
        """
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
        """Pause every partition for good: `BatchFetcher` reads them."""
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

    def note_fetch(self) -> None:
        """Note that the worker's loop reads, which is what `max_poll_interval` is about."""
        if self._consumer is not None:
            self._consumer._subscription._last_fetch_ended = time.monotonic()  # noqa: SLF001 - pinned aiokafka

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

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        tasks = self.app.tasks
        given = tasks.client_options | {"client_id": self.app.conf.broker_client_id}
        self.fetcher = BatchFetcher(given, tasks.stages)
        self._waits_for_heartbeat = True  # once for each time that the lease lapses

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> BatchConsumerThread:
        """Return the thread in which the group's consumer lives."""
        return self._thread

    async def on_start(self) -> None:
        """Start to read, too."""
        await super().on_start()
        await self.fetcher.start()

    async def on_stop(self) -> None:
        """Commit what is done, and stop reading."""
        await super().on_stop()
        await self.fetcher.stop()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Read these partitions once their tasks are open."""
        self.fetcher.assign(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    async def _messages(self) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Yield one message per fetched partition batch: its value is the batch."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        self._thread.note_fetch()
        try:
            batches = await self.fetcher.fetch(POLL_SECONDS, lambda: self.flow_active)
        except UnreadableRecordError as error:
            self.app.tasks.fatal(error)  # raised, Faust would log a crash with its traceback
            await asyncio.sleep(POLL_SECONDS)
            return
        if batches:
            await self._wait_for_heartbeat()
        for batch in batches:
            tp = TP(batch.topic, batch.partition)
            if self.flow_active:
                self._read_offset[tp] = None  # the engine keeps positions
                yield tp, self._batch_message(tp, batch)

    async def _wait_for_heartbeat(self) -> None:
        """Wait for a heartbeat after the lease has lapsed, or for the rebalance that it brings: some seconds.

        A worker that was frozen may have lost its partitions, and learns it by a heartbeat. What it has
        fetched would only run into the new owner's fence. While nobody answers heartbeats it reads on: the
        fence decides.
        """
        tasks = self.app.tasks
        end_at = time.monotonic() + HEARTBEAT_WAIT_SECONDS_MAX
        while self._waits_for_heartbeat and self.flow_active and not tasks.lease_holds():
            self._waits_for_heartbeat = time.monotonic() < end_at
            await asyncio.sleep(HEARTBEAT_POLL_SECONDS)
        self._waits_for_heartbeat = self._waits_for_heartbeat or tasks.lease_holds()

    async def _drain_messages(self, fetcher: Any) -> None:
        """Deliver batches until the consumer or Faust's fetcher stops: Faust's loop, made cheaper.

        Faust starts two asyncio tasks a message, so that a delivery ends when a rebalance begins. A delivery
        suspends only while the flow is suspended, so that is needed only then.
        """
        flow_control = self.app.flow_control
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):  # noqa: SLF001
                async for _, message in self._messages():
                    if self.flow_active and flow_control.is_active():
                        await self.callback(message)
                    else:
                        await self.wait_first(self.callback(message), self.suspend_flow.wait())
                await asyncio.sleep(0)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

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
