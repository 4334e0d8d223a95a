"""Read the audit trail from its end backwards, bounded, `read_committed`.

Offsets never change, so a place to continue at stays right while records are added and old ones are deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from msgspec import Struct

from rebate_app.settings import Settings
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.clients import KeptConsumer
from rebate_app.streams.kafka.connection import BrokerAwayError, client_options
from rebate_app.streams.kafka.log_reader import SPAN_OPTIONS, NoSuchPlaceError, SpanReader, whole_spans
from rebate_app.wire.audit_trail import TrailRecord, decode_trail
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.topics import Topics
from rebate_app.wire.unreadable import SKIPPED_REMEDY, BadRecord, Skip, UnreadableValueError, ignore_skipped

#: Offsets that one page reads at most, so that a filter without matches ends in time.
SCANNED_MAX = 10_000
STEP_OFFSETS = 500


class TrailFilter(Struct, frozen=True):
    """Which records to select: all members that are set have to match. `since_ms`: by the record's timestamp.

    A subject that is a list matches each of its parts.
    """

    subject: str | None = None
    actor: str | None = None
    action: str | None = None
    since_ms: int | None = None

    def matches(self, record: TrailRecord) -> bool:
        """Whether the record is selected, its moment aside."""
        return (
            self.actor in (None, record.actor)
            and self.action in (None, record.action)
            and (self.subject in (None, record.subject) or self.subject in (record.subject or "").split(","))
        )


class TrailPage(Struct, frozen=True):
    """Records, newest first; the older ones are before the offset `next`, None at the end."""

    items: list[TrailRecord]
    next: int | None


class TrailReader:
    """Reads with one connection, opened at first use, by one reader at a time. `close` at the end.

    What is no record of the trail is skipped and passed to `skip`.
    """

    def __init__(self, settings: Settings, skip: Skip = ignore_skipped) -> None:
        self._settings = settings
        self._spot = TopicPartition(Topics.of(settings).audit_trail, 0)
        self._skip = skip
        self._consumer = KeptConsumer({**SPAN_OPTIONS, **client_options(settings)})
        self._lock = asyncio.Lock()

    async def page(self, wanted: TrailFilter, before: int | None, limit: int) -> TrailPage:
        """Return at most `limit` records before an offset, None for the end of now.

        NoSuchPlaceError; BrokerAwayError. A page reads at most SCANNED_MAX offsets: it may be short, or
        empty, and have a next one.
        """
        async with self._lock:
            try:
                return await self._page(wanted, before, limit)
            except (KafkaError, OSError, TimeoutError) as error:
                await self.close()
                reason = str(error) or type(error).__name__
                raise BrokerAwayError(
                    f"The broker at {self._settings.broker} cannot be read: {reason}."
                ) from error

    async def _page(self, wanted: TrailFilter, before: int | None, limit: int) -> TrailPage:
        consumer = await self._consumer.get()
        begin, end = (await whole_spans(consumer, [self._spot]))[self._spot]
        if before is not None and before > end:
            raise NoSuchPlaceError(f"the trail ends before {before}")
        if wanted.since_ms is not None:
            since_ms = max(0, wanted.since_ms)  # no record is from before 1970, and Kafka takes no such time
            found = (await consumer.offsets_for_times({self._spot: since_ms}))[self._spot]
            begin = end if found is None else max(begin, found.offset)
        upper = end if before is None else before
        floor = max(begin, upper - SCANNED_MAX)
        items: list[TrailRecord] = []
        while upper > floor:
            lower = max(floor, upper - STEP_OFFSETS)
            for raw in reversed(await self._records(consumer, lower, upper)):
                record = self._decoded(raw)
                if record is None or not wanted.matches(record):
                    continue
                if len(items) == limit:
                    return TrailPage(items, raw.offset + 1)
                items.append(record)
            upper = lower
        return TrailPage(items, floor if floor > begin else None)

    async def _records(self, consumer: AIOKafkaConsumer, lower: int, upper: int) -> Sequence[Any]:
        reader = SpanReader(consumer, {self._spot: (lower, upper)})
        records: list[Any] = []
        while reader.waiting:
            records += (await reader.poll()).get(self._spot, ())
        return records

    def _decoded(self, raw: Any) -> TrailRecord | None:
        try:
            return decode_trail(raw.value)
        except UnreadableValueError as error:
            self._skip(BadRecord(Place(raw.topic, raw.partition, raw.offset), str(error), SKIPPED_REMEDY))
            return None

    async def close(self) -> None:
        """Close the connection; reading again opens another."""
        await self._consumer.close()
