"""One writer: what an owner that lost its partition may still do, which is nothing that can be read.

Two owners of one partition live in one process here, so that each moment of a takeover can be chosen.
`make mutants` proves that each law is watched by one of these tests.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain
from unittest.mock import patch

import pytest

from rebate_app.metrics.catalogue import RECORDS
from rebate_app.streams.errors import FencedError
from rebate_app.streams.state.cache import RecordCache
from rebate_app.streams.state.store import WATERMARK_KEY, MemoryStore, encode_watermark
from rebate_app.streams.state.store import Watermark as Mark
from rebate_app.streams.task.pacing import BUSY, ROOM, BatchPacer
from rebate_app.streams.transaction.producers import IN_TURN, PartitionProducers
from tests.streams.small_stage import Owner, SmallStage, committed_records, owners

TAKEN_OVER_SECONDS_MAX = 45.0  # less than an open transaction lasts (REBATE_TRANSACTION_TIMEOUT)
WHOLE_SECONDS_MAX = 240.0
HELD_SHARE = (BUSY + ROOM) / 2  # of a core: the pause neither grows nor shrinks
SOON_S = 0.6  # far more than a commit takes


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run it in a loop of its own, within a bound."""

    async def whole() -> None:
        async with asyncio.timeout(WHOLE_SECONDS_MAX):
            await work()

    asyncio.run(whole())
    # A client that is thrown away while it connects may leave that connection to the garbage collector: it is
    # collected here, where it is known, and not told to whichever test comes next.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Zombie:
    """Producers of a former owner with a transaction sent and acknowledged, its commit not yet sent."""

    def __init__(self, broker: str, owner: Owner, stage: SmallStage) -> None:
        self._producers = PartitionProducers(
            f"{owner.settings.scope}-{stage.source}-0",
            {"bootstrap_servers": broker},
            transaction_timeout=owner.settings.transaction_timeout,
            partitions=1,
        )
        self._stage = stage
        self._mark = 0
        self._last: object = None

    async def fence(self) -> None:
        """Be the owner."""
        await self._producers.fence()

    async def commit(self, total: int) -> None:
        """Commit one batch."""
        self._mark += 1
        await self._producers.commit([], self._stage.changelog, 0, self._changes(total))

    def _changes(self, total: int) -> dict[bytes, bytes | None]:
        mark = Mark(self._mark - 1, self._stage.source, 1)
        return {b"k": b"%d" % total, WATERMARK_KEY: encode_watermark(mark)}

    async def leave_open(self, total: int) -> None:
        """Begin a transaction, have all of it acknowledged, and stop there."""
        producer = self._producers._producers[self._producers._next]
        self._last = producer
        await producer.begin_transaction()
        self._mark += 1
        for key, value in self._changes(total).items():
            await producer.send_and_wait(self._stage.changelog, value, key, 0)

    async def commit_what_is_open(self) -> None:
        """Send the commit after all."""
        await self._last.commit_transaction()  # type: ignore[attr-defined]

    async def close(self) -> None:
        """End."""
        await self._producers.close()


class TestFence:
    """Fence first, with every id, then restore."""

    @pytest.mark.parametrize("batches", range(IN_TURN))
    def test_what_an_older_owner_left_open_is_aborted_before_restoring(
        self, kafka: str, topic_prefix: str, batches: int
    ) -> None:
        """Whichever id it was on: the new owner does not wait for it, and it can never be committed."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka)
            owner = Owner(kafka, stage)
            zombie = Zombie(kafka, owner, stage)
            await zombie.fence()
            for number in range(batches):
                await zombie.commit(10 + number)
            await zombie.leave_open(999)
            async with owners(owner):
                async with asyncio.timeout(TAKEN_OVER_SECONDS_MAX):
                    await owner.own()
                assert owner.stream.next_offset == batches
                assert owner.total == (10 + batches - 1 if batches else 0)
                with pytest.raises(Exception, match="newer producer"):
                    await zombie.commit_what_is_open()
                await owner.take(stage.batch(batches, b"5"))
            await zombie.close()
            values = [record.value for record in await committed_records(kafka, stage.changelog)]
            assert b"999" not in values

        run(work)

    @pytest.mark.parametrize("batches", range(IN_TURN))
    def test_what_an_older_owner_begins_afterwards_is_refused(
        self, kafka: str, topic_prefix: str, batches: int
    ) -> None:
        """A batch that it had not begun: FencedError, on either id, and nothing of it can be read."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka)
            owner = Owner(kafka, stage)
            zombie = Zombie(kafka, owner, stage)
            await zombie.fence()
            for number in range(batches):
                await zombie.commit(10 + number)
            async with owners(owner):
                await owner.own()
                with pytest.raises(FencedError):
                    await zombie.commit(999)
            await zombie.close()
            values = [record.value for record in await committed_records(kafka, stage.changelog)]
            assert b"999" not in values

        run(work)


