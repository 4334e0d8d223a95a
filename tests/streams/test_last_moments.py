"""The end of a worker's event loop: when nothing is left in it, or after a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

import rebate_app.worker as module
from rebate_app.worker import RebateWorker

WORKER = cast("RebateWorker", SimpleNamespace())


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop in which nothing is left after the test."""
    with asyncio.Runner() as runner:
        yield runner.get_loop()


def begin(loop: asyncio.AbstractEventLoop, do: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
    """Return a task that has begun."""

    async def run() -> asyncio.Task[None]:
        task = asyncio.ensure_future(do())
        await asyncio.sleep(0)
        return task

    return loop.run_until_complete(run())


def test_nothing_left_is_not_waited_for(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was closed is told in the next round, and that is all."""
    told: list[bool] = []

    async def waits(*_arguments: object, **_options: object) -> None:
        pytest.fail("it waits")

    monkeypatch.setattr(asyncio, "wait", waits)
    loop.call_soon(told.append, True)
    loop.run_until_complete(RebateWorker._sentinel_task(WORKER))
    assert told == [True]


def test_what_was_cancelled_comes_to_its_end(loop: asyncio.AbstractEventLoop) -> None:
    """A task that has to put something away is waited for."""
    ended: list[str] = []

    async def put_away_late() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            ended.append("put away")

    begin(loop, put_away_late).cancel()
    loop.run_until_complete(RebateWorker._sentinel_task(WORKER))
    assert ended == ["put away"]


def test_what_does_not_end_is_left(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is bounded."""
    monkeypatch.setattr(module, "LAST_SECONDS_MAX", 0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    task = begin(loop, hang)
    loop.run_until_complete(RebateWorker._sentinel_task(WORKER))
    assert not task.done()
