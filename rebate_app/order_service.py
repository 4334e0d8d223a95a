"""OrderService: facts about order lines go onto `order_topic`, each once and in order.

Law: what it has returned for is acknowledged by all in-sync replicas; a record is keyed by its line, so
that all facts of a line stay in one partition and in the order in which they were given. It is separate
from its callers, the commands and the web server, because only here it is known that a producer whose
batch has failed can never be used again (aiokafka issue 1017): it is thrown away, and a new one made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from rebate_app.domain.faults import Fault, RefusedError, limit
from rebate_app.lane.clients import discard
from rebate_app.lane.connection import BrokerAwayError, client_options
from rebate_app.settings import Settings
from rebate_app.wire.order_facts import check_order, encode_order
from rebate_app.wire.topics import RECORD_BYTES_MAX, Topics

from .send_pipeline import SendPipeline

SEND_SECONDS_MAX = 10.0
BATCH_BYTES_MAX = 256 * 1_024
#: One fact and what Kafka puts around it: our own limit on facts speaks first.
REQUEST_BYTES_MAX = 2 * RECORD_BYTES_MAX
NANOSECONDS_PER_US = 1_000


class OrderService:
    """Sends facts with one idempotent producer, made when it is first needed.

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

    async def send(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
        """Send (key, value) pairs in order; return (partition, offset) of each once all are acknowledged.

        RefusedError before anything is sent if one is too large; BrokerAwayError after a bounded time.
        """
        for key, value in records:
            require_size(key, value)
        async with SendPipeline(self, topic) as pipeline:
            for key, value in records:
                await pipeline.put(key, value)
        return pipeline.places

    def pipeline(self, topic: str) -> SendPipeline:
        """Return a pipeline that keeps thousands of records in flight, for imports."""
        return SendPipeline(self, topic, keep_places=False)

    @property
    def seconds_max(self) -> float:
        """Return how long the broker may leave us waiting before BrokerAwayError."""
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
        """Throw a producer away after a failure: its sequence numbers are spent."""
        if self._producer is producer:
            self._producer = None
            task = asyncio.create_task(discard(producer))
            self._discards.add(task)
            task.add_done_callback(self._discards.discard)

    def away(self, error: BaseException) -> BrokerAwayError:
        """Return the error in words for a person."""
        reason = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            reason = f"no answer within {self._seconds_max:g} s"
        return BrokerAwayError(f"The broker at {self._settings.broker} cannot be used: {reason}.")

    async def close(self) -> None:
        """End the producer; what was not acknowledged before is not waited for."""
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
