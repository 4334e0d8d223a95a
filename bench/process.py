"""Processes of contenders: started, looked at in /proc, and always ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CHECKOUT = Path(__file__).parents[1]
STOP_SECONDS_MAX = 15.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return the processor time (user and system) that a process has used, its threads included."""
    fields = (
        Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    )
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def open_files(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - no paths are needed


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; those that go away meanwhile count nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118 - walks fast
            except FileNotFoundError:
                continue
    return total


class Process:
    """One process with its log; leaving the block ends it, however it is left."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                list(command),
                cwd=CHECKOUT,
                env=dict(os.environ) | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.process.pid

    def check(self) -> None:
        """Raise when it has ended, with the end of its log."""
        code = self.process.poll()
        if code is not None:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-2_000:]
            raise RuntimeError(f"{self.process.args!r} ended with {code}:\n{tail}")

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        return cpu_seconds(self.pid)

    def stop(self) -> None:
        """End it in order, by force when it takes too long."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
