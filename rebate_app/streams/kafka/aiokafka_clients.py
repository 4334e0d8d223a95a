"""aiokafka's clients with four guarantees that the originals lack; all code of ours uses these classes.

1. A CancelledError that reaches a caller means that somebody cancelled the caller's task. aiokafka raises it
   also when it cancels its own requests, for example when a client stops while a node does not answer. Such
   an error passes every `except Exception` and ends the task in silence. Here it becomes
   ClientCancelledError, a retryable KafkaError.
2. Stopping a client takes a bounded time and closes every connection, whatever the node does.
3. A cluster that names no node, as one whose only node was away for a moment, is retried; aiokafka fails with
   an AssertionError, which ends its coordination for good.
4. A record whose header name is not UTF-8 is read like any other (`header_names`), where aiokafka's consumers
   fail on it at each fetch.

Nothing else may import the client classes from aiokafka (tests/streams/kafka/test_client_border.py).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from types import TracebackType
from typing import Any, TypeVar

import aiokafka
from aiokafka import admin, client
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.protocol.metadata import MetadataRequest

from . import header_names

#: For an orderly stop; after it connections are aborted, for which the same time is allowed once more.
STOP_SECONDS_MAX = 2.0
#: A member of a group leaves it while stopping.
GROUP_STOP_SECONDS_MAX = 8.0

Client = TypeVar("Client", bound=type[Any])

header_names.install()

log = logging.getLogger(__name__)
_ends: set[asyncio.Task[None]] = set()


class ClientCancelledError(KafkaError):
    """aiokafka cancelled what we waited for, and nobody cancelled us: the outcome is unknown, try again."""

    retriable = True


def is_cancelled_by_us() -> bool:
    """Return whether somebody has called `cancel` on the current task (also a time-out around it)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Translation:
    """The block of `translated`: without state, and cheap enough for each record of an import."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError) and not is_cancelled_by_us():
            raise ClientCancelledError("the client cancelled its own request") from error


_TRANSLATION = _Translation()


def translated() -> _Translation:
    """Raise ClientCancelledError in the place of a CancelledError that nobody of ours caused.

    Use it around every wait for a future that aiokafka made; the clients' own methods have it already.
    """
    return _TRANSLATION


def translating(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return the coroutine method with `translated` around its body."""

    @functools.wraps(method)
    async def call(*arguments: Any, **options: Any) -> Any:
        try:
            return await method(*arguments, **options)
        except asyncio.CancelledError as error:
            if is_cancelled_by_us():
                raise
            raise ClientCancelledError(f"aiokafka cancelled its own {method.__name__}") from error

    return call


def _with_border(cls: Client) -> Client:
    """Translate every public coroutine method that the class has from aiokafka."""
    for name, method in inspect.getmembers(cls, inspect.iscoroutinefunction):
        if not name.startswith("_") or name == "__anext__":
            setattr(cls, name, translating(method))
    return cls


async def stop_within(stop: Callable[[], Awaitable[None]], inner: Any, seconds_max: float) -> None:
    """Stop a client in order within `seconds_max`, then close its connections by force.

    `inner` is its AIOKafkaClient. Nothing is raised but the caller's own cancellation, which leaves the
    stop to go on by itself.
    """
    end = asyncio.ensure_future(_stop(stop, inner, seconds_max))
    _ends.add(end)
    end.add_done_callback(_ends.discard)
    with translated():
        await asyncio.shield(end)


async def _stop(stop: Callable[[], Awaitable[None]], inner: Any, seconds_max: float) -> None:
    transports = [
        connection._writer.transport  # noqa: SLF001 - pinned aiokafka
        for connection in inner._conns.values()  # noqa: SLF001
        if connection._writer is not None  # noqa: SLF001
    ]
    if not await _attempt(stop, seconds_max):
        for transport in transports:
            transport.abort()  # a node that does not read keeps unsent bytes, and the connection, for ever
    await _attempt(functools.partial(client.AIOKafkaClient.close, inner), STOP_SECONDS_MAX)


async def _attempt(stop: Callable[[], Awaitable[None]], seconds_max: float) -> bool:
    """Try one step of a stop and return whether it worked; the next step closes what it left."""
    try:
        with translated():
            await asyncio.wait_for(stop(), seconds_max)
    except Exception as error:  # noqa: BLE001 - whatever it fails with is over with it
        log.info("a client did not stop in order: %r", error)
        return False
    return True


def _ask_known_nodes(inner: Any) -> None:
    """Have the AIOKafkaClient raise a retryable error while no node could name a coordinator."""
    look_up = inner.coordinator_lookup

    async def look_up_or_retry(kind: int, key: str) -> int:
        if inner.get_random_node() is None:
            raise NodeNotReadyError("the cluster names no node now")
        return int(await look_up(kind, key))

    inner.coordinator_lookup = look_up_or_retry


@_with_border
class AIOKafkaProducer(aiokafka.AIOKafkaProducer):
    """aiokafka's producer. Futures that `send` and `send_batch` return are awaited under `translated`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _ask_known_nodes(self.client)

    async def send(  # the order of the original
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[tuple[str, bytes | None]] | None = None,
    ) -> asyncio.Future[Any]:
        """Append a record to a batch and return the future of its acknowledgement."""
        plain = header_names.plain_headers(headers) if headers else None
        sent: asyncio.Future[Any] = await super().send(topic, value, key, partition, timestamp_ms, plain)
        return sent

    async def stop(self) -> None:
        """Flush and close within a bounded time."""
        await stop_within(super().stop, self.client, STOP_SECONDS_MAX)


@_with_border
class AIOKafkaConsumer(aiokafka.AIOKafkaConsumer):
    """aiokafka's consumer."""

    def __init__(self, *topics: str, **options: Any) -> None:
        super().__init__(*topics, **options)
        _ask_known_nodes(self._client)

    async def stop(self) -> None:
        """Leave the group, if it has one, and close within a bounded time."""
        seconds_max = STOP_SECONDS_MAX if self._group_id is None else GROUP_STOP_SECONDS_MAX
        await stop_within(super().stop, self._client, seconds_max)


@_with_border
class AIOKafkaAdminClient(admin.AIOKafkaAdminClient):
    """aiokafka's admin client."""

    async def describe_existing(self, topics: Collection[str]) -> list[dict[str, Any]]:
        """Describe those of the topics that exist and may be seen; asking makes none.

        Not asked for by name, a cluster lists and describes all topics of everybody.
        """
        response = await self._send_request(MetadataRequest(list(topics), allow_auto_topic_creation=False))
        return [topic for topic in response.to_object()["topics"] if not topic["error_code"]]

    async def live_brokers(self) -> set[int]:
        """Return the ids of the brokers that answer now."""
        response = await self._send_request(MetadataRequest([], allow_auto_topic_creation=False))
        return {broker["node_id"] for broker in response.to_object()["brokers"]}

    async def close(self) -> None:
        """Close within a bounded time."""
        await stop_within(super().close, self._client, STOP_SECONDS_MAX)


@_with_border
class AIOKafkaClient(client.AIOKafkaClient):
    """aiokafka's low-level client."""

    async def close(self) -> None:
        """Close within a bounded time."""
        await stop_within(super().close, self, STOP_SECONDS_MAX)
