"""Reading the retry topics to their end, before anything is delivered.

Law: everything that was acknowledged before the call is read, also what stands behind an open transaction (an
operator's replay): the end is the high watermark, and who reads waits until it is stable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from rebate_app.lane.stage import Record

FETCH_BYTES_MAX = 1_048_576
FETCH_MAX_WAIT_MS = 10
POLL_MS = 20
STALLED_S = 30.0  # an operator's transaction ends within 15 s
RECORDS_AT_ONCE_MAX = 1_000  # then others get their turn

Starts = Mapping[tuple[str, int], int]


async def read_backlog(options: Mapping[str, Any], starts: Starts, take: Callable[[Record], None]) -> None:
    """Hand over all records from these offsets to the ends as they are now; KafkaError: try again."""
    if not starts:
        return
    spots = {TopicPartition(*where): start for where, start in starts.items()}
    consumer = AIOKafkaConsumer(
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        **options,
    )
    try:
        await consumer.start()
        consumer.assign(list(spots))
        for spot, start in spots.items():
            consumer.seek(spot, start)
        await _read(consumer, set(spots), take)
    finally:
        await consumer.stop()


async def _read(consumer: Any, waiting: set[TopicPartition], take: Callable[[Record], None]) -> None:
    ends: dict[TopicPartition, int] = {}
    moved_at = time.monotonic()
    while waiting:
        fetched = await consumer.getmany(*waiting, timeout_ms=POLL_MS, max_records=RECORDS_AT_ONCE_MAX)
        for records in fetched.values():
            for record in records:
                take(record)
        for spot in list(waiting):
            told = consumer.highwater(spot)
            if told is not None:
                ends.setdefault(spot, told)
            if spot in ends and await consumer.position(spot) >= ends[spot]:
                waiting.remove(spot)
                consumer.pause(spot)
        if fetched:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > STALLED_S:
            raise KafkaTimeoutError(f"{len(waiting)} partitions of retry topics give nothing")