class TestTwoOwners:
    """Two workers that believe to own the same partition."""

    def test_the_older_one_gives_up_and_does_not_come_back(self, kafka: str, topic_prefix: str) -> None:
        """Fenced, it ends and initialises nothing again: the new owner goes on undisturbed, once each."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka)
            older, newer = Owner(kafka, stage), Owner(kafka, stage)
            async with owners(older, newer):
                await older.own()
                await older.take(stage.batch(0, b"1", b"2"))
                await newer.own()
                await newer.take(stage.batch(2, b"3"))
                await older.take(stage.batch(2, b"3"))
                assert isinstance(await older.ended, FencedError)
                older.stream.submit(stage.batch(3, b"4"))
                await asyncio.wait([newer.ended], timeout=SOON_S)
                for offset in range(3, 3 + 2 * IN_TURN):
                    await newer.take(stage.batch(offset, b"4"))
                assert not newer.ended.done()
                assert newer.total == 1 + 2 + 3 + 4 * 2 * IN_TURN
                assert older.points.count("fenced") == 1
            sent = [record.value for record in await committed_records(kafka, stage.sends_to)]
            assert sent == [b"%d " % offset for offset in range(3 + 2 * IN_TURN)]

        run(work)

    def test_who_lost_the_lease_does_not_begin_again_at_the_fence(
        self, kafka: str, topic_prefix: str
    ) -> None:
        """A batch that failed while nobody heard of us: the new owner is left alone until we are heard of."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka, sent_bytes_max=1_000)
            older, newer = Owner(kafka, stage), Owner(kafka, stage)
            async with owners(older, newer):
                await older.own()
                older.leased = False
                older.stream.submit(stage.batch(0, b"x" * 5_000))  # the broker refuses it
                await asyncio.wait([older.ended], timeout=SOON_S)
                assert older.points.count("fenced") == 1
                await newer.own()
                for offset in range(2 * IN_TURN):
                    await newer.take(stage.batch(offset, b"1"))
                assert not newer.ended.done()
                older.leased = True
                await older.until(lambda: older.points.count("fenced") >= 2, TAKEN_OVER_SECONDS_MAX)

        run(work)


class TestTransaction:
    """What one batch is on the logs."""

    def test_each_transaction_is_whole(self, kafka: str, topic_prefix: str) -> None:
        """Data, then the watermark that they are at, once and last, in every transaction of the changelog."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka)
            owner = Owner(kafka, stage)
            async with owners(owner):
                await owner.own()
                for offset in range(6):
                    await owner.take(stage.batch(offset, b"1"))
            records = await committed_records(kafka, stage.changelog)
            assert [record.key for record in records] == [b"k", WATERMARK_KEY] * 6
            # No marker between them; that of the batch before may come late, but never into a batch.
            pairs = zip(records[::2], records[1::2], strict=True)
            assert [mark.offset - data.offset for data, mark in pairs] == [1] * 6

        run(work)

    def test_a_send_that_fails_takes_everything_with_it(self, kafka: str, topic_prefix: str) -> None:
        """A message that the broker refuses: no state, no watermark, and the batch is done again."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka, sent_bytes_max=1_000)
            owner = Owner(kafka, stage)
            async with owners(owner):
                await owner.own()
                owner.stream.submit(stage.batch(0, b"x" * 5_000))
                await owner.until(lambda: owner.seeks, TAKEN_OVER_SECONDS_MAX)
                assert (owner.seeks[0], owner.total, owner.stream.store.watermark) == (0, 0, None)
                await owner.take(stage.batch(0, b"7"))
                assert owner.total == 7
            sent = [record.value for record in await committed_records(kafka, stage.sends_to)]
            assert sent == [b"0 "]

        run(work)


