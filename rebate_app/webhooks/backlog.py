"""Read the retry topics to their end, before anything is delivered.

Every record acknowledged before the call is read, also those behind an open transaction (an operator's
replay): the end is the high watermark, and the reader waits until it is stable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import TopicPartition

from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.log_reader import SPAN_OPTIONS, SpanReader
from rebate_app.streams.task.stage import Record

RECORDS_AT_ONCE_MAX = 1_000  # then others get their turn

Starts = Mapping[tuple[str, int], int]


async def read_backlog(options: Mapping[str, Any], starts: Starts, take: Callable[[Record], None]) -> None:
    """Pass `take` all records from these offsets to the present ends; KafkaError: try again."""
    if not starts:
        return
    from_earliest = dict(SPAN_OPTIONS) | {"auto_offset_reset": "earliest"}
    async with started(AIOKafkaConsumer(**from_earliest, **options)) as consumer:
        spans = {TopicPartition(*where): (start, None) for where, start in starts.items()}
        reader = SpanReader(consumer, spans)
        while reader.waiting:
            for records in (await reader.poll(records_max=RECORDS_AT_ONCE_MAX)).values():
                for record in records:
                    take(record)
