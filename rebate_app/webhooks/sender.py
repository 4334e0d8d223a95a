"""Copies, marks and dead letters on their way to the broker: outside the lane's transactions, acknowledged.

Law: `send` returns only when the record is acknowledged by all in-sync replicas and its place is known; until
then it goes on trying, with a new producer after each failure (its sequence numbers are spent). A record may
so stand twice; whoever reads knows which one counts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from rebate_app.lane.clients import discard
from rebate_app.lane.outbox import Outgoing
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.topics import KEPT_BYTES_MAX

SECONDS_MAX = 15.0
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.1, 10.0

log = logging.getLogger(__name__)


class Sender(Protocol):
    """Where records go."""

    async def send(self, record: Outgoing) -> Place:
        """Return where the record stands, once it is acknowledged."""
        ...


class CopySender:
    """Sends with one idempotent producer, made when it is first needed."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._discards: set[asyncio.Task[None]] = set()

    async def send(self, record: Outgoing) -> Place:
        """Return where the record stands, once it is acknowledged; try for as long as that takes."""
        backoff = BACKOFF_FIRST_S
        while True:
            producer = None
            try:
                async with asyncio.timeout(SECONDS_MAX):
                    producer = await self._ready()
                    told = await producer.send_and_wait(
                        record.topic,
                        record.value,
                        record.key,
                        record.partition,
                        record.timestamp_ms,
                        list(record.headers),
                    )
                if told.offset >= 0:
                    return Place(told.topic, told.partition, told.offset)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("a webhook's copy is not acknowledged by %s yet: %r", record.topic, error)
                self._give_up(producer)
            await asyncio.sleep(backoff * random.uniform(0.5, 1.5))
            backoff = min(2 * backoff, BACKOFF_MAX_S)

    async def close(self) -> None:
        """End the producer; what was not acknowledged is not waited for."""
        self._give_up(self._producer)
        await asyncio.gather(*self._discards)

    async def _ready(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=0,
                    max_request_size=KEPT_BYTES_MAX,
                    request_timeout_ms=int(SECONDS_MAX * 1_000),
                    **self._options,
                )
                try:
                    await producer.start()
                except BaseException:
                    await discard(producer)
                    raise
                self._producer = producer
            return self._producer

    def _give_up(self, producer: AIOKafkaProducer | None) -> None:
        if producer is not None and self._producer is producer:
            self._producer = None
            task = asyncio.create_task(discard(producer))
            self._discards.add(task)
            task.add_done_callback(self._discards.discard)
