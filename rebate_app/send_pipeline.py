"""Send many records to one topic, in order, with a bounded number in flight.

Leaving the `async with` block without an exception means that every record is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from aiokafka.errors import KafkaError

from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaProducer, translated
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.wire.failure_headers import Header

#: Enough to fill the batches of some dozens of partitions; at 1 MiB a record it is still bounded.
IN_FLIGHT_RECORDS_MAX = 5_000
IN_FLIGHT_BYTES_MAX = 64 * 2**20


class ProducerSource(Protocol):
    """Provides a pipeline with its producer, and replaces one that failed."""

    @property
    def seconds_max(self) -> float:
        """The longest wait for the broker."""
        ...

    async def ready_producer(self) -> AIOKafkaProducer:
        """Return a producer that is started, or raise BrokerAwayError."""
        ...

    def give_up(self, producer: AIOKafkaProducer) -> None:
        """Discard a failed producer."""
        ...

    def away(self, error: BaseException) -> BrokerAwayError:
        """Return an error as one sentence for the user."""
        ...


class SendPipeline:
    """Records in flight. `acknowledged` counts the acknowledged ones; `places` are theirs, if kept."""

    def __init__(self, service: ProducerSource, topic: str, *, keep_places: bool = True) -> None:
        self._service = service
        self._topic = topic
        self._keep_places = keep_places
        self._producer: AIOKafkaProducer | None = None
        self._in_flight: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._in_flight_bytes = 0
        self.acknowledged = 0
        self.places: list[tuple[int, int]] = []

    async def put(self, key: bytes, value: bytes, headers: Sequence[Header] = ()) -> None:
        """Send a record; wait only when too many are in flight. BrokerAwayError if one was not taken."""
        size = len(key) + len(value)
        while len(self._in_flight) >= IN_FLIGHT_RECORDS_MAX or self._is_heavy(size):
            await self._reap()
        while self._in_flight and self._in_flight[0][0].done():
            await self._reap()
        try:
            async with asyncio.timeout(self._service.seconds_max):
                producer = await self._ready()
                future = await producer.send(self._topic, value, key, headers=list(headers) or None)
        except (KafkaError, OSError, TimeoutError) as error:
            raise self._failed(error) from error
        self._in_flight.append((future, size))
        self._in_flight_bytes += size

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            while self._in_flight:
                await self._reap()
        else:
            self._forget()

    def _is_heavy(self, size: int) -> bool:
        return bool(self._in_flight) and self._in_flight_bytes + size > IN_FLIGHT_BYTES_MAX

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await self._service.ready_producer()
        return self._producer

    async def _reap(self) -> None:
        """Wait for the oldest record."""
        future, size = self._in_flight[0]
        try:
            with translated():
                if not future.done():
                    async with asyncio.timeout(self._service.seconds_max):
                        await asyncio.shield(future)
                metadata = future.result()
        except (KafkaError, OSError, TimeoutError) as error:
            raise self._failed(error) from error
        if metadata.offset < 0:
            # The broker knows it as a repeat without its offset: the caller has to send it again.
            raise self._failed(KafkaError("the broker took a record and cannot say where it is"))
        self._in_flight.popleft()
        self._in_flight_bytes -= size
        self.acknowledged += 1
        if self._keep_places:
            self.places.append((metadata.partition, metadata.offset))

    def _failed(self, error: BaseException) -> BrokerAwayError:
        """Give the producer up and return the error to raise."""
        if self._producer is not None:
            self._service.give_up(self._producer)
        self._forget()
        return self._service.away(error)

    def _forget(self) -> None:
        """Stop tracking the records in flight; their failures are ignored."""
        for future, _ in self._in_flight:
            future.add_done_callback(_seen)
        self._in_flight.clear()
        self._in_flight_bytes = 0


def _seen(future: asyncio.Future[Any]) -> None:
    """Retrieve a future's exception, so that asyncio does not log it as never retrieved."""
    if not future.cancelled():
        future.exception()
