"""The consumer group's thread: membership, heartbeats, committed offsets; it fetches nothing (ADR 28)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.futures import maybe_async

from rebate_app.wire.commit_metadata import encode_metadata

from ..kafka.aiokafka_clients import AIOKafkaConsumer, translated
from ..kafka.lease_clock import lease_clock
from ..task.manager import CommitPoint
from .consumer_health import coordination_error, renew_by_heartbeats, task_gone
from .offset_commit import OffsetCommits


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which the group's consumer lives, so that heartbeats do not wait for the worker."""

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

        The thread runs few of them at once: those that never end would let the others wait.
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


def _with_metadata(
    consumer: AIOKafkaConsumer, offsets: Mapping[tuple[str, int], CommitPoint]
) -> dict[aiokafka.TopicPartition, OffsetAndMetadata]:
    assigned = consumer.assignment()
    return {
        tp: OffsetAndMetadata(point.offset, encode_metadata(point.metadata))
        for (topic, partition), point in offsets.items()
        if (tp := aiokafka.TopicPartition(topic, partition)) in assigned
    }
