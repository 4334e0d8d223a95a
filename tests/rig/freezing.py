"""Freezing a process for good: the signal is sent at once, but each thread stops when it next gets a core.

On a busy machine that is some milliseconds later, in which a broker can still answer.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.rig.waiting import wait_for

FREEZE_SECONDS_MAX = 10.0
STOPPED_OR_ENDED = "TZX"


def is_frozen(pid: int) -> bool:
    """Whether all threads of a process are stopped (state T in their statuses), or have ended."""
    return all(_is_stopped(thread) for thread in Path(f"/proc/{pid}/task").iterdir())


def freeze(pid: int) -> None:
    """Send SIGSTOP and return once nothing of the process runs; AssertionError when that takes too long.

    It blocks the caller, event loop and all, so that what comes next in it finds the process frozen.
    """
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: is_frozen(pid), FREEZE_SECONDS_MAX, f"process {pid} is frozen")


def _is_stopped(thread: Path) -> bool:
    try:
        status = (thread / "status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return any(f"State:\t{letter}" in status for letter in STOPPED_OR_ENDED)
