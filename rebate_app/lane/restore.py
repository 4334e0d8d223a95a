"""Reading a changelog partition into a store, up to its end (design.md 3, engine.md 4).

The end is a position, not a record: a changelog may close with transaction markers or with what
compaction removed, and waiting for a record there would wait for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from .store import Store

FETCH_BYTES_MAX = 4 * 1_048_576
POLL_MS = 200
STALLED_S = 60.0
APPLY_RECORDS_MAX = 5_000  # about 5 ms, then HTTP gets its turn

Progress = Callable[[int, int], None]


class RestoreStalledError(Exception):
    """The changelog gave nothing for a minute although its end was not reached."""


async def restore(
    options: Mapping[str, Any], topic: str, partition: int, store: Store, progress: Progress
) -> int:
    """Bring the store to the changelog's end of now; return how many records were read.

    Reads `read_committed` from the store's position; `progress(position, end)` is called on the way.
    """
    tp = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=POLL_MS,
        **options,
    )
    await consumer.start()
    try:
        consumer.assign([tp])
        beginning = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        if store.position > end or store.position < beginning:
            store.clear()  # of another topic's life: what the log says now is the truth
        consumer.seek(tp, max(store.position, beginning))
        return await _read_to(consumer, tp, end, store, progress)
    finally:
        await consumer.stop()


async def _read_to(
    consumer: AIOKafkaConsumer, tp: TopicPartition, end: int, store: Store, progress: Progress
) -> int:
    count = 0
    moved_at = time.monotonic()
    position = await consumer.position(tp)
    while position < end:
        fetched = await consumer.getmany(tp, timeout_ms=POLL_MS)
        records = fetched.get(tp, [])
        for start in range(0, len(records), APPLY_RECORDS_MAX):
            part = records[start : start + APPLY_RECORDS_MAX]
            store.apply({record.key: record.value for record in part}, part[-1].offset + 1)
            await asyncio.sleep(0)
        count += len(records)
        reached = await consumer.position(tp)
        if reached > position:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > STALLED_S:
            raise RestoreStalledError(f"{tp.topic}/{tp.partition} gives nothing at {position} of {end}")
        position = reached
        progress(position, end)
    store.apply({}, max(position, end))
    return count
