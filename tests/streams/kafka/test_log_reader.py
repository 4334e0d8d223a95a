"""Reading partitions to an end: by position, up to the end that was given, with a bound on waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer, AIOKafkaProducer
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.kafka.log_reader import (
    SPAN_OPTIONS,
    LogStalledError,
    ReadStall,
    SpanReader,
    whole_spans,
)
from tests.rig.system import produce

SECONDS_MAX = 120.0
SPOT = TopicPartition("t", 0)


class TestReadStall:
    """The bound counts waiting alone."""

    def test_waiting_adds_up(self) -> None:
        """Fetches that move nothing add up until the bound is passed."""
        stall = ReadStall(1.0)
        stall.note(0.6, moved=False, positions={SPOT: 3})
        with pytest.raises(LogStalledError, match="nothing comes for 1 s from t/0 at 3"):
            stall.note(0.6, moved=False, positions={SPOT: 3})

    def test_progress_begins_anew(self) -> None:
        """However long it took."""
        stall = ReadStall(1.0)
        for _ in range(3):
            stall.note(0.6, moved=False, positions={SPOT: 3})
            stall.note(9.0, moved=True, positions={SPOT: 4})


@asynccontextmanager
async def reading(kafka: str, topic: str, partitions: int = 1) -> AsyncIterator[AIOKafkaConsumer]:
    """Create the topic and give a consumer that can read spans of it."""
    async with started(PatientAdmin(bootstrap_servers=kafka)) as admin:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    async with (
        asyncio.timeout(SECONDS_MAX),
        started(AIOKafkaConsumer(**SPAN_OPTIONS, bootstrap_servers=kafka)) as consumer,
    ):
        yield consumer


async def values_of(reader: SpanReader) -> list[bytes]:
    """Return the values that the reader gives, to its end."""
    values = []
    while reader.waiting:
        for records in (await reader.poll()).values():
            values += [record.value for record in records]
    return values


@pytest.mark.asyncio
class TestOnKafka:
    """Spans of a real log."""

    async def test_only_what_is_before_the_end(self, kafka: str, topic_prefix: str) -> None:
        """Of several partitions at once; one whose span is empty is not read at all."""
        topic = f"{topic_prefix}log"
        async with reading(kafka, topic, 2) as consumer:
            await produce(kafka, topic, [(b"k", b"%d" % number) for number in range(5)])
            spans = await whole_spans(consumer, [TopicPartition(topic, 0), TopicPartition(topic, 1)])
            (spot,) = [spot for spot, span in spans.items() if span == (0, 5)]
            reader = SpanReader(consumer, dict(spans) | {spot: (1, 3)})
            assert reader.waiting == [spot]
            assert await values_of(reader) == [b"1", b"2"]
            assert reader.positions[spot] >= 3

    async def test_an_open_transaction_before_the_high_watermark(self, kafka: str, topic_prefix: str) -> None:
        """It is waited for, up to the bound, and what it wrote is read once it is committed."""
        topic = f"{topic_prefix}log"
        spot = TopicPartition(topic, 0)
        client = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{topic}-writer")
        async with reading(kafka, topic) as consumer, started(client) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"open", partition=0)
            await produce(kafka, topic, [(b"k", b"behind")])
            with pytest.raises(LogStalledError):
                await values_of(SpanReader(consumer, {spot: (0, None)}, stalled_seconds=0.3))
            await producer.commit_transaction()
            assert await values_of(SpanReader(consumer, {spot: (0, None)})) == [b"open", b"behind"]

    async def test_markers_at_the_end(self, kafka: str, topic_prefix: str) -> None:
        """A log that closes with the marker of an aborted transaction is read to its end."""
        topic = f"{topic_prefix}log"
        client = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{topic}-writer")
        async with reading(kafka, topic) as consumer, started(client) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"undone", partition=0)
            await producer.abort_transaction()
            spans = await whole_spans(consumer, [TopicPartition(topic, 0)])
            assert await values_of(SpanReader(consumer, spans)) == []
