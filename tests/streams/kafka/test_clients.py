"""What is left of a client: nothing, whether its start worked, failed or was cancelled."""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError
from aiokafka.protocol.metadata import MetadataRequest

from rebate_app.broker import free_port
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaAdminClient
from rebate_app.streams.kafka.clients import PatientAdmin, discard, started, with_retries
from rebate_app.streams.transaction.producers import PartitionProducers
from tests.conftest import SEED

CANCELLED_TIMES = 25
CANCELLED_WITHIN_S = 0.08


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fail when a socket is still open after the block, or an unclosed client is found in the garbage.

    A connection that is being made when its client is cancelled is known to nobody but the garbage
    collector, which closes it: aiokafka keeps no note of it.
    """
    gc.collect()
    before = open_files()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    messages = [str(warning.message) for warning in caught]
    assert [words for words in messages if not words.startswith("Unclosed AIOKafkaConnection")] == []
    assert open_files() == before


def open_files() -> int:
    """Return how many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def only_this_task() -> None:
    """Return once no other task is left in the loop."""
    me = asyncio.current_task()
    async with asyncio.timeout(10):
        while others := [task for task in asyncio.all_tasks() if task is not me]:
            await asyncio.wait(others)


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run it in a loop of its own, and look what is left."""

    async def whole() -> None:
        await work()
        await only_this_task()

    with nothing_left():
        asyncio.run(whole())


def producers_of(kafka: str, name: str) -> PartitionProducers:
    """Return the producers of a partition that nobody else writes."""
    return PartitionProducers(name, {"bootstrap_servers": kafka}, transaction_timeout=5.0, partitions=1)


class TestFence:
    """Producers are started at every takeover, and takeovers are cancelled by the next rebalance."""

    def test_a_fence_that_is_cancelled_leaves_nothing(self, kafka: str, topic_prefix: str) -> None:
        """Cancelled at any moment: no task, no connection, no unclosed producer; the next fence works."""
        rng = random.Random(SEED)

        async def work() -> None:
            producers = producers_of(kafka, topic_prefix)
            for _ in range(CANCELLED_TIMES):
                fence = asyncio.ensure_future(producers.fence())
                await asyncio.wait([fence], timeout=rng.uniform(0, CANCELLED_WITHIN_S))
                fence.cancel()
                await asyncio.gather(fence, return_exceptions=True)
            await producers.fence()
            await producers.close()

        run(work)

    def test_one_start_that_fails_ends_the_other_too(self, kafka: str, topic_prefix: str) -> None:
        """The failure is raised, and the producer whose start went on is not left to itself."""

        def fail_at(point: str) -> None:
            raise KafkaError(point)

        async def work() -> None:
            producers = producers_of(kafka, topic_prefix)
            with pytest.raises(KafkaError, match="initialised-one"):
                await producers.fence(fail_at)
            assert len(asyncio.all_tasks()) == 1

        run(work)


class TestStarted:
    """Begun and ended as a block."""

    @pytest.mark.parametrize("make", [AIOKafkaProducer, AIOKafkaConsumer, PatientAdmin])
    def test_a_start_that_fails_is_raised_and_leaves_nothing(self, make: Callable[..., object]) -> None:
        """Nobody at the address: the client's own error, and the client is closed."""

        async def work() -> None:
            client = make(bootstrap_servers=f"127.0.0.1:{free_port()}")
            with pytest.raises(KafkaConnectionError):
                async with started(client):
                    raise AssertionError

        run(work)


class TestDiscard:
    """A producer that is thrown away sends nothing any more."""

    def test_what_it_holds_fails_at_once(self, kafka: str, topic_prefix: str) -> None:
        """A record that waits for a leader that is not there is given up, and so is the producer."""

        async def work() -> None:
            topic = f"{topic_prefix}t"
            async with started(PatientAdmin(bootstrap_servers=kafka)) as admin:
                await admin.create_topics([NewTopic(topic, 1, 1)])
            producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=60_000)
            await producer.start()
            future = await producer.send(topic, b"x", partition=0)
            await discard(producer)
            with pytest.raises(KafkaError, match="thrown away"):
                await future

        run(work)

    def test_one_that_never_started(self, kafka: str) -> None:
        """Nothing to end is ended as well."""

        async def work() -> None:
            await discard(AIOKafkaProducer(bootstrap_servers=kafka))

        run(work)


class TestPatience:
    """Asking again helps only where it can."""

    def test_what_is_refused_for_good_is_raised_at_once(self, kafka: str) -> None:
        """An error that no retry mends is raised by the first try."""
        tries = 0

        async def request() -> None:
            nonlocal tries
            tries += 1
            raise UnknownTopicOrPartitionError if tries == 1 else KafkaError("never")

        async def work() -> None:
            async with started(PatientAdmin(bootstrap_servers=kafka)) as admin:
                with pytest.raises(KafkaError, match="never"):
                    await with_retries(admin._client, request)

        run(work)
        assert tries == 2  # the first error is one that may pass


class TestDescribing:
    """Topics are asked for by name: others on the cluster are not described to us."""

    def test_those_that_exist_and_the_brokers(
        self, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A missing one is left out, no request may create it, and none asks for all topics."""
        here, missing = f"{topic_prefix}here", f"{topic_prefix}missing"
        sent: list[MetadataRequest] = []
        send = AIOKafkaAdminClient._send_request

        async def noted(self: AIOKafkaAdminClient, request: Any, node_id: int | None = None) -> Any:
            sent.append(request)
            return await send(self, request, node_id)

        async def work() -> None:
            async with started(PatientAdmin(bootstrap_servers=kafka)) as admin:
                await admin.create_topics([NewTopic(here, 3, 1)])
                monkeypatch.setattr(AIOKafkaAdminClient, "_send_request", noted)
                (described,) = await admin.describe_existing([here, missing])
                assert described["topic"] == here
                assert sorted(part["partition"] for part in described["partitions"]) == [0, 1, 2]
                assert await admin.describe_existing([]) == []
                assert len(await admin.live_brokers()) >= 1

        run(work)
        assert [request._topics for request in sent] == [[here, missing], [], []]
        assert not any(request._allow_auto_topic_creation for request in sent)
