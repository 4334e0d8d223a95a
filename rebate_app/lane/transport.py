"""Faust's transport with the batch lane in it: one message per fetched partition chunk (design.md 4).

Faust stays what it is (worker, agents, rebalancing, assignor); only its consumer yields chunks, is
read_committed, never trusts the committed offset, and leaves nothing behind in aiokafka's fetcher.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import aiokafka
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from msgspec.json import encode

from .chunk import Chunk, read_record

FETCH_MAX_WAIT_MS = 30  # Faust hard-codes 1,500, which stalls the busy behind the idle; 10 costs polls
FETCH_BYTES_MAX = 4 * 1_048_576
POLL_S = 0.5


class LaneThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka's consumer lives: fetches, heartbeats, seeks."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        del transport  # its addresses are in the client options
        app, conf = self.app, self.app.conf
        self._assignor = app.assignor
        return aiokafka.AIOKafkaConsumer(
            **app.lane.client_options,
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

    #: When the last heartbeat that the broker accepted was sent (monotonic clock), None before.
    heartbeat_sent_at: float | None = None

    async def on_start(self) -> None:
        """Start the consumer, and note when heartbeats that succeed were sent.

        When it was sent counts and not when the answer came: after a freeze, the answer to a
        heartbeat from before it is still in the socket.
        """
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001 - pinned aiokafka
        beat = coordinator._do_heartbeat  # noqa: SLF001

        async def noted() -> bool:
            sent_at = time.monotonic()
            accepted = bool(await beat())
            if accepted:
                self.heartbeat_sent_at = sent_at
            return accepted

        coordinator._do_heartbeat = noted  # noqa: SLF001

    def coordination_error(self) -> BaseException | None:
        """Return why aiokafka has given the group up, None while it has not."""
        if self._consumer is None:
            return None
        coordinator = self._consumer._coordinator  # noqa: SLF001
        pending = getattr(coordinator, "_pending_exception", None)  # what a public getmany would raise
        task = getattr(coordinator, "_coordination_task", None)
        if pending is None and task is not None and task.done() and not task.cancelled():
            pending = task.exception()
        return cast("BaseException | None", pending)

    async def leave_and_join_again(self) -> None:
        """Leave the group; aiokafka then joins again as a new member."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001
        await self.call_thread(coordinator._maybe_leave_group)  # noqa: SLF001

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Hold every partition still, at a position of no meaning, until its lane is open."""
        consumer = self._ensure_consumer()
        for topic, partition in assigned:
            tp = aiokafka.TopicPartition(topic, partition)
            consumer.pause(tp)
            consumer.seek(tp, 0)
        await super().on_partitions_assigned(assigned, generation_id)
        beat = consumer._coordinator._do_heartbeat  # noqa: SLF001
        self._first_beat = asyncio.create_task(beat())  # the lease begins now, not an interval later

    async def fetch_chunks(self, seconds_max: float) -> list[Chunk]:
        """Return all that was fetched, a chunk per partition; [] when nothing came in time."""
        return cast("list[Chunk]", await self.call_thread(self._fetch_chunks, seconds_max))

    async def _fetch_chunks(self, seconds_max: float) -> list[Chunk]:
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
                chunks = self._drain(fetcher)
                remaining = deadline - time.monotonic()
                if chunks or remaining <= 0:
                    return chunks
                waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
                done, _ = await asyncio.wait([waiter], timeout=remaining)
                if not done:
                    waiter.cancel()
                    return []
                waiter.result()
        return []

    def _drain(self, fetcher: Any) -> list[Chunk]:
        chunks = []
        for tp in list(fetcher._records):  # noqa: SLF001
            fetched = fetcher._records.pop(tp)  # noqa: SLF001
            fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001
            if not isinstance(fetched, FetchResult):
                fetched.check_raise()
                continue
            if not fetched.check_assignment(tp):
                continue
            state = fetched._assignment.state_value(tp)  # noqa: SLF001
            begin = state.position
            if fetched._partition_records is not None:  # noqa: SLF001
                fetched._partition_records._consumer_record = read_record  # noqa: SLF001
            records = fetched.getall(None)
            end = state.position
            if end > begin:
                chunks.append(Chunk(tp.topic, tp.partition, begin, end, state.lso or end, records))
        return chunks

    def stable_end(self, topic: str, partition: int) -> int | None:
        """Return the last stable offset that a fetch has told, None while unknown."""
        consumer = self._consumer
        own = aiokafka.TopicPartition(topic, partition)
        if consumer is None or own not in consumer.assignment():
            return None
        return cast("int | None", consumer.last_stable_offset(own))

    def post(self, do: Callable[[aiokafka.AIOKafkaConsumer], None]) -> None:
        """Run something short with the consumer, in its thread, in order; a lost assignment is ignored."""

        def run() -> None:
            consumer = self._consumer
            if consumer is None:
                return
            try:
                do(consumer)
            except IllegalStateError:
                return

        self.thread_loop.call_soon_threadsafe(run)

    async def ask(self, do: Callable[[aiokafka.AIOKafkaConsumer], Awaitable[Any]]) -> Any:
        """Await something of the consumer, in its thread."""

        async def run() -> Any:
            return await do(self._ensure_consumer())

        return await self.call_thread(run)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock warnings look at acks, which the lane does not use."""


