"""Fetches that are small on the wire and large in memory: they are worked off in bounded batches."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from rebate_app.streams.faust.batch_fetcher import BatchFetcher
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.task.batch import RecordBatch
from rebate_app.streams.task.batch_queue import BATCH_VALUE_BYTES_MAX, BYTES_HIGH, BYTES_LOW, BatchQueue
from tests.rig.waiting import until
from tests.topology_driver import LogRecord

MIB = 1_048_576
VALUE = b"x" * (6 * MIB)
COUNT = 12
BATCH_BYTES_MAX = 4 * len(VALUE)


async def send_compressed(kafka: str, topic: str) -> None:
    """Send batches of three large values each, a few kilobytes on the wire."""
    async with started(PatientAdmin(bootstrap_servers=kafka)) as admin:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    client = AIOKafkaProducer(
        bootstrap_servers=kafka,
        compression_type="gzip",
        max_request_size=BATCH_BYTES_MAX,
        max_batch_size=BATCH_BYTES_MAX,
    )
    async with started(client) as producer:
        for _ in range(COUNT // 3):
            batch = producer.create_batch()
            for _ in range(3):
                assert batch.append(key=b"k", value=VALUE, timestamp=None) is not None
            await (await producer.send_batch(batch, topic, partition=0))


async def chunks_of(kafka: str, topic: str) -> list[RecordBatch]:
    """Read the topic as a worker does."""
    fetcher = BatchFetcher({"bootstrap_servers": kafka}, [topic])
    await fetcher.start()
    batches: list[RecordBatch] = []
    try:
        fetcher.assign([(topic, 0)])
        fetcher.seek(topic, 0, 0)

        async def is_done() -> bool:
            batches.extend(await fetcher.fetch(1.0, lambda: True))
            return bool(batches) and batches[-1].end == COUNT

        await until(is_done, 60, "everything read")
    finally:
        await fetcher.stop()
    return batches


@pytest.mark.asyncio
async def test_one_fetch_becomes_several_chunks_that_join(kafka: str, topic_prefix: str) -> None:
    """Each holds at most one value more than the bound; nothing is missing and nothing twice."""
    topic = f"{topic_prefix}large"
    await send_compressed(kafka, topic)
    batches = await chunks_of(kafka, topic)
    assert [record.offset for batch in batches for record in batch.records] == list(range(COUNT))
    assert [batch.begin for batch in batches] == [0, *(batch.end for batch in batches[:-1])]
    sizes = [sum(len(record.value or b"") for record in batch.records) for batch in batches]
    assert sizes == [batch.value_bytes for batch in batches]
    assert max(sizes) < BATCH_VALUE_BYTES_MAX + len(VALUE)


class TestBuffer:
    """What waits for a partition is bounded in bytes as well."""

    def test_a_few_large_chunks_are_enough(self) -> None:
        """It is high by bytes long before it is by records, and low again once they are taken."""
        buffer = BatchQueue()
        value = b"x" * BATCH_VALUE_BYTES_MAX
        for number in range(4):
            record = LogRecord("t", 0, number, 0, b"k", value)
            assert buffer.add(RecordBatch("t", 0, number, number + 1, 4, [record], len(value)))
        assert buffer.value_bytes > BYTES_HIGH
        assert buffer.is_high
        for number in range(4):
            records, end, _ = buffer.take(number)
            assert ([record.offset for record in records], end) == ([number], number + 1)
        assert (buffer.value_bytes, buffer.is_low, bool(buffer)) == (0, True, False)

    def test_a_chunk_that_is_taken_in_parts_counts_once(self) -> None:
        """The sizes of the parts add up to the whole."""
        buffer = BatchQueue()
        count = 10_000
        records: list[Any] = [LogRecord("t", 0, number, 0, b"k", b"xx") for number in range(count)]
        buffer.add(RecordBatch("t", 0, 0, count, count, records, 2 * count))
        position, seen = 0, 0
        while buffer:
            taken, position, _ = buffer.take(position)
            seen += len(taken)
        assert (seen, position, buffer.value_bytes, buffer.records) == (count, count, 0, 0)
        assert BYTES_LOW < BYTES_HIGH
