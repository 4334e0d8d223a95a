"""Restoring from a real Kafka, into both stores: it ends by position, and never believes an unfit store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from rebate_app.streams.errors import StateLostError
from rebate_app.streams.kafka.log_reader import LogStalledError
from rebate_app.streams.state import restore as module
from rebate_app.streams.state.restore import Restored, restore
from rebate_app.streams.state.store import WATERMARK_KEY, MemoryStore, Store, StoreDamagedError
from tests.streams.state.changelogs import Changelog
from tests.streams.state.stores import KINDS, open_store, watermark, watermark_value

pytestmark = pytest.mark.asyncio

HOUR_SECONDS = 3_600.0
NOW = 1_800_000_000.0


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give a store of each kind, closed in the end."""
    opened = open_store(request.param, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def log(kafka: str, topic_prefix: str) -> Changelog:
    """Give a changelog that only this test has; the test creates it as it needs it."""
    return Changelog(kafka, f"{topic_prefix}changelog")


def ignore(position: int, end: int) -> None:
    """Take no notice of progress."""


async def bring(log: Changelog, store: Store, now: float = NOW) -> Restored:
    """Restore the store, within a bound."""
    return await asyncio.wait_for(
        restore(log.options, log.topic, 0, store, ignore, clock=lambda: now), timeout=60
    )


class TestEnd:
    """The end is a position, whatever the log closes with."""

    async def test_of_an_empty_log(self, log: Changelog, store: Store) -> None:
        """Nothing was ever written: nothing is read, and the store is complete."""
        await log.create()
        assert await bring(log, store) == Restored(0, 0, 0)
        assert (len(store), store.watermark, store.complete_at) == (0, None, NOW)

    async def test_of_a_log_that_closes_with_markers(self, log: Changelog, store: Store) -> None:
        """Committed records are read, an aborted transaction and the markers are passed over."""
        await log.create()
        await log.commit(
            {b"a": b"1", b"b": b"1", WATERMARK_KEY: watermark_value(4)},
            {b"a": b"2", b"b": None, WATERMARK_KEY: watermark_value(9)},
            {b"a": b"3", WATERMARK_KEY: watermark_value(12)},
            abort_last=True,
        )
        end = await log.end()
        assert end == 3 + 1 + 3 + 1 + 2 + 1
        assert await bring(log, store) == Restored(6, 0, end)
        assert dict(store.items()) == {b"a": b"2"}
        assert store.watermark == watermark(9)
        assert await bring(log, store, NOW + 1) == Restored(0, end, end)
        assert (store.position, store.complete_at) == (end, NOW + 1)

    async def test_of_a_log_whose_records_are_all_deleted(self, log: Changelog, store: Store) -> None:
        """The log begins where it ends: nothing is read, and reading goes on from there."""
        await log.create(cleanup_policy="compact,delete")
        await log.commit({b"a": b"1"})
        end = await log.end()
        await log.delete_before(end)
        assert await bring(log, store) == Restored(0, end, end)
        await log.write({b"a": b"2"})
        assert await bring(log, store) == Restored(1, end, end + 1)
        assert store.get(b"a") == b"2"

    async def test_reads_only_what_it_missed(self, log: Changelog, store: Store) -> None:
        """A second restore begins at the position that the first, or a batch of its own, has reached."""
        await log.create()
        last = await log.write({b"a": b"1", b"b": b"1"})
        assert (await bring(log, store)).records == 2
        last = await log.write({b"c": b"1"})
        store.apply({b"c": b"1"}, last + 1, NOW)
        await log.write({b"a": None, b"d": b"1"})
        assert await bring(log, store) == Restored(2, last + 1, last + 3)
        assert dict(store.items()) == {b"b": b"1", b"c": b"1", b"d": b"1"}

    async def test_waits_for_an_open_transaction(self, log: Changelog, store: Store) -> None:
        """Behind somebody's open transaction there may be committed records: the end is after them."""
        await log.create()
        async with log.writer("somebody") as somebody:
            await somebody.begin_transaction()
            await log.write({b"a": b"never"}, somebody)
            await log.commit({b"b": b"2"})
            restoring = asyncio.create_task(bring(log, store))
            done, _ = await asyncio.wait([restoring], timeout=1.5)
            assert not done, "it took the last stable offset for the end"
            await somebody.abort_transaction()
            await restoring
        assert dict(store.items()) == {b"b": b"2"}

    async def test_a_log_that_gives_nothing(
        self, log: Changelog, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """LogStalledError after a bound; the next try continues where this one stopped."""
        monkeypatch.setattr(module, "STALL_SECONDS_MAX", 1.0)
        await log.create()
        await log.write({b"a": b"1"})
        async with log.writer("somebody") as somebody:
            await somebody.begin_transaction()
            await log.write({b"b": b"2"}, somebody)
            with pytest.raises(LogStalledError, match=r"nothing comes for 1 s from .* at 1"):
                await bring(log, store)
            assert (store.position, store.get(b"a")) == (1, b"1")
            await somebody.commit_transaction()
        assert await bring(log, store) == Restored(1, 1, 3)
        assert dict(store.items()) == {b"a": b"1", b"b": b"2"}


class TestUnfit:
    """A store that cannot be right is cleared and read from the start; a warning names the reason."""

    async def test_ahead_of_the_log(self, log: Changelog, store: Store) -> None:
        """The log lost its end, or was created again: refused, and the store stays as it is."""
        await log.create()
        await log.write({b"a": b"1"})
        store.apply({b"a": b"9", b"b": b"9"}, 2, NOW)
        with pytest.raises(StateLostError, match="/0 ends at 1, the local store holds it up to 2"):
            await bring(log, store)
        assert dict(store.items()) == {b"a": b"9", b"b": b"9"}

    async def test_behind_the_start_of_the_log(
        self, log: Changelog, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What lies between its position and the log's start is unknown."""
        await log.create(cleanup_policy="compact,delete")
        await log.write({b"a": b"1", b"b": b"1", b"c": b"1"})
        await log.delete_before(2)
        store.apply({b"a": b"1"}, 1, NOW)
        assert await bring(log, store) == Restored(1, 2, 3)
        assert dict(store.items()) == {b"c": b"1"}
        assert "the log begins at 2, it is at 1" in caplog.text

    async def test_away_for_longer_than_tombstones_are_kept(
        self, log: Changelog, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A deletion may be gone from the log without a trace: only a full reading knows of it."""
        await log.create()
        store.apply({b"deleted long ago": b"1"}, 1, NOW - 25 * HOUR_SECONDS)
        await log.write({b"a": b"1", b"b": b"1"})
        assert await bring(log, store) == Restored(2, 0, 2)
        assert dict(store.items()) == {b"a": b"1", b"b": b"1"}
        assert "may miss deletions" in caplog.text

    @pytest.mark.parametrize("age", [22 * HOUR_SECONDS, -0.5 * HOUR_SECONDS])
    async def test_away_for_less(self, log: Changelog, store: Store, age: float) -> None:
        """Tombstones are still there, whichever clock is a little wrong."""
        await log.create()
        await log.write({b"a": b"1", b"b": b"1"})
        store.apply({b"a": b"1"}, 1, NOW - age)
        assert await bring(log, store) == Restored(1, 1, 2)

    async def test_from_the_future(self, log: Changelog, store: Store) -> None:
        """The age of a store is unknown after the clock was hours ahead."""
        await log.create()
        await log.write({b"a": b"1", b"b": b"1"})
        store.apply({b"x": b"1"}, 1, NOW + 2 * HOUR_SECONDS)
        assert await bring(log, store) == Restored(2, 0, 2)
        assert store.get(b"x") is None

    async def test_away_for_long_and_nothing_happened(self, log: Changelog, store: Store) -> None:
        """Nothing was written since, not even a watermark: the store is complete at any age."""
        await log.create()
        await log.commit({b"a": b"1", WATERMARK_KEY: watermark_value(1)})
        await bring(log, store, NOW - 100 * HOUR_SECONDS)
        store.apply({}, 2)  # as after a batch: the marker is still to be read
        assert await bring(log, store) == Restored(0, 2, 3)
        assert (store.get(b"a"), store.complete_at) == (b"1", NOW)

    async def test_an_interrupted_one_stays_as_old_as_it_is(
        self, log: Changelog, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its age counts from where the reading began, and the next one goes on in the middle."""
        monkeypatch.setattr(module, "SLICE_RECORDS_MAX", 10)
        await log.create()
        await log.write({b"key %d" % number: b"1" for number in range(100)})

        def kill(position: int, end: int) -> None:
            assert end == 100
            if position >= 30:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await restore(log.options, log.topic, 0, store, kill, clock=lambda: NOW)
        reached = store.position
        assert 30 <= reached < 100
        assert (store.complete_at, len(store)) == (NOW, reached)
        assert await bring(log, store, NOW + HOUR_SECONDS) == Restored(100 - reached, reached, 100)
        assert (len(store), store.complete_at) == (100, NOW + HOUR_SECONDS)

    async def test_damaged(self, log: Changelog, tmp_path: Path) -> None:
        """Damage that a read has found is healed by the log."""
        await log.create()
        await log.write({b"a": b"1", b"b": b"1"})
        store = open_store("rocksdb", tmp_path)
        await bring(log, store)
        store._failed(Exception("Corruption: block checksum mismatch"))  # type: ignore[attr-defined]
        with pytest.raises(StoreDamagedError):
            store.get(b"a")
        assert await bring(log, store) == Restored(2, 0, 2)
        assert (store.damage, store.get(b"a")) == (None, b"1")
        store.close()


class TestTurns:
    """Restoring is work for seconds; nobody else of the event loop waits for its end."""

    async def test_between_two_slices_others_have_their_turn(
        self, log: Changelog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many stores are being restored, one slice of one of them is all between two turns."""
        monkeypatch.setattr(module, "SLICE_RECORDS_MAX", 50)
        await log.create()
        await log.write({b"key %d" % number: bytes(100) for number in range(2_000)})
        turns = 0
        slices_at: list[int] = []

        class Watched(MemoryStore):
            def apply(self, changes: object, position: int, complete_at: float | None = None) -> None:
                super().apply(changes, position, complete_at)  # type: ignore[arg-type]
                if len(changes) > 1:  # type: ignore[arg-type]
                    slices_at.append(turns)

        async def somebody_else() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(somebody_else())
        stores = [Watched() for _ in range(6)]
        await asyncio.gather(*(bring(log, store) for store in stores))
        other.cancel()
        assert [len(store) for store in stores] == [2_000] * 6
        assert len(slices_at) >= 6 * 2_000 // 50
        assert len(slices_at) == len(set(slices_at)), "two slices without a turn between them"
