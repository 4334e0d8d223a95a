"""A process that outlives the one that started it, and is never mistaken for another.

A process id is used again sooner or later. So the pid file keeps beside it the moment at which the
process began, as the kernel counts it, and a signal is sent only where both are right.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

POLL_SECONDS = 0.05
KILL_SECONDS_MAX = 10.0
_PROC = Path("/proc")


@dataclass(frozen=True)
class Running:
    """A process of ours as its pid file describes it, and the port on which it listens."""

    pid: int
    birth: str
    port: int

    def alive(self) -> bool:
        """Say whether this very process is still there; one that only waits to be reaped is not."""
        return birth(self.pid) == self.birth


def birth(pid: int) -> str | None:
    """Return the start of process `pid`, as a text unique to it; None if it is not alive."""
    if not (_PROC / "self" / "stat").exists():
        return _birth_by_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # pid (name) state ppid ...: a name can hold anything, also spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    state, threads, started_ticks = fields[0], int(fields[17]), fields[19]
    # The first thread of a killed process can be gone while others still hold its files and ports.
    gone = state == "X" or (state == "Z" and threads <= 1)
    return None if gone else f"{boot}/{started_ticks}"


def _birth_by_ps(pid: int) -> str | None:
    """As `birth`, for systems without /proc (macOS)."""
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    ps = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    state, _, started = ps.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def spawn(command: Sequence[str], *, output: Path, port: int) -> Running:
    """Start `command` in a session of its own, its output appended to the file `output`.

    Ctrl-C at our terminal does not reach it and nothing of ours stays open in it: whoever starts it
    has to end it. A thread waits for its end, so that it never stays behind as a zombie of ours.
    """
    with output.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    began = birth(process.pid) or "ended at once"
    threading.Thread(target=process.wait, name=f"reaper-{process.pid}", daemon=True).start()
    return Running(pid=process.pid, birth=began, port=port)


def end(running: Running, *, term_seconds_max: float) -> None:
    """End the process: SIGTERM, and SIGKILL if it is still there after `term_seconds_max`."""
    for number, seconds_max in ((signal.SIGTERM, term_seconds_max), (signal.SIGKILL, KILL_SECONDS_MAX)):
        if running.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, number)
        deadline = time.monotonic() + seconds_max
        while running.alive() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def write_pid_file(path: Path, running: Running) -> None:
    """Write the pid file, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(running)) + "\n", encoding="utf-8")
    part.replace(path)


def read_pid_file(path: Path) -> Running | None:
    """Return the live process that the pid file names; None if there is none, or it died."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        running = Running(pid=int(document["pid"]), birth=str(document["birth"]), port=int(document["port"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return running if running.alive() else None
