"""Send facts about order lines to `order_topic`, each once and in order.

A call returns after acknowledgement by all in-sync replicas. A record's key is its line, so that all facts of
a line are in one partition, in the order given. A producer whose batch has failed cannot be used again
(aiokafka issue 1017); it is discarded and replaced.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka.errors import KafkaError

from rebate_app.domain.faults import Fault, RefusedError, limit
from rebate_app.send_pipeline import SendPipeline
from rebate_app.settings import Settings
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaProducer
from rebate_app.streams.kafka.clients import discard
from rebate_app.streams.kafka.connection import BrokerAwayError, client_options
from rebate_app.wire.facts.order import check_order, encode_order
from rebate_app.wire.failure_headers import Header
from rebate_app.wire.stages import RECORD_BYTES_MAX
from rebate_app.wire.topics import Topics

SEND_SECONDS_MAX = 10.0
BATCH_BYTES_MAX = 256 * 1_024
#: One fact and Kafka's overhead: our own limit on facts applies first.
REQUEST_BYTES_MAX = 2 * RECORD_BYTES_MAX
NANOSECONDS_PER_US = 1_000


class OrderService:
    """Sends facts with one idempotent producer, opened at first use.

    Use it as `async with OrderService(settings) as service`. Safe for any number of tasks of one loop.
    """

    def __init__(self, settings: Settings, *, seconds_max: float = SEND_SECONDS_MAX) -> None:
        self._settings = settings
        self._topic = Topics.of(settings).orders
        self._seconds_max = seconds_max
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._discards: set[asyncio.Task[None]] = set()

    async def create_order(self, fact: dict[str, Any]) -> tuple[int, int]:
        """Send one fact; return its (partition, offset) once it is acknowledged.

        RefusedError with every fault in contract order; BrokerAwayError if it is not known to be taken.
        """
        return (await self.create_orders([fact]))[0]

    async def create_orders(self, facts: Iterable[dict[str, Any]]) -> list[tuple[int, int]]:
        """Send facts, all or none; return (partition, offset) of each once all are acknowledged.

        RefusedError with the faults of every bad one, "fact 3: ..." by its place from 1; BrokerAwayError
        if not all are known to be taken: then sending all of them again is right, repeats do no harm.
        """
        now_us = time.time_ns() // NANOSECONDS_PER_US
        records, faults = [], []
        for place, fact in enumerate(facts, start=1):
            verdict = check_order(fact, now_us)
            if isinstance(verdict, list):
                faults += [Fault(each.code, each.member, f"fact {place}: {each.detail}") for each in verdict]
            else:
                records.append(encode_order(fact))
        if faults:
            raise RefusedError(faults)
        return await self.send(self._topic, records)

    async def send(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Sequence[Header] = ()
    ) -> list[tuple[int, int]]:
        """Send (key, value) pairs in order; return (partition, offset) of each once all are acknowledged.

        Every record gets the `headers`. RefusedError before anything is sent if one is too large;
        BrokerAwayError after a bounded time.
        """
        for key, value in records:
            require_size(key, value)
        async with SendPipeline(self, topic) as pipeline:
            for key, value in records:
                await pipeline.put(key, value, headers)
        return pipeline.places

    def pipeline(self, topic: str) -> SendPipeline:
        """Return a pipeline that keeps thousands of records in flight, for imports."""
        return SendPipeline(self, topic, keep_places=False)

    @property
    def seconds_max(self) -> float:
        """Return the longest wait for the broker, after which BrokerAwayError is raised."""
        return self._seconds_max

    async def ready_producer(self) -> AIOKafkaProducer:
        """Return the producer, started; BrokerAwayError if the broker cannot be reached in time."""
        async with self._starting:
            if self._producer is None:
                producer = self._new_producer()
                try:
                    async with asyncio.timeout(self._seconds_max):
                        await producer.start()
                except (KafkaError, OSError, TimeoutError) as error:
                    await discard(producer)
                    raise self.away(error) from error
                except BaseException:
                    await discard(producer)
                    raise
                self._producer = producer
            return self._producer

    def give_up(self, producer: AIOKafkaProducer) -> None:
        """Discard a producer after a failure: its sequence numbers are spent."""
        if self._producer is producer:
            self._producer = None
            task = asyncio.create_task(discard(producer))
            self._discards.add(task)
            task.add_done_callback(self._discards.discard)

    def away(self, error: BaseException) -> BrokerAwayError:
        """Return the error as one sentence for the user."""
        reason = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            reason = f"no answer within {self._seconds_max:g} s"
        return BrokerAwayError(f"The broker at {self._settings.broker} cannot be used: {reason}.")

    async def close(self) -> None:
        """Close the producer without waiting for acknowledgements."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await discard(producer)
        await asyncio.gather(*self._discards)

    async def __aenter__(self) -> Self:
        await self.ready_producer()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=int(self._seconds_max * 1_000),
            **client_options(self._settings),
        )


def require_size(key: bytes, value: bytes) -> None:
    """Raise RefusedError for a record beyond what one fact may weigh on the wire."""
    if len(key) + len(value) > RECORD_BYTES_MAX:
        size = len(key) + len(value)
        raise RefusedError([limit("fact", f"the fact has {size} bytes, more than {RECORD_BYTES_MAX}")])
