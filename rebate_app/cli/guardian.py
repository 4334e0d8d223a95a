"""End the processes of the demonstration if the demonstration itself is killed.

No process outlives `make run`. The guardian is a process of its own that reads commands from its standard
input until that ends, which happens however its parent ends; the command `done` leaves it nothing to do.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from rebate_app.broker import LocalKafka
from rebate_app.broker.process import Running, birth, end

TERM_SECONDS_MAX = 12.0
DISMISS_SECONDS_MAX = 60.0


class Guardian:
    """The parent's side: names the processes to end if the parent is killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rebate_app.cli.guardian"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch_process(self, pid: int) -> None:
        """Have a process ended with the parent; later ones are ended first."""
        self._send({"pid": pid, "birth": birth(pid) or "ended at once"})

    def watch_broker(self, data_dir: Path) -> None:
        """Have the broker of a folder ended with the parent, after the processes."""
        self._send({"broker": str(data_dir)})

    def dismiss(self) -> None:
        """End the guardian: all processes were ended in order."""
        with contextlib.suppress(OSError):
            self._send({"done": True})
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.communicate(timeout=DISMISS_SECONDS_MAX)

    def _send(self, command: dict[str, object]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe, see above
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()


def keep_watch(commands: Iterable[bytes]) -> None:
    """Read commands to their end; then end the named processes, newest first, unless the last is `done`."""
    watched = [json.loads(line) for line in commands]
    if watched and "done" in watched[-1]:
        return
    for command in reversed(watched):
        if "pid" in command:
            end(Running(command["pid"], command["birth"], port=0), term_seconds_max=TERM_SECONDS_MAX)
    for command in watched:
        if "broker" in command:
            LocalKafka(Path(command["broker"])).stop()


if __name__ == "__main__":
    keep_watch(sys.stdin.buffer)
