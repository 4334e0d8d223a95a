"""The gate: the whole input is written in one transaction, and its commit is the moment of the start.

Before the commit nobody who reads `read_committed` sees a record of it, after it all of it is
there, so every contender starts warm, with everything in the topic, at a moment that is known.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from bench.orders import Row
from rebate_app.streams.transaction.partitioner import partition_of

BATCH_BYTES = 512 * 1_024
ROWS_AT_ONCE = 20_000
TRANSACTION_MS_MAX = 600_000


async def pour(
    broker: str,
    topic: str,
    partitions: int,
    rows: Iterable[Row],
    before_commit: Callable[[], None] = lambda: None,
) -> float:
    """Write the rows; return the moment (monotonic) right before they were committed."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker,
        transactional_id=f"bench-gate-{uuid4().hex}",
        transaction_timeout_ms=TRANSACTION_MS_MAX,
        max_batch_size=BATCH_BYTES,
        max_request_size=2 * BATCH_BYTES,
        linger_ms=0,
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        left = iter(rows)
        while some := list(islice(left, ROWS_AT_ONCE)):
            await _send(producer, topic, partitions, some)
        before_commit()
        started = time.monotonic()
        await producer.commit_transaction()
    finally:
        await producer.stop()
    return started


async def _send(producer: AIOKafkaProducer, topic: str, partitions: int, rows: list[Row]) -> None:
    by_partition: list[list[Row]] = [[] for _ in range(partitions)]
    for row in rows:
        by_partition[partition_of(row.key, partitions)].append(row)
    acknowledged = []
    for number, part in enumerate(by_partition):
        for batch in filled(producer, ((row.key, row.value) for row in part)):
            sent = await producer.send_batch(batch, topic, partition=number)
            acknowledged.append(sent)
    await asyncio.gather(*acknowledged)


def filled(producer: Any, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[Any]:
    """Yield closed batches that hold the pairs in order."""
    batch = producer.create_batch()
    for key, value in pairs:
        if batch.append(key=key, value=value, timestamp=None) is None:
            batch.close()
            yield batch
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    if batch.record_count():
        batch.close()
        yield batch