class LaneConsumer(driver.Consumer):
    """Faust's consumer, yielding chunks and committing watermarks."""

    _thread: LaneThread

    def _new_consumer_thread(self) -> LaneThread:
        return LaneThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> LaneThread:
        """Return the thread in which the consumer lives."""
        return self._thread

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's signature
        """Yield one message per fetched partition chunk: its value is the chunk."""
        del timeout
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        for chunk in await self._thread.fetch_chunks(POLL_S):
            tp = TP(chunk.topic, chunk.partition)
            if self.flow_active:
                self._read_offset[tp] = None  # positions are the lane's business
                yield tp, self._chunk_message(tp, chunk)

    def _chunk_message(self, tp: TP, chunk: Chunk) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            chunk.end - 1,
            time.time(),
            0,
            None,
            None,
            chunk,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Do nothing: a lane positions its reader at watermark + 1, never at the committed offset."""

    async def wait_empty(self) -> None:
        """Let every lane finish what it was given, commit, and hold them until the next assignment."""
        await self.app.lane.drain()
        await self.commit()
        await self.app.lane.suspend()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit watermark + 1 of every running partition, for tools and lag figures only."""
        del topics, start_new_transaction
        offsets = self.app.lane.offsets_to_commit()
        if not offsets:
            return False
        try:
            await self._thread.ask(lambda consumer: consumer.commit(_with_metadata(consumer, offsets)))
        except (CommitFailedError, IllegalStateError, KafkaError, ConsumerStoppedError) as error:
            self.log.info("offsets not committed now: %r", error)
            return False
        self.app.lane.offsets_committed(offsets)
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """See LaneThread.verify_event_path."""


def _with_metadata(
    consumer: aiokafka.AIOKafkaConsumer, offsets: Mapping[tuple[str, int], tuple[int, int]]
) -> dict[aiokafka.TopicPartition, OffsetAndMetadata]:
    assigned = consumer.assignment()
    return {
        tp: OffsetAndMetadata(offset, encode({"u": unfinished}).decode())
        for (topic, partition), (offset, unfinished) in offsets.items()
        if (tp := aiokafka.TopicPartition(topic, partition)) in assigned
    }


class SilentProducer(driver.Producer):
    """Faust's own producer, which connects nowhere: everything is sent in the transactions of chunks."""

    async def on_start(self) -> None:
        """Do nothing: without a connection, whatever tries to send through it fails at once."""


class LaneTransport(driver.Transport):
    """Faust's Kafka transport with the lane's consumer."""

    Consumer = LaneConsumer
    Producer = SilentProducer
