"""A system whose workers are scraped as Prometheus would, into the scrapes of a recording."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rebate_app.broker import LocalKafka
from tests.alerts.recording import Samples, Scrape, samples_of
from tests.alerts.rules import used_metrics
from tests.e2e.conftest import RULES
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for
from tests.streams.failures.poison import order, raw

WAIT_SECONDS_MAX = 120.0
SCRAPE_SECONDS_MAX = 5.0
NETWORKS = ("taobao", "jd", "pdd")


class Recorder:
    """One system and its scrapes. Workers are scraped in the order of their numbers."""

    def __init__(self, broker: LocalKafka, prefix: str, folder: Path) -> None:
        folder.mkdir()
        self.broker = broker
        self.folder = folder
        self.system = System(broker.address, prefix, folder, [RULES])
        self.scrapes: list[Scrape] = []
        self._workers: dict[int, Worker] = {}
        self._names = used_metrics() - {"up"}
        self._lines = 0
        self.token = ""  # sent with scrapes, where workers want credentials

    def start(self, number: int = 0, environment: Mapping[str, str] | None = None) -> Worker:
        """Start a worker under a number, and wait until it is ready."""
        worker = self._workers[number] = self.system.start_worker(number, **(environment or {}))
        worker.wait_ready(WAIT_SECONDS_MAX)
        return worker

    def worker(self, number: int = 0) -> Worker:
        """Return the worker that was started last under a number."""
        return self._workers[number]

    def scrape(self, times: int = 1, every: float = 1.0) -> None:
        """Scrape every worker, several times with a pause between: the pace at which a fault goes on."""
        for number in range(times):
            if number:
                time.sleep(every)
            for worker in sorted(self._workers):
                self.scrapes.append(Scrape(worker, time.time(), self.samples(worker)))

    def samples(self, worker: int = 0) -> Samples | None:
        """Return what the rules use of a worker's metrics now, None if it does not answer."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self._workers[worker].url}/metrics", headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=SCRAPE_SECONDS_MAX) as answer:  # noqa: S310
                page = answer.read().decode()
        except OSError:
            return None
        return samples_of(page.replace(self.system.settings.topic_prefix, ""), self._names)

    def value(self, name: str, worker: int = 0) -> float:
        """Return the sum of a metric over its labels."""
        samples = self.samples(worker) or {}
        return sum(value for series, value in samples.items() if series.startswith(f"{name}{{"))

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds."""
        wait_for(condition, WAIT_SECONDS_MAX, what)

    def wait_value(self, name: str, least: float = 1, worker: int = 0) -> None:
        """Wait until a metric has at least this value."""
        self.wait(lambda: self.value(name, worker) >= least, f"{name} ≥ {least}")

    def send_orders(self, count: int = 12, networks: Iterable[str] = NETWORKS) -> None:
        """Send new orders of these networks in turn, and wait until they are in the balances."""
        self.system.send_orders(self.orders(count, networks))
        self.system.wait_idle()

    def orders(self, count: int, networks: Iterable[str] = NETWORKS) -> list[dict[str, object]]:
        """Return new orders."""
        names = list(networks)
        first, self._lines = self._lines, self._lines + count
        return [
            order(f"{names[number % len(names)]}:{number}", f"u{number % 7}")
            for number in range(first, first + count)
        ]

    def raw_orders(self, count: int) -> list[tuple[bytes, bytes]]:
        """Return new orders as records."""
        return [(f"{o['platform']}:{o['order_line_id']}".encode(), raw(o)) for o in self.orders(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.system.__exit__(kind, error, trace)
