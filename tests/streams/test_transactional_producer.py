"""`TransactionalProducer`: transactions of version 2 on a real broker, and of version 1 where it has none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ConcurrentTransactions, InvalidProducerEpoch, NoError, ProducerFenced
from aiokafka.producer.transaction_manager import PidAndEpoch

from rebate_app.streams.errors import FencedError
from rebate_app.streams.kafka import transaction_v2_requests as requests
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.transaction import transactional_producer as module
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.streams.transaction.producers import PartitionProducers
from rebate_app.streams.transaction.transactional_producer import (
    FEATURE,
    FENCED_CODE,
    EndHandler,
    ProduceHandler,
    TransactionalProducer,
    VersionedTransactions,
)
from tests.streams.small_stage import SmallStage, committed_records

FULL = os.environ.get("REBATE_CHAOS") == "full"
SECONDS_MAX = 600.0 if FULL else 120.0
#: A producer id has 32,767 epochs, and two producers take turns.
TRANSACTIONS = 70_000 if FULL else 200
BOTH = pytest.mark.parametrize("version", [1, 2])


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run it in a loop of its own, within a bound."""

    async def whole() -> None:
        async with asyncio.timeout(SECONDS_MAX):
            await work()

    asyncio.run(whole())


class Writer:
    """The two producers of one source partition, and what they have committed."""

    def __init__(self, broker: str, stage: SmallStage) -> None:
        self.stage = stage
        self.producers = PartitionProducers(
            f"{stage.source}-writer", {"bootstrap_servers": broker}, transaction_timeout=60, partitions=1
        )
        self.values: list[bytes] = []

    @property
    def managers(self) -> list[VersionedTransactions]:
        """Return what the producers know of their transactions."""
        return [producer._txn_manager for producer in self.producers._producers]

    @property
    def epochs(self) -> list[int]:
        """Return the producers' epochs."""
        return [manager.producer_epoch for manager in self.managers]

    async def commit(self, value: bytes) -> None:
        """Commit one changed record."""
        await self.producers.commit([], self.stage.changelog, 0, {b"k": value})
        self.values.append(value)


async def topics_of(broker: str, prefix: str) -> SmallStage:
    """Return topics that exist."""
    stage = SmallStage(prefix)
    await stage.create(broker)
    return stage


@asynccontextmanager
async def writing(broker: str, stage: SmallStage, version: int) -> AsyncIterator[Writer]:
    """Give a writer that has fenced, on a cluster that has finalised that version as far as it knows."""
    writer = Writer(broker, stage)
    real = requests.finalized_level
    try:
        with patch.object(module, "finalized_level", _nothing if version == 1 else real):
            await writer.producers.fence()
        assert [manager.version for manager in writer.managers] == [version] * 2
        yield writer
    finally:
        await writer.producers.close()


async def all_committed(broker: str, stage: SmallStage, topic: str) -> list[Any]:
    """Return what is committed; initialising the ids again waits until the last ends are on the logs."""
    async with writing(broker, stage, 2):
        return await committed_records(broker, topic)


async def _nothing(client: object, node_id: int, feature: str) -> int:
    del client, node_id, feature
    return 0


class TestCommits:
    """What is committed can be read, in order and once."""

    @BOTH
    def test_every_transaction_is_readable(self, kafka: str, topic_prefix: str, version: int) -> None:
        """Of a version 1 producer under one epoch, of a version 2 one each under an epoch of its own."""

        async def work() -> None:
            stage = await topics_of(kafka, topic_prefix)
            async with writing(kafka, stage, version) as writer:
                before = writer.epochs
                for number in range(20):
                    await writer.commit(b"%d" % number)
                raised = 10 if version == 2 else 0  # the two producers take turns
                assert [after - first for first, after in zip(before, writer.epochs, strict=True)] == [
                    raised
                ] * 2
                found = await all_committed(kafka, stage, stage.changelog)
                assert [record.value for record in found] == writer.values

        run(work)

    @BOTH
    def test_many_partitions_and_topics_in_one(self, kafka: str, topic_prefix: str, version: int) -> None:
        """Messages and changes together, in several batches, each with the records of its partition."""

        async def work() -> None:
            stage = await topics_of(kafka, topic_prefix)
            async with writing(kafka, stage, version) as writer:
                sent = [
                    OutgoingRecord(
                        writer.stage.sends_to, b"k%d" % number, b"v%d" % number * 100, 1_000, (), 0
                    )
                    for number in range(300)
                ]
                last = await writer.producers.commit(
                    sent, writer.stage.changelog, 0, {b"a": b"1", b"b": None}
                )
                assert last == 1
                found = await all_committed(kafka, stage, stage.sends_to)
                assert [(record.key, record.value) for record in found] == [
                    (each.key, each.value) for each in sent
                ]

        run(work)


