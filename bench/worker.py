"""Run our own worker for the rows about the product: start, wait until ready, request, end."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any

from bench.contenders import PRODUCT, our_command
from bench.place import Run
from bench.process import Process

READY_SECONDS_MAX = 120.0
POLL_S = 0.01
OK = 200


class OurWorker(Process):
    """One worker of ours."""

    def __init__(
        self,
        run: Run,
        *,
        app: str = PRODUCT,
        store: str = "memory",
        number: int = 0,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        command, environment = our_command(run, app, store, number, **(settings or {}))
        self.port = int(environment["REBATE_WEB_PORT"])
        self.url = f"http://127.0.0.1:{self.port}"
        self.started_at = time.monotonic()
        super().__init__(command, run.folder / f"worker-{number}.log", environment)

    def ask(self, path: str, seconds_max: float = 10.0) -> tuple[int, bytes]:
        """Return (status, body); status 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds_max)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        """Return an answer's document; RuntimeError when it is not 200."""
        status, body = self.ask(path)
        if status != OK:
            raise RuntimeError(f"{path}: {status} {body[:300]!r}")
        return json.loads(body)

    def wait_ready(self, seconds_max: float = READY_SECONDS_MAX) -> float:
        """Return the seconds from its start until /readyz answers 200."""
        deadline = time.monotonic() + seconds_max
        while self.ask("/readyz", 1.0)[0] != OK:
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.url} is not ready: see {self.log}")
            time.sleep(POLL_S)
        return time.monotonic() - self.started_at

    def figure(self, name: str) -> float:
        """Return the sum over all labels of a figure of /metrics."""
        _, body = self.ask("/metrics")
        rows = [row for row in body.decode().splitlines() if row.startswith(name)]
        return sum(float(row.rpartition(" ")[2]) for row in rows if row[len(name) : len(name) + 1] in " {")

    def lag(self) -> int:
        """Return how many records it is behind."""
        return int(self.figure("rebate_consumer_lag_records"))
