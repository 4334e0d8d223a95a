"""`rebate lag` against a real Kafka: commits are written by the test, as a worker would write them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from rebate_app.broker import free_port
from rebate_app.settings import Settings
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.connection import client_options
from rebate_app.wire.topics import Topics
from tests.cli.cases import Outcome, answering, run, use_broker
from tests.rig.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable


@asynccontextmanager
async def producer_of(settings: Settings, **more: Any) -> AsyncIterator[AIOKafkaProducer]:
    """Give a producer."""
    async with started(AIOKafkaProducer(**client_options(settings), **more)) as producer:
        yield producer


async def send(settings: Settings, topic: str, partition: int, count: int, *, seconds_ago: int = 0) -> None:
    """Append records without a transaction."""
    timestamp_ms = int(time.time() - seconds_ago) * 1_000
    async with producer_of(settings) as producer:
        for _ in range(count):
            await producer.send_and_wait(
                topic, b"{}", key=b"k", partition=partition, timestamp_ms=timestamp_ms
            )


async def transact(settings: Settings, topic: str, partition: int, *, commit: bool) -> None:
    """Append one record and a marker."""
    async with producer_of(settings, transactional_id=f"{topic}-{partition}") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"{}", key=b"k", partition=partition)
        await (producer.commit_transaction() if commit else producer.abort_transaction())


async def commit(
    settings: Settings, places: Iterable[tuple[str, int, int]], unfinished: int = 0, halted: str = ""
) -> None:
    """Commit offsets for the group, with the metadata that workers write."""
    member = AIOKafkaConsumer(**client_options(settings), group_id=settings.scope, enable_auto_commit=False)
    async with started(member) as consumer:
        metadata = json.dumps({"u": unfinished, "h": halted})
        offsets = {TopicPartition(t, p): OffsetAndMetadata(offset, metadata) for t, p, offset in places}
        consumer.assign(list(offsets))
        await consumer.commit(offsets)


class Stand:
    """The topics of a test, and what was done to them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.orders = Topics.of(settings).orders
        self.users = Topics.of(settings).user_log
        assert run("topics", "create").code == 0

    def lag(self) -> dict[tuple[str, int], int]:
        """Return the lags that are not 0, after checking the sum.

        The broker answers the end of a transaction before its markers are in the partitions; until then the
        records are unstable and in no lag.
        """
        lag = wait_for(self._stable, 30, "the markers of ended transactions")
        assert lag["total"] == sum(each["lag"] for each in lag["partitions"])
        assert len(lag["partitions"]) == 2 * self.settings.partitions
        return {(each["topic"], each["partition"]): each["lag"] for each in lag["partitions"] if each["lag"]}

    def _stable(self) -> dict[str, Any] | None:
        lag: dict[str, Any] = run("lag", "--json").json
        return None if lag["unstable"] else lag

    def wait(self, seconds: float) -> Outcome:
        """Wait, and hold the command to its time."""
        began = time.monotonic()
        outcome = run("lag", "--wait", str(seconds), "--json")
        assert time.monotonic() - began < seconds + 20
        return outcome


