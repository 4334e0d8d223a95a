"""What runs by a clock: how long nothing has moved, how long restoring will take, how long we bear it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from rebate_app.lane import lane as module
from rebate_app.lane.failures import BrokerGoneError, LaneError, StuckError
from rebate_app.lane.lane import Lane
from rebate_app.lane.partition import RUNNING, PartitionLane
from rebate_app.lane.patience import Patience, Standstill
from rebate_app.lane.restoring import LOG_EVERY_S, RestoreProgress
from rebate_app.lane.store import MemoryStore
from rebate_app.settings import EXIT_TRY_AGAIN, load_settings

from .small_stage import SmallStage


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the moment."""
        return self.now


class TestStandstill:
    """The watchdog's clock."""

    def test_it_runs_only_while_there_is_work_and_nothing_moves(self) -> None:
        """Progress sets it back, and without work it stands still."""
        clock = Clock()
        still = Standstill(clock)
        clock.now += 5
        assert still.seconds(1, has_work=True) == 0
        clock.now += 5
        assert still.seconds(1, has_work=True) == 5
        assert still.seconds(2, has_work=True) == 0
        clock.now += 5
        assert still.seconds(2, has_work=False) == 0
        clock.now += 3
        assert still.seconds(2, has_work=True) == 3


class TestRestoreProgress:
    """Position, end and time left."""

    def test_time_left_is_by_the_rate_until_now(self, caplog: pytest.LogCaptureFixture) -> None:
        """Unknown at first; said in the log every few seconds; another restoring begins anew."""
        caplog.set_level(logging.INFO)
        clock = Clock()
        progress = RestoreProgress("accounts/1", clock)
        assert (progress.seconds_left, progress.remaining, str(progress)) == (
            None,
            0,
            "accounts/1 at 0 of 0",
        )
        progress.note(1_000, 5_000)
        assert progress.seconds_left is None
        clock.now += LOG_EVERY_S
        progress.note(2_000, 5_000)
        assert progress.seconds_left == 3 * LOG_EVERY_S
        assert caplog.messages == ["restoring accounts/1 at 2000 of 5000, 15 s left"]
        progress.note(5_000, 5_000)
        assert (progress.seconds_left, progress.remaining) == (0, 0)
        progress.begin()
        assert progress.seconds_left is None


class TestPatience:
    """Failures in a row."""

    def test_past_the_limit_it_is_over(self) -> None:
        """The error says what it was that failed; a success in between sets it back."""

        async def work() -> None:
            patience = Patience(0.05)
            await patience.bear(OSError("first"))
            patience.restart()
            await patience.bear(OSError("second"))
            with pytest.raises(BrokerGoneError, match="third") as gone:
                await patience.bear(OSError("third"))
            assert gone.value.exit_code == EXIT_TRY_AGAIN

        asyncio.run(work())


class Thread:
    """A consumer whose fetcher is stuck: the end moves, and nothing comes."""

    def coordination_error(self) -> None:
        """Return None: the group is well."""

    def stable_end(self, topic: str, partition: int) -> int:
        """Return an end beyond what was read."""
        del topic, partition
        return 10


class TestWatchdog:
    """A partition that has work and makes no progress."""

    def test_it_ends_the_worker_to_be_started_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """75 after a while without progress (faust issue 629); an opening partition is left alone."""
        monkeypatch.setattr(module, "STUCK_S", 0.2)
        monkeypatch.setattr(module, "WATCH_EVERY_S", 0.02)

        async def work() -> None:
            ended: asyncio.Future[LaneError] = asyncio.get_running_loop().create_future()
            stage = SmallStage("p-")
            lane = Lane(
                load_settings({"REBATE_PARTITIONS": "1"}),
                {},
                [stage],
                fatal=lambda error: None if ended.done() else ended.set_result(error),
            )
            lane.use_thread(Thread)  # type: ignore[arg-type]
            partition = PartitionLane(stage, 0, MemoryStore(), lane)
            lane.partitions[stage.source, 0] = partition
            watching = asyncio.ensure_future(lane.watch())
            await asyncio.wait([ended], timeout=0.5)
            assert not ended.done(), "it is still being opened"
            partition.state = RUNNING
            error = await asyncio.wait_for(ended, 10)
            assert isinstance(error, StuckError)
            assert "adding/0 has work and made no progress" in str(error)
            watching.cancel()

        asyncio.run(work())
