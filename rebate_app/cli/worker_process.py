"""Run one worker as a child process: start it, wait until it is ready, end it.

Waiting ends with CommandError as soon as the worker dies, with its exit code and the last lines of its log.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from rebate_app.data_folder import make_private
from rebate_app.settings import EXIT_SOFTWARE, EXIT_TRY_AGAIN, Settings

from .exits import CommandError

READY_SECONDS_MAX = 120.0
POLL_SECONDS = 0.2
ANSWER_SECONDS_MAX = 2.0
#: A worker drains and ends within 10 s; after this it is killed.
STOP_SECONDS_MAX = 12.0
LAST_LINES = 20


class WorkerProcess:
    """A `faust worker` of this checkout; its output goes to a log file. `more`: further settings."""

    def __init__(self, settings: Settings, log: Path, more: Mapping[str, str] | None = None) -> None:
        make_private(log.parent)
        self.log = log
        self._url = f"http://{settings.web_host}:{settings.web_port}"
        environment = os.environ | {"REBATE_BROKER": settings.broker} | dict(more or {})
        with log.open("wb") as output:
            # A session of its own: Ctrl-C reaches only us, and the worker ends before the broker.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "faust", "-A", "rebate_app", "worker", "-l", "info"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def check_alive(self) -> None:
        """Raise CommandError with exit code and last log lines if it has ended."""
        code = self._process.poll()
        if code is None:
            return
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise CommandError(
            f"The worker {ended}. Its last lines, of {self.log}:\n{self._last_lines()}",
            code if code > 0 else EXIT_SOFTWARE,
        )

    def wait_ready(self) -> None:
        """Return once /readyz answers 200; CommandError after READY_SECONDS_MAX."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        answer = "nothing yet"
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                with urllib.request.urlopen(f"{self._url}/readyz", timeout=ANSWER_SECONDS_MAX):  # noqa: S310 - our own URL
                    return
            except urllib.error.HTTPError as error:
                with error:
                    answer = error.read().decode(errors="replace").strip()
            except OSError:
                pass
            time.sleep(POLL_SECONDS)
        raise CommandError(
            f"The worker is not ready after {READY_SECONDS_MAX:g} s; it says: {answer}. See {self.log}.",
            EXIT_TRY_AGAIN,
        )

    def stop(self) -> None:
        """End it: in order, or by force if it takes too long."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS_MAX)

    def _last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LAST_LINES:]) or "  (it said nothing)"
