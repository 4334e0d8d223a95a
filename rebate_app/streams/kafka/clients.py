"""Starting and stopping aiokafka's clients without leaks, and retrying requests while a node is gone.

A client that was made is stopped, whether its start succeeds, fails or is cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka.errors import KafkaError, NodeNotReadyError

from .aiokafka_clients import (
    AIOKafkaAdminClient,
    AIOKafkaClient,
    AIOKafkaConsumer,
    AIOKafkaProducer,
    stop_within,
    translated,
)

#: For the sender of a producer that is thrown away; what it still holds has been given up already.
DISCARD_SECONDS_MAX = 2.0
#: A killed node is listed for up to 9 s (broker.session.timeout.ms), and a leader moves within seconds.
RETRY_SECONDS_MAX = 20.0
RETRY_PAUSE_SECONDS = 0.1

T = TypeVar("T")
Client = TypeVar("Client", bound=Any)


@asynccontextmanager
async def started(client: Client, start_seconds_max: float | None = None) -> AsyncIterator[Client]:
    """Give the client, started, and stop it with the block; also when its start fails or is cancelled.

    TimeoutError: it has not started within `start_seconds_max`.
    """
    try:
        async with asyncio.timeout(start_seconds_max):
            await client.start()
        yield client
    finally:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


class KeptConsumer:
    """A consumer that is opened at first use and kept; after `close` the next use opens another.

    One task at a time may open or close it.
    """

    def __init__(self, options: Mapping[str, Any], start_seconds_max: float | None = None) -> None:
        self._options = options
        self._start_seconds_max = start_seconds_max
        self._consumer: AIOKafkaConsumer | None = None

    async def get(self) -> AIOKafkaConsumer:
        """Return the consumer, started. KafkaError, OSError (TimeoutError after `start_seconds_max`)."""
        if self._consumer is None:
            consumer = AIOKafkaConsumer(**self._options)
            try:
                async with asyncio.timeout(self._start_seconds_max):
                    await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Close the connection, if there is one."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()


async def discard(producer: AIOKafkaProducer) -> None:
    """Stop a producer within a bounded time; what it has not sent by now it never sends.

    When it returns, no task and no connection of the producer is left. A caller that is cancelled while
    waiting leaves the stop to go on by itself. Nothing else is raised, whatever the client fails with.
    """
    await stop_within(lambda: _end(producer), producer.client, 2 * DISCARD_SECONDS_MAX)


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop its sender, which would still move batches, fail the waiting batches, then stop the rest."""
    sender = producer._sender.sender_task  # noqa: SLF001 - pinned aiokafka
    try:
        if sender is not None:
            sender.cancel()
            await asyncio.wait([sender], timeout=DISCARD_SECONDS_MAX)
    finally:
        _fail_waiting_batches(producer._message_accumulator)  # noqa: SLF001
        await producer.stop()


def _fail_waiting_batches(accumulator: Any) -> None:
    """Fail every batch, requeue none, and retrieve errors that nobody else retrieves.

    A batch that was sent once and put back is missing among the pending ones, where aiokafka takes it
    out once it is done.
    """
    accumulator.reenqueue = lambda _: None  # a request that fails from now on has no batch to send again
    waiting = [batch for batches in accumulator._batches.values() for batch in batches]  # noqa: SLF001
    accumulator._pending_batches.update(waiting)  # noqa: SLF001
    accumulator.fail_all(KafkaError("the producer was thrown away"))
    for batch in waiting:
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
            if future.done() and not future.cancelled():
                future.exception()


async def with_retries(client: AIOKafkaClient, request: Callable[[], Awaitable[T]]) -> T:
    """Send a request, and again with fresh metadata while the failure may be a node that is gone.

    KafkaError, OSError: the last failure, once RETRY_SECONDS_MAX are over; at once when it is not retriable.
    """
    deadline = time.monotonic() + RETRY_SECONDS_MAX
    while True:
        try:
            with translated():
                return await request()
        except (KafkaError, OSError) as error:
            permanent = isinstance(error, KafkaError) and not error.retriable
            if permanent or time.monotonic() >= deadline:
                raise
        await asyncio.sleep(RETRY_PAUSE_SECONDS)
        with translated():
            await client.force_metadata_update()


class PatientAdmin(AIOKafkaAdminClient):
    """An admin client that does not insist on a node that is gone.

    aiokafka's waits 40 s for the controller of its first metadata, and fails at once when the node that it
    chose is not there. All requests of ours are idempotent.
    """

    async def _send_request(self, request: Any, node_id: int | None = None) -> Any:
        send = super()._send_request
        return await with_retries(self._client, lambda: send(request, node_id))

    async def _send_to_controller(self, request: Any) -> Any:
        return await with_retries(self._client, lambda: self._send_once_to_controller(request))

    async def _send_once_to_controller(self, request: Any) -> Any:
        controller = self._client.cluster.controller
        if controller is None:
            raise NodeNotReadyError("the cluster has no controller now")
        return await self._client.send(controller.nodeId, request)
