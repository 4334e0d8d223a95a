"""aiokafka's clients, begun and ended so that nothing of them stays, and asked past nodes that are gone.

Law: a client that was made is ended, whether its start worked, failed or was cancelled. It is separate
because every room that talks to Kafka needs it, and what it knows of aiokafka's inside stands here once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError

#: An orderly end of a producer that is thrown away; what it still holds has been given up already.
DISCARD_SECONDS_MAX = 2.0
#: A killed node is listed for up to 9 s (broker.session.timeout.ms), and a leader moves within seconds.
PATIENCE_S = 20.0
PAUSE_S = 0.1

T = TypeVar("T")
Client = TypeVar("Client", bound=Any)

_ends: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def started(client: Client) -> AsyncIterator[Client]:
    """Give the client, started, and stop it with the block; also when its start fails or is cancelled."""
    try:
        await client.start()
        yield client
    finally:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


async def discard(producer: AIOKafkaProducer) -> None:
    """End a producer within a bounded time; what it has not sent by now it never sends.

    Law: when it returns nothing of the producer is left, no task and no connection. Whoever is cancelled
    while waiting for that leaves it to end by itself.
    """
    end = asyncio.ensure_future(_end(producer))
    _ends.add(end)
    end.add_done_callback(_ends.discard)
    await asyncio.shield(end)


async def _end(producer: AIOKafkaProducer) -> None:
    """First its sender, which would still move batches about, then what waits for a batch, then the rest."""
    sender = producer._sender.sender_task  # noqa: SLF001 - pinned aiokafka
    try:
        if sender is not None:
            sender.cancel()
            await asyncio.wait([sender], timeout=DISCARD_SECONDS_MAX)
    finally:
        _fail_what_waits(producer._message_accumulator)  # noqa: SLF001
        with contextlib.suppress(Exception):  # whatever it dies of is over with it
            await asyncio.wait_for(producer.stop(), DISCARD_SECONDS_MAX)
        await producer.client.close()


def _fail_what_waits(accumulator: Any) -> None:
    """Fail every batch, and take note of what nobody else will ask for: it would be logged as unheard.

    A batch that was sent once and put back is missing among the pending ones, where aiokafka takes it
    out once it is done.
    """
    waiting = [batch for batches in accumulator._batches.values() for batch in batches]  # noqa: SLF001
    accumulator._pending_batches.update(waiting)  # noqa: SLF001
    accumulator.fail_all(KafkaError("the producer was thrown away"))
    for batch in waiting:
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
            if future.done() and not future.cancelled():
                future.exception()


async def patiently(client: AIOKafkaClient, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask, and ask again with fresh metadata while what fails may be a node that is gone.

    KafkaError, OSError: what the last try failed with, once PATIENCE_S are over; at once when trying
    again is of no use.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await ask()
        except (KafkaError, OSError) as error:
            hopeless = isinstance(error, KafkaError) and not error.retriable
            if hopeless or time.monotonic() >= deadline:
                raise
        await asyncio.sleep(PAUSE_S)
        await client.force_metadata_update()


class PatientAdmin(AIOKafkaAdminClient):
    """An admin client that does not insist on a node that is gone.

    aiokafka's waits 40 s for the controller of its first metadata, and fails at once when the node that
    it has drawn is not there. Everything that we ask may be asked twice.
    """

    async def _send_request(self, request: Any, node_id: int | None = None) -> Any:
        ask = super()._send_request
        return await patiently(self._client, lambda: ask(request, node_id))

    async def _send_to_controller(self, request: Any) -> Any:
        return await patiently(self._client, lambda: self._ask_controller(request))

    async def _ask_controller(self, request: Any) -> Any:
        controller = self._client.cluster.controller
        if controller is None:
            raise NodeNotReadyError("the cluster has no controller now")
        return await self._client.send(controller.nodeId, request)
