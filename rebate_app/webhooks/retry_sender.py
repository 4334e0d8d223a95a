"""Send retry records, progress markers and dead letters, outside the engine's transactions.

`send` returns once the record is acknowledged by all in-sync replicas and its place is known; until then it
retries, with a new producer after each failure, whose sequence numbers are spent. So a record may be written
twice; readers know which one counts (`Delivery.stored_at`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any, Protocol

from aiokafka.errors import KafkaError

from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaProducer
from rebate_app.streams.kafka.clients import discard
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.topics import KEPT_BYTES_MAX

SEND_SECONDS_MAX = 15.0
BACKOFF_FIRST_SECONDS, BACKOFF_MAX_SECONDS = 0.1, 10.0

log = logging.getLogger(__name__)


class RecordSender(Protocol):
    """Sends records until they are acknowledged."""

    async def send(self, record: OutgoingRecord) -> Place:
        """Return the record's place, once it is acknowledged."""
        ...


class RetrySender:
    """Sends with one idempotent producer, opened at first use."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._discards: set[asyncio.Task[None]] = set()

    async def send(self, record: OutgoingRecord) -> Place:
        """Return the record's place, once it is acknowledged; retry without limit."""
        backoff_seconds = BACKOFF_FIRST_SECONDS
        while True:
            producer = None
            try:
                async with asyncio.timeout(SEND_SECONDS_MAX):
                    producer = await self._ready()
                    metadata = await producer.send_and_wait(
                        record.topic,
                        record.value,
                        record.key,
                        record.partition,
                        record.timestamp_ms,
                        list(record.headers),
                    )
                if metadata.offset >= 0:
                    return Place(metadata.topic, metadata.partition, metadata.offset)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("a webhook record is not acknowledged by %s yet: %r", record.topic, error)
                self._give_up(producer)
            await asyncio.sleep(backoff_seconds * random.uniform(0.5, 1.5))
            backoff_seconds = min(2 * backoff_seconds, BACKOFF_MAX_SECONDS)

    async def close(self) -> None:
        """Close the producer without waiting for acknowledgements."""
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
                    request_timeout_ms=int(SEND_SECONDS_MAX * 1_000),
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
