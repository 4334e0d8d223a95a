"""Reading dead letters and decisions from a real Kafka, `read_committed`, by position.

It is separate from what is done with them, since only this knows a consumer. One consumer is kept and used
by one reading at a time; it is opened when first needed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from rebate_app.lane.connection import BrokerAwayError, client_options
from rebate_app.settings import Settings
from rebate_app.wire.decisions import Decision, decode_decision
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.topics import Topics

from .letters import Letter, letter_of

FETCH_BYTES_MAX = 1_048_576
FETCH_MAX_WAIT_MS = 10
POLL_MS = 20
#: Whoever has a transaction open ends it, or the broker does at its time-out; then there is something wrong.
STALLED_S = 30.0

Spans = Mapping[tuple[str, int], tuple[int, int]]


class DeadLetterReader:
    """Dead letters of all sources, and the decisions about them. `async with`, or `close` at the end."""

    def __init__(self, settings: Settings) -> None:
        topics = Topics.of(settings)
        self.sources = {
            topics.orders_dlt: topics.orders,
            topics.user_log_dlt: topics.user_log,
            topics.events_dlt: topics.events,
        }
        self.partitions = settings.partitions
        self._decisions_topic = topics.decisions
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()
        self._decided: dict[Place, Decision] = {}
        self._decided_to = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; reading again opens another."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    def dlt_of(self, source: str) -> str:
        """Return the dead-letter topic of a source; KeyError for what is no source of ours."""
        return {of: topic for topic, of in self.sources.items()}[source]

    async def whole(self, topics: Iterable[str] | None = None) -> dict[tuple[str, int], tuple[int, int]]:
        """Return the spans of the topics' partitions as they are now, of all without any."""
        async with self._turn:
            return await self._spans(list(topics or self.sources))

    async def letters(self, spans: Spans) -> AsyncGenerator[Letter, None]:
        """Iterate over the letters in these spans of dead-letter topics."""
        async with aclosing(self._records(spans)) as records:
            async for record in records:
                letter = letter_of(record, self.sources[record.topic])
                if letter is not None:
                    yield letter

    async def find(self, places: Iterable[Place]) -> dict[Place, Letter]:
        """Return the letters of these ids, those that there are; a letter is on its record's partition."""
        wanted = {place for place in places if place.topic in self.sources.values()}
        spans = await self.whole({self.dlt_of(place.topic) for place in wanted}) if wanted else {}
        needed = {(self.dlt_of(place.topic), place.partition) for place in wanted}
        found: dict[Place, Letter] = {}
        async for letter in self.letters({where: span for where, span in spans.items() if where in needed}):
            if letter.place in wanted:
                found[letter.place] = letter
        return found

    async def decisions(self) -> Mapping[Place, Decision]:
        """Return every decision that holds now; what was read before is not read again."""
        async with self._turn:
            span = (await self._spans([self._decisions_topic], 1))[self._decisions_topic, 0]
        start = max(self._decided_to, span[0])
        async for record in self._records({(self._decisions_topic, 0): (start, span[1])}):
            told = decode_decision(record.key, record.value)
            if told is not None and told[1] is not None:
                self._decided[told[0]] = told[1]
            elif told is not None:
                self._decided.pop(told[0], None)
        self._decided_to = max(start, span[1])
        return self._decided

    async def _spans(
        self, topics: list[str], partitions: int | None = None
    ) -> dict[tuple[str, int], tuple[int, int]]:
        count = self.partitions if partitions is None else partitions
        spots = [TopicPartition(topic, number) for topic in topics for number in range(count)]
        try:
            consumer = await self._open()
            begins, ends = await consumer.beginning_offsets(spots), await consumer.end_offsets(spots)
        except (KafkaError, OSError, TimeoutError) as error:
            raise await self._away(error) from error
        return {(spot.topic, spot.partition): (begins[spot], ends[spot]) for spot in spots}

    async def _records(self, spans: Spans) -> AsyncGenerator[Any, None]:
        """Iterate over the records in the spans, in order within each partition."""
        ends = {TopicPartition(*where): end for where, (start, end) in spans.items() if start < end}
        async with self._turn:
            try:
                consumer = await self._open()
                consumer.assign(list(ends))
                for spot in ends:
                    consumer.seek(spot, spans[spot.topic, spot.partition][0])
                async with aclosing(_read(consumer, ends)) as records:
                    async for record in records:
                        yield record
            except (KafkaError, OSError, TimeoutError) as error:
                raise await self._away(error) from error

    async def _open(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="none",
                max_partition_fetch_bytes=FETCH_BYTES_MAX,
                fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
                **client_options(self._settings),
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    async def _away(self, error: BaseException) -> BrokerAwayError:
        await self.close()
        said = str(error) or type(error).__name__
        return BrokerAwayError(f"The broker at {self._settings.broker} cannot be read: {said}.")


async def _read(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> AsyncGenerator[Any, None]:
    waiting, moved_at = dict(ends), time.monotonic()
    positions: dict[TopicPartition, int] = {}
    while waiting:
        fetched = await consumer.getmany(*waiting, timeout_ms=POLL_MS)
        for spot, records in fetched.items():
            for record in records:
                if record.offset < waiting[spot]:
                    yield record
        for spot, end in list(waiting.items()):
            position = await consumer.position(spot)
            if position != positions.get(spot):
                positions[spot], moved_at = position, time.monotonic()
            if position >= end:
                del waiting[spot]
                consumer.pause(spot)
        if time.monotonic() - moved_at > STALLED_S:
            raise TimeoutError(f"nothing comes for {STALLED_S:.0f} s")
