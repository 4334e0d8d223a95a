"""One checkout of the product, used from outside only: its commands, its environment and its HTTP.

It imports nothing of the product, so the same code drives another version in another checkout, and the
modules of both may be renamed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.rig.waiting import wait_for

PARTITIONS = "4"
COMMAND_SECONDS_MAX = 300.0
READY_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 60.0
HTTP_SECONDS_MAX = 30.0
PORTS_TRIED_MAX = 5


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Product:
    """The commands and workers of one checkout, all with the same broker, rules and store.

    `python` is the interpreter of the checkout's virtual environment.
    """

    def __init__(self, checkout: Path, python: Path, folder: Path, *, store: str, jars: Path) -> None:
        self.folder = folder
        self._checkout = checkout
        self._python = python
        self._jars = jars
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("REBATE_") and name != "PYTHONPATH"
        } | {
            "REBATE_STORE": store,
            "REBATE_PARTITIONS": PARTITIONS,
            "REBATE_RULES": str(folder / "rules"),
            "REBATE_DATADIR": str(folder / "worker"),
        }

    @property
    def broker_folder(self) -> Path:
        """The data folder of the local broker."""
        return self.folder / "broker"

    @property
    def address(self) -> str:
        """The bootstrap address of the broker that runs."""
        return self._environment["REBATE_BROKER"]

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Run `rebate` with these arguments and return its stdout; its exit code has to be `expect`."""
        done = subprocess.run(
            [str(self._python.parent / "rebate"), *arguments],
            cwd=self._checkout,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == expect, (
            f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        )
        return done.stdout

    @contextmanager
    def broker(self) -> Iterator[None]:
        """Run the local broker on a free port within the block."""
        self._start_broker()
        try:
            yield
        finally:
            self.run("broker", "stop", "--data", str(self.broker_folder))

    def _start_broker(self) -> None:
        options = ("--data", str(self.broker_folder), "--jars", str(self._jars), "--json")
        for attempt in range(1, PORTS_TRIED_MAX + 1):
            try:
                started = json.loads(self.run("broker", "start", "--port", str(free_port()), *options))
            except AssertionError as error:
                if attempt == PORTS_TRIED_MAX or "is taken" not in str(error):
                    raise
            else:
                self._environment["REBATE_BROKER"] = started["address"]
                return

    @contextmanager
    def worker(self, app: str = "rebate_app", **environment: str) -> Iterator[Worker]:
        """Run a worker within the block, wait until it is ready, and end it with SIGTERM and exit code 0."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        own = self._environment | {"REBATE_WEB_PORT": str(port)} | environment
        self._environment["REBATE_URL"] = url
        log = self.folder / "worker.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(self._python), "-m", "faust", "-A", app, "worker", "-l", "info"],
                cwd=self._checkout,
                env=own,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        worker = Worker(process, url, log)
        try:
            wait_for(worker.ready, READY_SECONDS_MAX, f"worker ready, see {log}")
            yield worker
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS_MAX) == 0, worker.log_tail()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


class Worker:
    """A worker process that runs, and its HTTP interface."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self._process = process
        self._url = url
        self._log = log

    def log_text(self) -> str:
        """Return the log of this process."""
        return self._log.read_text(errors="replace")

    def log_tail(self) -> str:
        """Return the end of the log, for messages."""
        return self.log_text()[-3_000:]

    def ready(self) -> bool:
        """Whether /readyz answers 200; AssertionError when the process has ended."""
        code = self._process.poll()
        assert code is None, f"worker ended with {code}:\n{self.log_tail()}"
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=1) as response:  # noqa: S310
                return bool(response.status == 200)
        except OSError:
            return False

    def get(self, path: str, **query: str) -> Any:
        """Return the JSON of a resource; any status but 200 is an error."""
        url = f"{self._url}{path}" + (f"?{urlencode(query)}" if query else "")
        with urllib.request.urlopen(url, timeout=HTTP_SECONDS_MAX) as response:  # noqa: S310
            return json.loads(response.read())

    def pages(self, path: str, **query: str) -> list[Any]:
        """Return the items of all pages of a list."""
        items: list[Any] = []
        page = self.get(path, **query)
        while True:
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            page = self.get(path, cursor=page["next_cursor"], **query)


def part(text: str) -> str:
    """Return `text` as one part of a path."""
    return quote(text, safe="")


def this_checkout() -> tuple[Path, Path]:
    """Return the folder of this checkout and the interpreter that runs now."""
    return Path(__file__).parents[2], Path(sys.executable)
