"""A partition that is idle for longer than the broker remembers its producers goes on by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.kafka.library_log import lower_transient
from rebate_app.streams.kafka.transaction_requests import DescribeProducersRequest, ListTransactionsRequest
from rebate_app.streams.task.batch import RecordBatch
from tests.kafka_fixture import guarded, start_on_a_free_port
from tests.rig.waiting import until
from tests.streams.small_stage import Owner, SmallStage, committed_records, owners

EXPIRY_MS = 2_000
SOON_EXPIRED = {
    "transactional.id.expiration.ms": str(EXPIRY_MS),
    "transaction.remove.expired.transaction.cleanup.interval.ms": "100",
    "producer.id.expiration.ms": str(EXPIRY_MS),
    "producer.id.expiration.check.interval.ms": "100",
}
SECONDS_MAX = 120.0


@pytest.fixture(scope="module")
def forgetful_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a broker that forgets idle producers at once."""
    data_dir = tmp_path_factory.mktemp("forgetful-kafka")
    with guarded(data_dir):
        broker = start_on_a_free_port(data_dir, SOON_EXPIRED)
        try:
            yield broker.address
        finally:
            broker.stop()


async def all_expired(broker: str, changelog: str) -> None:
    """Return once the broker knows no transactional id and no producer of the changelog any more."""
    async with started(PatientAdmin(bootstrap_servers=broker)) as admin:

        async def gone() -> bool:
            cluster: dict[str, Any] = await admin.describe_cluster()
            node = cluster["brokers"][0]["node_id"]
            listed = await admin._send_request(ListTransactionsRequest([]), node)
            described = await admin._send_request(DescribeProducersRequest({changelog: [0]}), node)
            producers = [each for _, parts, *_ in described.topics for part in parts for each in part[3]]
            return not listed.transaction_states and not producers

        await until(gone, SECONDS_MAX, "the broker has forgotten every producer")


async def reads_again(owner: Owner, batch: RecordBatch) -> int:
    """Have a batch committed, read again whenever the partition asks for it; return how often it did."""
    owner.seeks.clear()
    tries = 0
    async with asyncio.timeout(SECONDS_MAX):
        while owner.stream.position < batch.end:
            await owner.take(batch)
            if owner.stream.position < batch.end:
                tries += 1
                await owner.until(lambda: len(owner.seeks) >= tries, SECONDS_MAX)  # noqa: B023
                assert owner.seeks[-1] == batch.begin
    return tries


def test_the_next_commit_begins_again_at_the_fence(
    forgetful_kafka: str, topic_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Several times within a minute: every record once, no fence counted, nothing logged above INFO."""
    lower_transient()
    caplog.set_level(logging.INFO)

    async def work() -> None:
        stage = SmallStage(topic_prefix)
        await stage.create(forgetful_kafka)
        owner = Owner(forgetful_kafka, stage)
        async with owners(owner):
            await owner.own()
            await owner.take(stage.batch(0, b"1"))
            for number in (1, 2, 3):
                await all_expired(forgetful_kafka, stage.changelog)
                assert await reads_again(owner, stage.batch(number, b"1")) > 0
                assert owner.total == number + 1
            assert not owner.ended.done()
        sent = [record.value for record in await committed_records(forgetful_kafka, stage.sends_to)]
        assert sent == [b"%d " % number for number in range(4)]

    asyncio.run(work())
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []
