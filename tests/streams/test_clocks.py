"""Stall detection, restore progress and back-off: everything that depends on a clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from rebate_app.settings import EXIT_TRY_AGAIN, load_settings
from rebate_app.streams.errors import BrokerGoneError, StreamsError, StuckError
from rebate_app.streams.faust.consumer_health import task_gone
from rebate_app.streams.state.restore_progress import LOG_INTERVAL_SECONDS, RestoreProgress
from rebate_app.streams.state.store import MemoryStore
from rebate_app.streams.task import manager as module
from rebate_app.streams.task.backoff import Backoff, StallDetector
from rebate_app.streams.task.manager import TaskManager
from rebate_app.streams.task.task import RUNNING, StreamTask
from tests.streams.small_stage import SmallStage


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the moment."""
        return self.now


class TestStallDetector:
    """The watchdog's clock."""

    def test_it_runs_only_while_there_is_work_and_nothing_moves(self) -> None:
        """Progress sets it back, and without work it stands still."""
        clock = Clock()
        still = StallDetector(clock)
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
        """Unknown at first; logged every few seconds; the next restore begins anew."""
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
        clock.now += LOG_INTERVAL_SECONDS
        progress.note(2_000, 5_000)
        assert progress.seconds_left == 3 * LOG_INTERVAL_SECONDS
        assert caplog.messages == ["restoring accounts/1 at 2000 of 5000, 15 s left"]
        progress.note(5_000, 5_000)
        assert (progress.seconds_left, progress.remaining) == (0, 0)
        progress.begin()
        assert progress.seconds_left is None


class TestBackoff:
    """Failures in a row."""

    def test_past_the_limit_it_is_over(self) -> None:
        """The error names the last failure; a success in between resets the limit."""

        async def work() -> None:
            backoff = Backoff(0.05)
            await backoff.wait(OSError("first"))
            backoff.restart()
            await backoff.wait(OSError("second"))
            with pytest.raises(BrokerGoneError, match="third") as gone:
                await backoff.wait(OSError("third"))
            assert gone.value.exit_code == EXIT_TRY_AGAIN

        asyncio.run(work())


Work = Callable[[TaskManager, StreamTask, "asyncio.Future[StreamsError]"], Awaitable[None]]


class Thread:
    """Both parts of a consumer whose fetcher is stuck: the end moves, and nothing comes."""

    def coordination_error(self) -> None:
        """Return None: the group is well."""

    gone: str | None = None

    def task_gone(self) -> str | None:
        """Return the name of a task of aiokafka's that has ended, None while all run."""
        return self.gone

    def stable_end(self, topic: str, partition: int) -> int:
        """Return an end beyond what was read."""
        del topic, partition
        return 10


class TestWatchdog:
    """A partition that has work and makes no progress."""

    def test_it_ends_the_worker_to_be_started_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """75 after a while without progress (faust issue 629); one that waits to be opened is left alone."""
        monkeypatch.setattr(module, "STUCK_SECONDS_MAX", 0.2)

        async def work(
            tasks: TaskManager, partition: StreamTask, ended: asyncio.Future[StreamsError]
        ) -> None:
            await asyncio.wait([ended], timeout=0.5)
            assert not ended.done(), "it waits to be opened"
            partition._become(RUNNING)

        assert "adding/0 has work and made no progress" in str(self._end_of(work, monkeypatch))

    def test_a_partition_that_hangs_while_it_is_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """75 after a while; an attempt that fails is progress, so a broker that is away is waited for."""
        monkeypatch.setattr(module, "OPENING_STUCK_SECONDS_MAX", 0.3)
        failing = True

        async def work(
            tasks: TaskManager, partition: StreamTask, ended: asyncio.Future[StreamsError]
        ) -> None:
            async def fence(_fault: object) -> None:
                if failing:
                    raise OSError("away")
                await asyncio.Event().wait()

            async def wait(_error: object) -> None:
                await asyncio.sleep(0.05)

            nonlocal failing
            monkeypatch.setattr(Backoff, "wait", lambda _, error: wait(error))
            monkeypatch.setattr(partition._producers, "fence", fence)
            opening = asyncio.ensure_future(partition.open_until_deadline())
            await asyncio.wait([ended], timeout=1.0)
            assert not ended.done(), "attempts fail one after the other"
            failing = False
            await ended
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

        assert "adding/0 is being opened and made no progress" in str(self._end_of(work, monkeypatch))

    def test_a_partition_whose_task_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """75 at once: nothing processes its batches, whatever its state is."""

        async def work(
            tasks: TaskManager, partition: StreamTask, ended: asyncio.Future[StreamsError]
        ) -> None:
            partition._become(RUNNING)
            partition._task = asyncio.ensure_future(asyncio.sleep(0))

        assert "the task of adding/0 has ended by itself" in str(self._end_of(work, monkeypatch))

    def test_a_takeover_that_hangs_before_anything_is_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """75 after a while without progress."""
        monkeypatch.setattr(module, "OPENING_STUCK_SECONDS_MAX", 0.3)

        async def work(
            tasks: TaskManager, partition: StreamTask, ended: asyncio.Future[StreamsError]
        ) -> None:
            monkeypatch.setattr(partition, "stop", asyncio.Event().wait)
            taking_over = asyncio.ensure_future(tasks.take_over({("p-source", 0)}))
            await ended
            taking_over.cancel()
            await asyncio.gather(taking_over, return_exceptions=True)

        assert "taking partitions over has made no progress" in str(self._end_of(work, monkeypatch))

    def test_a_task_of_the_consumer_that_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """75 at once: nothing would ever be fetched again."""
        monkeypatch.setattr(Thread, "gone", "fetching")

        async def work(
            tasks: TaskManager, partition: StreamTask, ended: asyncio.Future[StreamsError]
        ) -> None:
            await ended

        assert "the consumer's fetching has ended by itself" in str(self._end_of(work, monkeypatch))

    def _end_of(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> StreamsError:
        """Return the error with which the watchdog ends the worker while the work is done."""
        monkeypatch.setattr(module, "WATCH_EVERY_SECONDS", 0.02)

        async def whole() -> StreamsError:
            ended: asyncio.Future[StreamsError] = asyncio.get_running_loop().create_future()
            stage = SmallStage("p-")
            tasks = TaskManager(
                load_settings({"REBATE_PARTITIONS": "1"}),
                {},
                [stage],
                fatal=lambda error: None if ended.done() else ended.set_result(error),
                consumer_thread=Thread,  # type: ignore[arg-type]
                fetcher=Thread,  # type: ignore[arg-type]
            )
            partition = StreamTask(stage, 0, MemoryStore(), tasks)
            tasks.partitions[stage.source, 0] = partition
            watching = asyncio.ensure_future(tasks.watch())
            async with asyncio.timeout(10):
                await work(tasks, partition, ended)
                error = await ended
            watching.cancel()
            return error

        error = asyncio.run(whole())
        assert isinstance(error, StuckError)
        assert error.exit_code == EXIT_TRY_AGAIN
        return error


class TestTaskGone:
    """aiokafka's own tasks, each of which can end without a log line."""

    @pytest.mark.parametrize("gone", [None, "coordination", "fetching", "metadata", "heartbeat"])
    @pytest.mark.parametrize(
        ("closed", "silent", "member"),
        [(False, True, "m"), (False, True, ""), (False, False, "m"), (True, True, "m")],
    )
    def test_it_is_named_while_the_consumer_is_open(
        self, gone: str | None, *, closed: bool, silent: bool, member: str
    ) -> None:
        """The heartbeat only of a member, when none has succeeded for long: before it joins there is none."""

        def task(name: str) -> SimpleNamespace:
            return SimpleNamespace(done=lambda: name == gone)

        coordinator = SimpleNamespace(
            _coordination_task=task("coordination"), _heartbeat_task=task("heartbeat"), member_id=member
        )
        consumer = SimpleNamespace(
            _closed=closed,
            _coordinator=coordinator,
            _fetcher=SimpleNamespace(_fetch_task=task("fetching")),
            _client=SimpleNamespace(_sync_task=task("metadata")),
        )
        expected = None if closed or (gone == "heartbeat" and not (silent and member)) else gone
        assert task_gone(consumer, with_heartbeat=silent) == expected
