"""Ends what the demonstration started, when the demonstration itself is killed and cannot.

Law: no process outlives `make run`, however that ended. The guardian is a process of its own that waits
for the end of its input, which comes when we end, whatever ended us; a last word says that all is well.
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
    """Our side of it: what it has to end if we are killed, and the word that there is nothing to do."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rebate_app.cli.guardian"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch_process(self, pid: int) -> None:
        """Have a process ended with us; later ones are ended first."""
        self._say({"pid": pid, "birth": birth(pid) or "ended at once"})

    def watch_broker(self, data_dir: Path) -> None:
        """Have the broker of a folder ended with us, after the processes."""
        self._say({"broker": str(data_dir)})

    def dismiss(self) -> None:
        """Send it home: everything was ended in order."""
        with contextlib.suppress(OSError):
            self._say({"done": True})
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.communicate(timeout=DISMISS_SECONDS_MAX)

    def _say(self, order: dict[str, object]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()


def keep_watch(orders: Iterable[bytes]) -> None:
    """Read orders until they end, then end what they name, newest first, unless they say that all is done."""
    watched = [json.loads(line) for line in orders]
    if watched and "done" in watched[-1]:
        return
    for order in reversed(watched):
        if "pid" in order:
            end(Running(order["pid"], order["birth"], port=0), term_seconds_max=TERM_SECONDS_MAX)
    for order in watched:
        if "broker" in order:
            LocalKafka(Path(order["broker"])).stop()


if __name__ == "__main__":
    keep_watch(sys.stdin.buffer)
