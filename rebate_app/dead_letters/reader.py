"""Read dead letters and the decisions about them from Kafka, `read_committed`, by position.

One consumer is opened at first use, kept, and used by one read at a time. BrokerAwayError when the broker
does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from rebate_app.settings import Settings
from rebate_app.streams.kafka.clients import KeptConsumer
from rebate_app.streams.kafka.connection import BrokerAwayError, client_options
from rebate_app.streams.kafka.control_topic import ControlTopic
from rebate_app.streams.kafka.log_reader import SPAN_OPTIONS, SpanReader, whole_spans
from rebate_app.wire.decisions import Decision, decode_decision
from rebate_app.wire.failure_headers import Place
from rebate_app.wire.topics import Topics
from rebate_app.wire.unreadable import SKIPPED_REMEDY, BadRecord, Skip, UnreadableValueError, ignore_skipped

from .dead_letter import DeadLetter, decode_dead_letter

Spans = Mapping[tuple[str, int], tuple[int, int]]


class DeadLetterReader:
    """Reads dead letters of all sources and the decisions about them. `async with`, or `close` at the end.

    Records that are neither are skipped and passed to `skip`.
    """

    def __init__(self, settings: Settings, skip: Skip = ignore_skipped) -> None:
        self._skip = skip
        topics = Topics.of(settings)
        self.sources = topics.dead_letters
        self.partitions = settings.partitions
        self._settings = settings
        self._consumer = KeptConsumer({**SPAN_OPTIONS, **client_options(settings)})
        self._lock = asyncio.Lock()
        self._decisions: ControlTopic[Place, Decision] = ControlTopic(topics.decisions, decode_decision, skip)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; reading again opens another."""
        await self._consumer.close()

    def dead_letter_topic_of(self, source: str) -> str:
        """Return the dead-letter topic of a source; KeyError for an unknown source."""
        return {of: topic for topic, of in self.sources.items()}[source]

    async def whole(self, topics: Iterable[str] | None = None) -> dict[tuple[str, int], tuple[int, int]]:
        """Return the spans of the topics' partitions as they are now, of all without any."""
        async with self._lock:
            return await self._spans(list(topics or self.sources))

    async def letters(self, spans: Spans) -> AsyncGenerator[DeadLetter, None]:
        """Iterate over the letters in these spans of dead-letter topics."""
        async with aclosing(self._records(spans)) as records:
            async for record in records:
                try:
                    letter = decode_dead_letter(record, self.sources[record.topic])
                except UnreadableValueError as error:
                    self._pass_over(record, error)
                else:
                    yield letter

    async def find(self, places: Iterable[Place]) -> dict[Place, DeadLetter]:
        """Return the existing letters of these ids; a letter is on its record's partition.

        Large values are left out: `with_whole_record` reads them.
        """
        wanted = {place for place in places if place.topic in self.sources.values()}
        spans = (
            await self.whole({self.dead_letter_topic_of(place.topic) for place in wanted}) if wanted else {}
        )
        needed = {(self.dead_letter_topic_of(place.topic), place.partition) for place in wanted}
        found: dict[Place, DeadLetter] = {}
        async for letter in self.letters({where: span for where, span in spans.items() if where in needed}):
            if letter.place in wanted:
                found[letter.place] = letter.without_large_value()
        return found

    async def with_value(self, letter: DeadLetter) -> DeadLetter | None:
        """Return a letter with its own value, read again if it was dropped; None if it is gone."""
        if not letter.is_value_dropped:
            return letter
        record = await self._record_at(letter.stored_at)
        return None if record is None else decode_dead_letter(record, letter.place.topic)

    async def with_whole_record(self, letter: DeadLetter) -> DeadLetter | None:
        """Return a letter with its whole record, read from the source topic for a cut letter.

        None if the record is gone or another one: the topic was truncated or re-created.
        """
        if not letter.is_cut:
            return await self.with_value(letter)
        record = await self._record_at(letter.place)
        return letter.completed_from(record) if record is not None and letter.is_copy_of(record) else None

    async def _record_at(self, place: Place) -> Any | None:
        where = (place.topic, place.partition)
        if place.partition >= self.partitions:
            return None
        async with self._lock:
            begin, end = (await self._spans([place.topic]))[where]
        found = None
        if begin <= place.offset < end:
            async for record in self._records({where: (place.offset, place.offset + 1)}):
                found = record
        return found

    async def decisions(self) -> Mapping[Place, Decision]:
        """Return the decisions in force; reading continues after the records already read."""
        async with self._lock:
            try:
                return await self._decisions.read(await self._consumer.get())
            except (KafkaError, OSError, TimeoutError) as error:
                raise await self._away(error) from error

    def _pass_over(self, record: Any, error: UnreadableValueError) -> None:
        place = Place(record.topic, record.partition, record.offset)
        self._skip(BadRecord(place, str(error), SKIPPED_REMEDY))

    async def _spans(self, topics: list[str]) -> dict[tuple[str, int], tuple[int, int]]:
        spots = [TopicPartition(topic, number) for topic in topics for number in range(self.partitions)]
        try:
            spans = await whole_spans(await self._consumer.get(), spots)
        except (KafkaError, OSError, TimeoutError) as error:
            raise await self._away(error) from error
        return {(spot.topic, spot.partition): span for spot, span in spans.items()}

    async def _records(self, spans: Spans) -> AsyncGenerator[Any, None]:
        """Iterate over the records in the spans, in order within each partition."""
        async with self._lock:
            try:
                consumer = await self._consumer.get()
                reader = SpanReader(consumer, {TopicPartition(*where): span for where, span in spans.items()})
                while reader.waiting:
                    for records in (await reader.poll()).values():
                        for record in records:
                            yield record
            except (KafkaError, OSError, TimeoutError) as error:
                raise await self._away(error) from error

    async def _away(self, error: BaseException) -> BrokerAwayError:
        await self.close()
        reason = str(error) or type(error).__name__
        return BrokerAwayError(f"The broker at {self._settings.broker} cannot be read: {reason}.")
