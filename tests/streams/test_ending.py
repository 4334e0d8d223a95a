"""How a worker ends that has to (worker.py): with the error's exit code, whatever Faust does meanwhile."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

import rebate_app.worker as module
from rebate_app.settings import EXIT_CONFIGURATION, EXIT_TRY_AGAIN
from rebate_app.worker import RebateWorkerApp
from tests.kafka_fixture import CHECKOUT

pytestmark = pytest.mark.asyncio


class ExitCodes:
    """Stands for the process: remembers the code with which it was left."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def leave(self, code: int) -> None:
        """Remember the code."""
        self.codes.append(code)


class HangingThread:
    """A consumer that does not come to an end, as one whose broker takes its time to let it go."""

    def __init__(self) -> None:
        self.called = asyncio.Event()

    async def run_with_consumer(self, do: Any) -> None:
        """Never return."""
        del do
        self.called.set()
        await asyncio.Event().wait()


class IdleTaskManager:
    """An engine with nothing to drop."""

    def __init__(self) -> None:
        self.thread = HangingThread()

    async def suspend(self) -> None:
        """Return at once."""


async def test_what_cancels_the_ending_does_not_change_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust takes the end of its consumer for a crash and cancels everything: the code is still ours."""
    exit_codes, tasks = ExitCodes(), IdleTaskManager()
    monkeypatch.setattr(module, "leave", exit_codes.leave)
    app = cast("RebateWorkerApp", SimpleNamespace(tasks=tasks))
    ending = asyncio.create_task(RebateWorkerApp._end(app, EXIT_CONFIGURATION))
    await asyncio.wait_for(tasks.thread.called.wait(), 5)
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    assert exit_codes.codes == [EXIT_CONFIGURATION]


async def test_what_did_not_end_in_time_is_named() -> None:
    """A worker that cannot stop in order says which of its tasks goes on, and where its threads are."""
    script = (
        "import asyncio, logging\n"
        "from rebate_app.worker import _leave_after\n"
        "async def hang() -> None:\n"
        "    await asyncio.Event().wait()\n"
        "async def run() -> None:\n"
        "    task = asyncio.create_task(hang(), name='the one that hangs')\n"
        "    _leave_after(0.1, 75)\n"
        "    await task\n"
        "logging.basicConfig(force=True)\n"
        "asyncio.run(run())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE, cwd=CHECKOUT
    )
    _, output = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == EXIT_TRY_AGAIN
    assert b"did not end within 0.1 s; not ended: " in output
    assert b"the one that hangs" in output
    assert b"most recent call first" in output