class TestFence:
    """Who may still write."""

    @pytest.mark.longer
    def test_a_producer_id_is_used_up(self, kafka: str, topic_prefix: str) -> None:
        """The long version: another one takes its place, nothing is lost, and it is fenced as well."""

        async def work() -> None:
            stage = await topics_of(kafka, topic_prefix)
            async with writing(kafka, stage, 2) as older_writer:
                ids = {manager.producer_id for manager in older_writer.managers}
                for number in range(TRANSACTIONS):
                    await older_writer.producers.commit([], stage.changelog, 0, {b"%d" % number: b"1"})
                assert (ids == {manager.producer_id for manager in older_writer.managers}) is not FULL
                async with writing(kafka, stage, 2) as newer_writer:
                    with pytest.raises(FencedError):
                        await older_writer.commit(b"too late")
                    await newer_writer.commit(b"newer")
            found = await all_committed(kafka, stage, stage.changelog)
            assert [record.key for record in found[:-1]] == [b"%d" % number for number in range(TRANSACTIONS)]
            assert found[-1].value == b"newer"

        run(work)

    @BOTH
    def test_an_older_owner_is_fenced(self, kafka: str, topic_prefix: str, version: int) -> None:
        """With either version, also when the newer owner speaks the other one."""

        async def work() -> None:
            for newer in (1, 2):
                stage = await topics_of(kafka, f"{topic_prefix}{newer}-")
                async with writing(kafka, stage, version) as older_writer, AsyncExitStack() as stack:
                    await older_writer.commit(b"older")
                    newer_writer = await stack.enter_async_context(writing(kafka, stage, newer))
                    for _ in range(2):
                        with pytest.raises(FencedError):
                            await older_writer.commit(b"too late")
                    await newer_writer.commit(b"newer")
                    found = await all_committed(kafka, stage, stage.changelog)
                    assert b"too late" not in [record.value for record in found]
                    assert found[-1].value == b"newer"

        run(work)

    def test_a_write_of_the_transaction_before_is_refused(self, kafka: str, topic_prefix: str) -> None:
        """A delayed request, which version 1 would take into the transaction that is open by then."""

        async def work() -> None:
            stage = await topics_of(kafka, topic_prefix)
            async with writing(kafka, stage, 2) as writer:
                delayed = writer.managers[0]
                before = PidAndEpoch(delayed.producer_id, delayed.producer_epoch)
                await writer.commit(b"1")
                await writer.commit(b"2")
                delayed._pid_and_epoch = before
                delayed._sequence_numbers[TopicPartition(writer.stage.changelog, 0)] = 1
                with pytest.raises(FencedError):
                    await writer.commit(b"delayed")
                found = await all_committed(kafka, stage, stage.changelog)
                assert [record.value for record in found] == [b"1", b"2"]

        run(work)