@pytest.fixture
def stand(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Give empty topics of this test's own."""
    return Stand(use_broker(monkeypatch, kafka))


class TestLag:
    """The figures."""

    def test_empty_topics_have_no_lag_without_any_worker(self, stand: Stand) -> None:
        """Nothing was sent, so nothing is missing: a wait ends at once."""
        assert stand.lag() == {}
        assert stand.wait(5).code == 0

    def test_records_that_no_worker_has_seen_count_from_the_start(self, stand: Stand) -> None:
        """A group that never committed has everything before it."""
        asyncio.run(send(stand.settings, stand.orders, 1, 3))
        assert stand.lag() == {(stand.orders, 1): 3}

    def test_markers_and_aborted_records_do_not_count(self, stand: Stand) -> None:
        """Of two committed records, an aborted one and three markers, the second committed one is the lag."""

        async def prepare() -> None:
            for fine in (True, False, True):
                await transact(stand.settings, stand.users, 2, commit=fine)
            await commit(stand.settings, [(stand.users, 2, 1)])

        asyncio.run(prepare())
        assert stand.lag() == {(stand.users, 2): 1}

    def test_the_text_lists_what_lags_and_ends_with_the_total(
        self, stand: Stand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Partitions behind only, the longest wait first, with age, owner and what holds them back."""

        async def prepare() -> None:
            await send(stand.settings, stand.users, 0, 2)
            await send(stand.settings, stand.users, 1, 1, seconds_ago=7_200)
            await commit(stand.settings, [(stand.users, 2, 0)], unfinished=3)
            await commit(stand.settings, [(stand.users, 1, 0)], halted="dlq-limit")

        asyncio.run(prepare())
        monkeypatch.setenv("REBATE_URL", "http://127.0.0.1:1")
        lag = run("lag", "--json").json["partitions"]
        by_place = {(each["topic"], each["partition"]): each for each in lag}
        assert by_place[stand.users, 1]["oldest_seconds"] >= 7_200
        assert 0 <= by_place[stand.users, 0]["oldest_seconds"] < 3_600
        assert by_place[stand.users, 2]["unfinished"] == 3
        assert by_place[stand.orders, 0]["oldest_seconds"] is None
        assert {each["owner"] for each in lag} == {None}
        assert [each["partition"] for each in lag if each["halted"] == "dlq-limit"] == [1]
        places = {stand.users: [0, 2], stand.orders: [0, 1]}
        workers = [
            {"url": "http://w1:6066", "partitions": places},
            {"url": "http://w2:6066", "partitions": {stand.users: [1]}},
        ]
        with answering({"/v1/workers": {"items": workers}}) as url:
            monkeypatch.setenv("REBATE_URL", url)
            header, *rows, last = run("lag").stdout.splitlines()
        assert header.split()[:4] == ["topic", "partition", "lag", "oldest"]
        assert last.split() == ["total", "3"]
        assert [row.split()[:3] for row in rows] == [
            [stand.users, "1", "1"],
            [stand.users, "0", "2"],
            [stand.users, "2", "0"],
        ]
        assert "http://w2:6066" in rows[0]
        assert rows[0].endswith("halted: dlq-limit")
        assert "http://w1:6066" in rows[1]
        assert rows[2].endswith("3 attribution ids that move lines")


class TestWait:
    """The promise of --wait."""

    def test_a_log_that_ends_in_a_marker_is_done(self, stand: Stand) -> None:
        """Workers commit watermark + 1; the marker behind it is nobody's work."""

        async def prepare() -> None:
            await send(stand.settings, stand.orders, 0, 2)
            await transact(stand.settings, stand.users, 0, commit=True)
            await commit(stand.settings, [(stand.orders, 0, 2), (stand.users, 0, 1)])

        asyncio.run(prepare())
        outcome = stand.wait(10)
        assert (outcome.code, outcome.json["total"]) == (0, 0)

    def test_aborted_records_behind_the_commit_are_done(self, stand: Stand) -> None:
        """What a dead worker left and the broker aborted is never read, so nobody ever commits past it."""

        async def prepare() -> None:
            await transact(stand.settings, stand.users, 0, commit=True)
            await commit(stand.settings, [(stand.users, 0, 1)])
            await transact(stand.settings, stand.users, 0, commit=False)

        asyncio.run(prepare())
        assert stand.wait(10).code == 0

    def test_a_record_behind_the_commit_is_75_when_time_is_up(self, stand: Stand) -> None:
        """Nothing is said on stdout, and stderr has one sentence."""

        async def prepare() -> None:
            await send(stand.settings, stand.orders, 0, 2)
            await commit(stand.settings, [(stand.orders, 0, 1)])

        asyncio.run(prepare())
        outcome = stand.wait(1)
        assert (outcome.code, outcome.stdout) == (75, "")
        assert outcome.stderr.count("\n") == 1

    def test_an_open_transaction_below_an_acknowledged_record_is_waited_for(self, stand: Stand) -> None:
        """The record above it was acknowledged; read_committed cannot see it, and it is not lost sight of."""

        async def check() -> int:
            async with producer_of(stand.settings, transactional_id=f"{stand.orders}-open") as producer:
                await producer.begin_transaction()
                await producer.send_and_wait(stand.orders, b"{}", key=b"k", partition=0)
                await send(stand.settings, stand.orders, 0, 1)
                code = (await asyncio.to_thread(stand.wait, 1)).code
                await producer.abort_transaction()
            return code

        assert asyncio.run(check()) == 75
        assert stand.lag() == {(stand.orders, 0): 1}

    def test_an_id_that_still_moves_lines_is_waited_for(self, stand: Stand) -> None:
        """Unfinished work is in the commit's metadata; without it, the same offsets are done."""
        asyncio.run(commit(stand.settings, [(stand.users, 0, 0)], unfinished=1))
        assert stand.wait(1).code == 75
        asyncio.run(commit(stand.settings, [(stand.users, 0, 0)], unfinished=0))
        assert stand.wait(10).code == 0

    def test_it_returns_when_a_worker_catches_up_meanwhile(self, stand: Stand) -> None:
        """A commit that comes while it waits ends the wait, long before time is up."""

        async def check() -> Outcome:
            await send(stand.settings, stand.orders, 0, 1)
            waiting = asyncio.create_task(asyncio.to_thread(stand.wait, 60))
            # The command tells nobody that it has begun to wait. If it begins later than this, the commit is
            # there when it looks first, and it ends at once: the law holds, only nothing was waited for.
            await asyncio.sleep(1)
            await commit(stand.settings, [(stand.orders, 0, 1)])
            return await waiting

        began = time.monotonic()
        assert asyncio.run(check()).code == 0
        assert time.monotonic() - began < 30


class TestFailure:
    """What it says when it cannot know."""

    def test_no_broker_is_69(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With --wait and without."""
        use_broker(monkeypatch, f"127.0.0.1:{free_port()}")
        assert run("lag").code == 69
        assert run("lag", "--wait", "1").code == 69

    def test_no_topics_is_78_and_waiting_for_them_75(
        self, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A mistyped prefix must not look like a system without lag."""
        use_broker(monkeypatch, kafka)
        outcome = run("lag", "--json")
        assert (outcome.code, outcome.stdout) == (78, "")
        assert topic_prefix in outcome.stderr
        assert run("lag", "--wait", "1").code == 75
