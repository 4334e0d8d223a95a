"""Reading assigned partitions in the worker's loop: by position, in slices, while they are assigned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import ConsumerStoppedError, OffsetOutOfRangeError

from rebate_app.streams.faust import batch_fetcher as module
from rebate_app.streams.faust.batch_fetcher import (
    BATCH_RECORDS_READ_MAX,
    BUSY,
    QUICK,
    BatchFetcher,
)
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaProducer
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.task.batch import RecordBatch
from tests.rig.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio]

COUNT = 4 * BATCH_RECORDS_READ_MAX + 7
WAIT_SECONDS = 0.3
READ_SECONDS_MAX = 30.0


@asynccontextmanager
async def reading(kafka: str, topic: str, counts: tuple[int, ...]) -> AsyncIterator[BatchFetcher]:
    """Fill a topic with so many records a partition; yield a fetcher to which all of them are assigned."""
    async with started(PatientAdmin(bootstrap_servers=kafka)) as admin:
        await admin.create_topics([NewTopic(topic, len(counts), 1)])
    async with started(AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=5)) as producer:
        for number, count in enumerate(counts):
            for value in range(count):
                await producer.send(topic, b"%d" % value, key=b"k", partition=number)
        await producer.flush()
    fetcher = BatchFetcher({"bootstrap_servers": kafka}, [topic])
    await fetcher.start()
    try:
        fetcher.assign([(topic, number) for number in range(len(counts))])
        yield fetcher
    finally:
        await fetcher.stop()


async def read(fetcher: BatchFetcher, end: int) -> list[RecordBatch]:
    """Return what comes until so many offsets, of all partitions together, are covered."""
    batches: list[RecordBatch] = []

    async def covered() -> bool:
        batches.extend(await fetcher.fetch(WAIT_SECONDS, lambda: True))
        return sum(batch.end - batch.begin for batch in batches) >= end

    await until(covered, READ_SECONDS_MAX, "everything read")
    return batches


async def never(*_: object, **__: object) -> None:
    """Stand in for a node that does not answer."""
    await asyncio.Event().wait()


class TestReading:
    """What is assigned and sought."""

    async def test_batches_are_short_and_join_whatever_the_partition(
        self, kafka: str, topic_prefix: str
    ) -> None:
        """Each is short, no partition waits for the end of another, and nothing is missing."""
        topic = f"{topic_prefix}short"
        async with reading(kafka, topic, (COUNT, COUNT)) as fetcher:
            for number in (0, 1):
                fetcher.seek(topic, number, 0)
            batches = await read(fetcher, 2 * COUNT)
            assert {fetcher.stable_end(topic, number) for number in (0, 1)} == {COUNT}
            assert fetcher.unstable(topic, 0) == 0
        assert max(len(batch.records) for batch in batches) == BATCH_RECORDS_READ_MAX
        for number in (0, 1):
            own = [batch for batch in batches if batch.partition == number]
            assert [record.offset for batch in own for record in batch.records] == list(range(COUNT))
            assert [batch.begin for batch in own] == [0, *(batch.end for batch in own[:-1])]
        first_done = [batch.end for batch in batches].index(COUNT)
        assert {batch.partition for batch in batches[:first_done]} == {0, 1}

    async def test_what_was_fetched_is_not_requested_again(self, kafka: str, topic_prefix: str) -> None:
        """The batches of one fetch need no other one, also when the broker is away by then."""
        topic = f"{topic_prefix}whole"
        async with reading(kafka, topic, (COUNT,)) as fetcher:
            fetcher.seek(topic, 0, 0)
            batches = await read(fetcher, 1)
            assert fetcher._consumer is not None
            answered = fetcher._consumer._client.send
            fetcher._consumer._client.send = never
            batches += await read(fetcher, COUNT - batches[-1].end)
            fetcher._consumer._client.send = answered
        assert [record.offset for batch in batches for record in batch.records] == list(range(COUNT))

    async def test_a_slice_ends_after_its_time(
        self, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With no time at all it is one batch a call, of each partition in turn."""
        monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
        topic = f"{topic_prefix}slice"
        async with reading(kafka, topic, (COUNT, COUNT)) as fetcher:
            for number in (0, 1):
                fetcher.seek(topic, number, 0)
            calls: list[int] = []

            async def done() -> bool:
                calls.append(len(await fetcher.fetch(WAIT_SECONDS, lambda: True)))
                return sum(calls) >= 2 * (COUNT // BATCH_RECORDS_READ_MAX + 1)

            await until(done, READ_SECONDS_MAX, "everything read")
        assert max(calls) == 1

    async def test_nothing_before_it_is_sought_and_nothing_while_it_is_paused(
        self, kafka: str, topic_prefix: str
    ) -> None:
        """A task that is being opened gets no record, and from then on those from its position."""
        topic = f"{topic_prefix}paused"
        async with reading(kafka, topic, (9, 5)) as fetcher:
            assert await fetcher.fetch(WAIT_SECONDS, lambda: True) == []
            fetcher.seek(topic, 1, 3)
            (batch,) = await read(fetcher, 2)
            assert (batch.partition, batch.begin, batch.end) == (1, 3, 5)
            fetcher.pause(topic, 1)
            fetcher.seek(topic, 0, 7)
            assert [(each.partition, each.begin) for each in await read(fetcher, 2)] == [(0, 7)]
            fetcher.seek(topic, 1, 0)  # which resumes it
            assert [(each.partition, each.begin) for each in await read(fetcher, 5)] == [(1, 0)]


class TestAssignment:
    """What is assigned no longer."""

    async def test_what_was_fetched_before_is_not_returned(self, kafka: str, topic_prefix: str) -> None:
        """After a new assignment a partition begins anew, and one that went is neither read nor known."""
        topic = f"{topic_prefix}assigned"
        async with reading(kafka, topic, (COUNT, COUNT)) as fetcher:
            for number in (0, 1):
                fetcher.seek(topic, number, 0)
            await read(fetcher, 1)
            fetcher.assign([(topic, 1)])
            fetcher.seek(topic, 0, 0)
            fetcher.pause(topic, 0)
            fetcher.resume(topic, 0)
            assert await fetcher.fetch(WAIT_SECONDS, lambda: True) == []
            assert (fetcher.stable_end(topic, 0), fetcher.unstable(topic, 0)) == (None, 0)
            fetcher.seek(topic, 1, 2)
            batches = await read(fetcher, COUNT - 2)
        assert {batch.partition for batch in batches} == {1}
        assert batches[0].begin == 2

    async def test_none_at_all(self, kafka: str, topic_prefix: str) -> None:
        """A worker without partitions, as one beyond their number, waits and is given some later."""
        topic = f"{topic_prefix}none"
        async with reading(kafka, topic, (3,)) as fetcher:
            fetcher.assign([])
            assert await fetcher.fetch(WAIT_SECONDS, lambda: True) == []
            assert fetcher.task_gone() is None
            fetcher.assign([(topic, 0)])
            fetcher.seek(topic, 0, 0)
            assert (await read(fetcher, 3))[0].end == 3

    async def test_nothing_once_it_is_not_wanted(self, kafka: str, topic_prefix: str) -> None:
        """A rebalance has begun: what is there stays there."""
        topic = f"{topic_prefix}wanted"
        async with reading(kafka, topic, (3,)) as fetcher:
            fetcher.seek(topic, 0, 0)
            assert await fetcher.fetch(READ_SECONDS_MAX, lambda: False) == []


class TestFailure:
    """Positions that a log does not have, and a consumer that has stopped."""

    async def test_a_lost_position_of_a_source_is_asked_for_again(
        self, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The watch of lost logs decides about it; until then it is requested after each pause."""
        monkeypatch.setattr(module, "OUT_OF_RANGE_PAUSE_SECONDS", 2 * WAIT_SECONDS)
        topic = f"{topic_prefix}lost"
        async with reading(kafka, topic, (3, 3)) as fetcher:
            fetcher.seek(topic, 0, 1_000)
            fetcher.seek(topic, 1, 0)
            assert {batch.partition for batch in await read(fetcher, 3)} == {1}
            answers: list[object] = []
            checked = fetcher._raise_unless_out_of_range

            def counted(spot: TopicPartition, failed: object) -> None:
                answers.append(failed)
                checked(spot, failed)

            monkeypatch.setattr(fetcher, "_raise_unless_out_of_range", counted)
            for _ in range(8):
                assert await fetcher.fetch(WAIT_SECONDS, lambda: True) == []
            assert 1 <= len(answers) <= 8 // 2 + 1
            fetcher.seek(topic, 0, 0)
            assert (await read(fetcher, 3))[0].partition == 0

    async def test_elsewhere_it_is_an_error(self, kafka: str, topic_prefix: str) -> None:
        """Topics beside the sources have no such watch."""
        topic = f"{topic_prefix}beside"
        async with reading(kafka, topic, (3,)) as fetcher:
            fetcher._sources = frozenset()
            fetcher.seek(topic, 0, 1_000)
            with pytest.raises(OffsetOutOfRangeError):
                await read(fetcher, 1)

    async def test_a_busy_worker_asks_for_much_at_once(self, kafka: str, topic_prefix: str) -> None:
        """Fetches are fewer and larger then; what is little comes all the same, when the wait is over."""
        asked: list[tuple[int, int]] = []
        plain = Fetcher._proc_fetch_request

        async def noting(fetcher: Fetcher, assignment: object, node: int, request: Any) -> object:
            asked.append((request._max_wait_ms, request._min_bytes))
            return await plain(fetcher, assignment, node, request)

        async with reading(kafka, f"{topic_prefix}busy", (3,)) as fetcher:
            with patch.object(Fetcher, "_proc_fetch_request", noting):
                for busy, wanted in ((True, BUSY), (False, QUICK)):
                    fetcher._is_busy = lambda busy=busy: busy  # type: ignore[misc]
                    await fetcher.fetch(WAIT_SECONDS, lambda: True)  # whatever was under way is over
                    asked.clear()
                    fetcher.seek(f"{topic_prefix}busy", 0, 0)
                    assert sum(len(batch.records) for batch in await read(fetcher, 3)) == 3
                    assert wanted in asked

    async def test_once_stopped_it_says_so(self, kafka: str, topic_prefix: str) -> None:
        """So Faust's loop ends; before the start as well."""
        async with reading(kafka, f"{topic_prefix}stopped", (1,)) as fetcher:
            pass
        with pytest.raises(ConsumerStoppedError):
            await fetcher.fetch(WAIT_SECONDS, lambda: True)
        idle = BatchFetcher({"bootstrap_servers": kafka}, [])
        assert (idle.task_gone(), idle.stable_end("t", 0), idle.unstable("t", 0)) == (None, None, 0)
        idle.seek("t", 0, 0)
        with pytest.raises(ConsumerStoppedError):
            idle.assign([])
        await idle.stop()

    async def test_a_task_of_the_client_that_ended_is_noticed(self, kafka: str, topic_prefix: str) -> None:
        """Its fetching ends in silence otherwise."""
        async with reading(kafka, f"{topic_prefix}gone", (1,)) as fetcher:
            assert fetcher._consumer is not None
            fetching = fetcher._consumer._fetcher._fetch_task
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
            assert fetcher.task_gone() == "fetching"