class TestAnswers:
    """What the broker may answer to a write or an end."""

    def test_a_write_is_sent_again_while_the_last_end_is_under_way(
        self, kafka: str, topic_prefix: str
    ) -> None:
        """CONCURRENT_TRANSACTIONS: nothing was written, and the same batch is sent again."""

        async def work() -> None:
            stage = await topics_of(kafka, topic_prefix)
            async with writing(kafka, stage, 2) as writer:
                plain = ProduceHandler.handle_response
                refused: list[Any] = []

                def first_is_refused(handler: ProduceHandler, response: Any) -> None:
                    if refused:
                        plain(handler, response)
                        return
                    refused.append(response)
                    (topic, [(number, _, *others)], tags) = response.topics[0]
                    response.topics = [(topic, [(number, ConcurrentTransactions.errno, *others)], tags)]
                    plain(handler, response)

                with patch.object(ProduceHandler, "handle_response", first_is_refused):
                    await writer.commit(b"1")
                await writer.commit(b"2")
                assert len(refused) == 1
                found = await all_committed(kafka, stage, stage.changelog)
                assert [record.value for record in found] == [b"1", b"2"]

        run(work)

    def test_an_end_whose_answer_is_lost_is_asked_for_again(self, kafka: str, topic_prefix: str) -> None:
        """Under the old epoch, which the coordinator knows as a repetition: committed once, not fenced."""

        async def work() -> None:
            stage = await topics_of(kafka, topic_prefix)
            async with writing(kafka, stage, 2) as writer:
                plain = EndHandler.handle_response
                lost: list[Any] = []

                def first_is_lost(handler: EndHandler, response: Any) -> float | None:
                    if lost:
                        return plain(handler, response)
                    lost.append(response)
                    return 0.0

                with patch.object(EndHandler, "handle_response", first_is_lost):
                    await writer.commit(b"1")
                for value in (b"2", b"3"):  # the same producer's turn again
                    await writer.commit(value)
                assert len(lost) == 1
                found = await all_committed(kafka, stage, stage.changelog)
                assert [record.value for record in found] == [b"1", b"2", b"3"]

        run(work)

    @pytest.mark.asyncio
    async def test_both_codes_of_a_fence_are_one(self) -> None:
        """PRODUCER_FENCED, which aiokafka does not know, is no unknown outcome."""
        for code in (FENCED_CODE, InvalidProducerEpoch.errno):
            with pytest.raises(ProducerFenced):
                EndHandler(_Sender(), 0).handle_response(requests.EndTxnResponse_v5(0, code, 5, 6, {}))

    @pytest.mark.asyncio
    async def test_an_end_begins_the_next_epoch(self) -> None:
        """Also under a new producer id, where the epochs of the old one are used up."""
        sender = _Sender()
        manager = sender._txn_manager
        manager.increment_sequence_number(TopicPartition("t", 0), 7)
        manager.begin_transaction()
        manager.maybe_add_partition_to_txn(TopicPartition("t", 0))
        manager.committing_transaction()
        EndHandler(sender, 0).handle_response(requests.EndTxnResponse_v5(0, NoError.errno, 99, 0, {}))
        assert (manager.producer_id, manager.producer_epoch) == (99, 0)
        assert manager.sequence_number(TopicPartition("t", 0)) == 0
        assert manager.is_empty_transaction()

    @pytest.mark.asyncio
    async def test_nothing_is_added_outside_of_a_transaction(self) -> None:
        """A bug of ours, and no write."""
        with pytest.raises(RuntimeError, match="outside of a transaction"):
            _Sender()._txn_manager.maybe_add_partition_to_txn(TopicPartition("t", 0))


class _Sender:
    """What a handler uses of a sender."""

    def __init__(self) -> None:
        self._retry_backoff = 0.1
        self._txn_manager = VersionedTransactions("id", 60_000)
        self._txn_manager.version = 2
        self._txn_manager.set_pid_and_epoch(5, 6)


class TestFinalizedLevel:
    """What a cluster says of its features."""

    def test_a_broker_of_today_has_version_2(self, kafka: str) -> None:
        """And 0 of a feature that nobody knows."""

        async def work() -> None:
            producer = TransactionalProducer(
                transactional_id="features", transaction_timeout_ms=60_000, bootstrap_servers=kafka
            )
            async with started(producer):
                node = producer.client.get_random_node()
                assert await requests.finalized_level(producer.client, node, FEATURE) == 2
                assert await requests.finalized_level(producer.client, node, "no.such.feature") == 0
                assert producer._txn_manager.version == 2

        run(work)

    @pytest.mark.parametrize("tags", [{}, {1: b"\x00" * 8}, {2: b"\x01"}])
    def test_a_broker_that_names_no_features_has_none(self, tags: dict[int, bytes]) -> None:
        """Nothing finalised, or a broker that knows of no features."""

        class Client:
            async def send(self, node: int, request: object) -> Any:
                del node, request
                return requests.ApiVersionsResponse_v3(0, [], 0, tags)

        assert asyncio.run(requests.finalized_level(Client(), 1, FEATURE)) == 0

    def test_a_broker_that_does_not_know_the_request_has_none(self) -> None:
        """One before 2.4: aiokafka finds no version that both know."""

        class Client:
            async def send(self, node: int, request: requests.ApiVersionsRequest) -> Any:
                del node
                return request.prepare({18: (0, 2)})

        assert asyncio.run(requests.finalized_level(Client(), 1, FEATURE)) == 0
