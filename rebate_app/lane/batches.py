"""Records into batches, one after the other, in turns with everybody else on the event loop.

It is separate from the producers, which send them in a transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from .outbox import Outgoing

#: (batch, topic, partition)
Addressed = tuple[Any, str, int]

TURN_RECORDS = 500  # half a millisecond of work
NO_HEADERS: list[tuple[str, bytes]] = []
MILLISECONDS = 1_000


@lru_cache(maxsize=200_000)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key: murmur2, as Kafka's default partitioner."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class _Filling:
    """Fills batches of one topic and partition; a batch always takes its first record, whatever its size.

    aiokafka's BatchBuilder asks for serializers and keyword arguments with each record, which costs as
    much as appending it: the records go straight into its builder, which is the compiled part of it.
    """

    __slots__ = ("_append", "_count", "_producer", "batches")

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self.batches: list[Any] = []
        self._begin()

    def _begin(self) -> None:
        batch = self._producer.create_batch()
        self.batches.append(batch)
        self._append = batch._builder.append  # noqa: SLF001 - pinned aiokafka
        self._count = 0

    def add(
        self, timestamp: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> None:
        """Append a record; when the batch is full, to a new one."""
        if self._append(self._count, timestamp, key, value, headers) is None:
            self.end()
            self._begin()
            self._append(0, timestamp, key, value, headers)
        self._count += 1

    def end(self) -> None:
        """Close the batch that was filled last."""
        batch = self.batches[-1]
        batch._relative_offset = self._count  # noqa: SLF001 - what its own append would have counted
        batch.close()


async def outgoing_batches(
    producer: AIOKafkaProducer, outgoing: Sequence[Outgoing], partitions: int
) -> list[Addressed]:
    """Return closed batches that hold the records in order, for each topic and partition."""
    fillings: dict[tuple[str, int], _Filling] = {}
    for number, record in enumerate(outgoing, 1):
        key, partition = record.key, record.partition
        if partition is None:
            partition = partition_of(key or b"", partitions)
        to = record.topic, partition
        filling = fillings.get(to)
        if filling is None:
            filling = fillings[to] = _Filling(producer)
        headers = list(record.headers) if record.headers else NO_HEADERS
        filling.add(record.timestamp_ms, key, record.value, headers)
        if number % TURN_RECORDS == 0:
            await asyncio.sleep(0)
    for filling in fillings.values():
        filling.end()
    return [(batch, *to) for to, filling in fillings.items() for batch in filling.batches]


async def changelog_batches(
    producer: AIOKafkaProducer, topic: str, partition: int, changes: Mapping[bytes, bytes | None]
) -> list[Addressed]:
    """Return closed batches that hold the changes in order, a tombstone for each one that deletes."""
    filling = _Filling(producer)
    now_ms = int(time.time() * MILLISECONDS)
    for number, (key, value) in enumerate(changes.items(), 1):
        filling.add(now_ms, key, value, NO_HEADERS)
        if number % TURN_RECORDS == 0:
            await asyncio.sleep(0)
    filling.end()
    return [(batch, topic, partition) for batch in filling.batches]
