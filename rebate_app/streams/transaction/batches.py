"""Encodes records into Kafka batches, by topic and partition, yielding to the event loop in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..kafka.aiokafka_clients import AIOKafkaProducer
from .collector import OutgoingRecord
from .partitioner import partition_of

#: (batch, topic, partition)
Addressed = tuple[Any, str, int]

YIELD_EVERY_RECORDS = 500  # about half a millisecond
NO_HEADERS: list[tuple[str, bytes]] = []
SECOND_MS = 1_000


class _PartitionBatches:
    """Fills batches of one topic and partition; a batch takes its first record whatever its size.

    Records go straight into the compiled builder inside aiokafka's BatchBuilder, whose own `append` doubles
    the cost of a record.
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
        batch._relative_offset = self._count  # noqa: SLF001 - its own append counts this
        batch.close()


async def outgoing_batches(
    producer: AIOKafkaProducer, outgoing: Sequence[OutgoingRecord], partitions: int
) -> list[Addressed]:
    """Return closed batches that hold the records in order, for each topic and partition."""
    by_partition: dict[tuple[str, int], _PartitionBatches] = {}
    for number, record in enumerate(outgoing, 1):
        key, partition = record.key, record.partition
        if partition is None:
            partition = partition_of(key or b"", partitions)
        to = record.topic, partition
        batches = by_partition.get(to)
        if batches is None:
            batches = by_partition[to] = _PartitionBatches(producer)
        headers = list(record.headers) if record.headers else NO_HEADERS
        batches.add(record.timestamp_ms, key, record.value, headers)
        if number % YIELD_EVERY_RECORDS == 0:
            await asyncio.sleep(0)
    for batches in by_partition.values():
        batches.end()
    return [(batch, *to) for to, batches in by_partition.items() for batch in batches.batches]


async def changelog_batches(
    producer: AIOKafkaProducer, topic: str, partition: int, changes: Mapping[bytes, bytes | None]
) -> list[Addressed]:
    """Return closed batches that hold the changes in order, a tombstone for each one that deletes."""
    batches = _PartitionBatches(producer)
    now_ms = int(time.time() * SECOND_MS)
    for number, (key, value) in enumerate(changes.items(), 1):
        batches.add(now_ms, key, value, NO_HEADERS)
        if number % YIELD_EVERY_RECORDS == 0:
            await asyncio.sleep(0)
    batches.end()
    return [(batch, topic, partition) for batch in batches.batches]