class TestMove:
    """A partition that is given up in order."""

    def test_a_partition_that_is_drained_takes_no_more_until_it_starts_again(
        self, kafka: str, topic_prefix: str
    ) -> None:
        """What was submitted is committed and counted; what comes later waits for the next owner, whole.

        A batch that is still taken then may be cut off while it is committed: the state would have its
        records, and no worker's metrics.
        """

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka)
            owner = Owner(kafka, stage)
            async with owners(owner):
                await owner.own()
                owner.stream.submit(stage.batch(0, b"1", b"2"))
                drained = asyncio.create_task(owner.stream.drain(TAKEN_OVER_SECONDS_MAX))
                await owner.until(lambda: "computed" in owner.points, TAKEN_OVER_SECONDS_MAX)
                owner.stream.submit(stage.batch(2, b"4"))
                assert await drained
                owner.stream.submit(stage.batch(2, b"4"))
                assert await owner.stream.wait_idle(TAKEN_OVER_SECONDS_MAX)
                await owner.stream.stop()
                assert (owner.total, owner.points.count("applied")) == (3, 1)
                assert owner.metrics.count(RECORDS, (stage.name,)) == 2
                await owner.own()
                await owner.take(stage.batch(2, b"4"))
                assert owner.total == 7

        run(work)


class PackedKeys:
    """Stands for a store's `Packing`, and notes who takes which step with which keys."""

    def __init__(self, keys: Iterable[bytes], steps: list[tuple[str, int, list[bytes]]]) -> None:
        self._keys = list(keys)
        self._steps = steps
        self._note("begins")

    def _note(self, step: str) -> None:
        self._steps.append((step, threading.get_ident(), self._keys))

    def run(self) -> None:
        """Note it."""
        self._note("runs")

    def finish(self) -> None:
        """Note it."""
        self._note("ends")


class TestRest:
    """What becomes of records that have left the cache."""

    def test_the_store_packs_them_once_the_batch_is_committed(self, kafka: str, topic_prefix: str) -> None:
        """All of them, in steps that take turns with the loop, and only the packing in another thread."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka)
            owner = Owner(kafka, stage)
            left = [b"%d" % number for number in range(2_500)]
            steps: list[tuple[str, int, list[bytes]]] = []
            with (
                patch.object(RecordCache, "keep", lambda *_: left),
                patch.object(MemoryStore, "packing", lambda _, keys: PackedKeys(keys, steps)),
            ):
                async with owners(owner):
                    await owner.own()
                    await owner.take(stage.batch(0, b"1"))
            assert [step for step, *_ in steps] == ["begins", "runs", "ends"] * 3
            assert [len(keys) for _, _, keys in steps[::3]] == [1_000, 1_000, 500]
            assert sorted(chain.from_iterable(keys for _, _, keys in steps[::3])) == sorted(left)
            ours = threading.get_ident()
            assert all((thread == ours) is (step != "runs") for step, thread, _ in steps)

        run(work)


class TestGather:
    """A busy worker makes fewer and larger batches."""

    def test_what_arrives_in_the_pause_is_one_batch(self, kafka: str, topic_prefix: str) -> None:
        """Records are not committed one by one while the core is busy, and none is lost or doubled."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka)
            owner = Owner(kafka, stage)
            async with owners(owner):
                await owner.own()
                await owner.take(stage.batch(0, b"1"))
                owner.pacer = BatchPacer(time.perf_counter, lambda: time.perf_counter() * HELD_SHARE)
                owner.pacer._pause_seconds = 1.5
                for number in range(1, 6):
                    owner.stream.submit(stage.batch(number, b"%d" % number))
                    for _ in range(5):
                        await asyncio.sleep(0)  # so that it would begin, if it did not wait
                assert await owner.stream.wait_idle(TAKEN_OVER_SECONDS_MAX)
                assert (owner.total, owner.points.count("applied")) == (1 + 15, 2)

        run(work)


class TestWhereToStart:
    """Watermark + 1, whatever the group has committed."""

    @pytest.mark.parametrize("committed", [None, 0, 2, 4])
    def test_an_older_commit_sends_nothing_again(
        self, kafka: str, topic_prefix: str, committed: int | None
    ) -> None:
        """Reading begins after the watermark, and what was read before it is passed over."""

        async def work() -> None:
            stage = SmallStage(topic_prefix)
            await stage.create(kafka)
            first, second = Owner(kafka, stage), Owner(kafka, stage, committed=committed)
            async with owners(first, second):
                await first.own()
                await first.take(stage.batch(0, *[b"1"] * 4))
                await second.own()
                assert second.stream.position == 4
                await second.take(stage.batch(0, *[b"1"] * 6))
                assert second.total == 6
            sent = [record.value for record in await committed_records(kafka, stage.sends_to)]
            assert sent == [b"%d " % offset for offset in range(6)]

        run(work)
