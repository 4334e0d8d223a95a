"""Faust's transport for the streams engine: one message per fetched batch of a partition.

See docs/spec/architecture.md#batches.

Worker, agents, rebalancing and assignor stay Faust's. The consumer delivers what `batch_fetcher` reads, and
does not use committed offsets as positions; the group has a thread of its own (`consumer_thread`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from ..errors import UnreadableRecordError
from ..task.batch import RecordBatch
from .batch_fetcher import BatchFetcher
from .consumer_thread import BatchConsumerThread

POLL_SECONDS = 0.5
HEARTBEAT_WAIT_SECONDS_MAX = 3.0
HEARTBEAT_POLL_SECONDS = 0.02


class BatchConsumer(driver.Consumer):
    """Faust's consumer, yielding batches and committing watermarks."""

    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        tasks = self.app.tasks
        given = tasks.client_options | {"client_id": self.app.conf.broker_client_id}
        self.fetcher = BatchFetcher(given, tasks.stages, lambda: tasks.pacer.is_busy)
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


class SilentProducer(driver.Producer):
    """Replaces Faust's producer and connects nowhere: records are sent in the transactions of batches."""

    async def on_start(self) -> None:
        """Do nothing: without a connection, any attempt to send through it fails at once."""


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with the engine's consumer."""

    Consumer = BatchConsumer
    Producer = SilentProducer
