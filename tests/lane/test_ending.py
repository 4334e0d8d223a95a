"""How a worker ends that has to (worker.py): with the error's exit code, whatever Faust does meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

import rebate_app.worker as module
from rebate_app.settings import EXIT_CONFIGURATION
from rebate_app.worker import RebateWorkerApp

pytestmark = pytest.mark.asyncio


class Ways:
    """Stands for the process: remembers the code with which it was left."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def leave(self, code: int) -> None:
        """Remember the code."""
        self.codes.append(code)


class HangingThread:
    """A consumer that does not come to an end, as one whose broker takes its time to let it go."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def ask(self, do: Any) -> None:
        """Never return."""
        del do
        self.asked.set()
        await asyncio.Event().wait()


class QuietLane:
    """A lane that has nothing to drop."""

    def __init__(self) -> None:
        self.thread = HangingThread()

    async def suspend(self) -> None:
        """Return at once."""


async def test_what_cancels_the_ending_does_not_change_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust takes the end of its consumer for a crash and cancels everything: the code is still ours."""
    ways, lane = Ways(), QuietLane()
    monkeypatch.setattr(module, "leave", ways.leave)
    app = cast("RebateWorkerApp", SimpleNamespace(lane=lane))
    ending = asyncio.create_task(RebateWorkerApp._end(app, EXIT_CONFIGURATION, 0.0))
    await asyncio.wait_for(lane.thread.asked.wait(), 5)
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    assert ways.codes == [EXIT_CONFIGURATION]
