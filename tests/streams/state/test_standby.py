"""What a standby shows: states that the owner has committed, and nothing in between."""

from __future__ import annotations

import asyncio

import pytest

from rebate_app.streams.errors import StreamsError
from rebate_app.streams.state.standby import StandbyTask, StandbyTasks
from rebate_app.streams.state.store import WATERMARK_KEY, MemoryStore, Watermark, encode_watermark
from tests.rig.waiting import wait_for
from tests.streams.small_stage import SmallStage
from tests.streams.state.changelogs import Changelog
from tests.topology_driver import LogRecord

STAGE = SmallStage("p-")
SECONDS_MAX = 120.0


def fail(error: StreamsError) -> None:
    """Fail: nothing may end the worker here."""
    pytest.fail(str(error))


def mark(offset: int) -> bytes:
    """Return a watermark as the changelog has it."""
    return encode_watermark(Watermark(offset, STAGE.source, 1))


def record(offset: int, key: bytes, value: bytes) -> LogRecord:
    """Return a changelog record."""
    return LogRecord(STAGE.changelog, 0, offset, 1_000, key, value)


class TestStandby:
    """One partition that is followed."""

    def test_a_chunk_is_shown_with_its_watermark(self) -> None:
        """Half of a batch is kept back, however it is cut up by fetches."""
        standby = StandbyTask(STAGE, 0, MemoryStore())
        standby.take([record(0, b"a", b"1")])
        standby.take([record(1, b"b", b"1")])
        assert (standby.whole, standby.store.get(b"a"), standby.store.position) == (False, None, 0)
        standby.take([record(2, WATERMARK_KEY, mark(7)), record(4, b"a", b"2")])
        assert (standby.whole, standby.store.get(b"a"), standby.store.position) == (True, b"1", 3)

    def test_what_waited_before_it_began_again_does_not_come_back(self) -> None:
        """Restoring has read newer values since: the old ones must not be laid over them."""
        standby = StandbyTask(STAGE, 0, MemoryStore())
        standby.take([record(0, b"a", b"old")])
        standby.restart()
        standby.store.apply({b"a": b"new", WATERMARK_KEY: mark(9)}, 6)
        standby.take([record(6, b"b", b"1"), record(7, WATERMARK_KEY, mark(12))])
        assert standby.store.get(b"a") == b"new"

    def test_after_restoring_it_shows_itself_at_the_next_watermark_or_at_the_end(self) -> None:
        """Restoring may end in the midst of a batch."""
        standby = StandbyTask(STAGE, 0, MemoryStore())
        standby.restart()
        standby.store.apply({b"half": b"1"}, 3)
        assert not standby.whole
        standby.take([record(3, b"other half", b"1")])
        standby.caught_up(1.0)
        assert not standby.whole
        standby.take([record(4, WATERMARK_KEY, mark(9))])
        assert standby.whole
        standby.restart()
        standby.caught_up(2.0)
        assert standby.whole


class TestStandbys:
    """All that a worker follows, on a real Kafka."""

    def test_a_log_is_followed_and_handed_over(self, kafka: str, topic_prefix: str) -> None:
        """What is there is read, what comes is shown, and the store is given to who takes over."""
        stage = SmallStage(topic_prefix)
        log = Changelog(kafka, stage.changelog)
        key = (stage.source, 0)

        async def work() -> None:
            await stage.create(kafka)
            await Changelog(kafka, stage.source).create()
            await log.commit({b"a": b"1", WATERMARK_KEY: mark(1)})
            standbys = StandbyTasks(log.options, lambda *_: MemoryStore(), fail)
            standbys.follow({stage.source: stage}, {key}, {})
            standby = standbys.followed[key]
            await asyncio.to_thread(wait_for, lambda: standby.whole, SECONDS_MAX, "it is whole")
            assert standby.store.get(b"a") == b"1"
            await log.commit({b"a": b"2", WATERMARK_KEY: mark(2)})
            await asyncio.to_thread(wait_for, lambda: standby.store.get(b"a") == b"2", SECONDS_MAX, "a is 2")
            await standbys.stop()
            assert await standbys.hand_over(key) is standby.store
            assert await standbys.hand_over(key) is None

        asyncio.run(work())
