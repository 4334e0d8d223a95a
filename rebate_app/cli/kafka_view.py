"""`LogView` of Kafka: ends, committed offsets and records of topics.

Ends are high watermarks (read_uncommitted), since an acknowledged record may be above the last stable offset;
records between two offsets are read as the workers read them (read_committed).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from rebate_app.settings import Settings
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.clients import PatientAdmin
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.kafka.log_reader import SpanReader
from rebate_app.wire.commit_metadata import metadata_or_nothing

from .lag import Committed, SpanContent

REQUEST_MS_MAX = 10_000
#: One look behind the committed offset; what it does not finish, the next one does.
LOOK_SECONDS_MAX = 5.0
FETCH_MS = 100
FETCH_BYTES_MAX = 1_048_576
#: A leader moves, a fresh cluster makes its offsets topic: for so long that is no broker that is away.
RETRY_SECONDS_MAX = 10.0
RETRY_PAUSE_SECONDS = 0.1

T = TypeVar("T")


class KafkaView:
    """Reads ends, the group's offsets and spans of records. Use it as `async with`."""

    def __init__(self, settings: Settings) -> None:
        self._group = settings.scope
        self._options = client_options(settings) | {"request_timeout_ms": REQUEST_MS_MAX}

    async def __aenter__(self) -> Self:
        self._admin = PatientAdmin(**self._options)
        reader = {"enable_auto_commit": False, "auto_offset_reset": "earliest"}
        self._ends = AIOKafkaConsumer(**self._options, **reader)
        self._reader = AIOKafkaConsumer(
            **self._options,
            **reader,
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=FETCH_MS,
        )
        try:
            for client in (self._admin, self._ends, self._reader):
                await client.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        for consumer in (self._ends, self._reader):
            await consumer.stop()
        await self._admin.close()

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the high watermark of every partition; {} while the topic does not exist."""
        spots = await self._spots(topic)
        return _by_partition(await _retried(lambda: self._ends.end_offsets(spots))) if spots else {}

    async def stable_ends(self, topic: str) -> dict[int, int]:
        """Return the last stable offset of every partition; {} while the topic does not exist."""
        spots = await self._spots(topic)
        return _by_partition(await _retried(lambda: self._reader.end_offsets(spots))) if spots else {}

    async def committed(self, topic: str) -> dict[int, Committed]:
        """Return where the group is in every partition; the log's start where it never committed."""
        spots = await self._spots(topic)
        if not spots:
            return {}
        starts = await _retried(lambda: self._ends.beginning_offsets(spots))
        group = self._group
        offsets = await _retried(lambda: self._admin.list_consumer_group_offsets(group, partitions=spots))
        return {
            spot.partition: _committed(max(offsets[spot].offset, starts[spot]), offsets[spot].metadata)
            if spot in offsets
            else Committed(starts[spot])
            for spot in spots
        }

    async def find(
        self, topic: str, spans: dict[int, tuple[int, int]], *, first_only: bool
    ) -> dict[int, SpanContent]:
        """Return what read_committed finds from the first offset up to the second, by partition.

        A partition whose last stable offset is below the end is read so far, and is not complete.
        """
        by_spot = {TopicPartition(topic, partition): span for partition, span in spans.items()}
        counts, found = dict.fromkeys(by_spot, 0), dict[int, SpanContent]()
        first_ms: dict[TopicPartition, int] = {}
        reader = SpanReader(self._reader, by_spot)
        deadline = time.monotonic() + LOOK_SECONDS_MAX
        while reader.waiting and time.monotonic() < deadline:
            for spot, records in (await reader.poll(FETCH_MS)).items():
                counts[spot] += len(records)
                if records:
                    first_ms.setdefault(spot, records[0].timestamp)
            for spot in list(reader.waiting):
                stable = self._reader.last_stable_offset(spot)
                held_back = stable is not None and reader.positions[spot] >= stable
                if held_back or (first_only and counts[spot]):
                    reader.drop(spot)
        for spot, (_, end) in by_spot.items():
            rest = max(0, end - reader.positions[spot])
            found[spot.partition] = SpanContent(counts[spot], rest == 0, rest, first_ms.get(spot))
        return found

    async def _spots(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic, [] while it does not exist."""
        descriptions = await _retried(lambda: self._admin.describe_topics([topic]))
        return [
            TopicPartition(topic, partition["partition"])
            for each in descriptions
            if not each["error_code"]
            for partition in each["partitions"]
        ]


async def _retried(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while the broker says that it will know soon."""
    deadline = time.monotonic() + RETRY_SECONDS_MAX
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if not error.retriable or time.monotonic() >= deadline:
                raise
        await asyncio.sleep(RETRY_PAUSE_SECONDS)


def _by_partition(offsets: dict[Any, int]) -> dict[int, int]:
    return {spot.partition: offset for spot, offset in offsets.items()}


def _committed(offset: int, text: str | None) -> Committed:
    metadata = metadata_or_nothing(text)
    return Committed(offset, metadata.u, metadata.h, metadata.o)
