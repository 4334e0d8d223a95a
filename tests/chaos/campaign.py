"""Random faults under continuous import: what a long night in production is like, from a seed."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from typing import Any

from rebate_app.broker import LocalKafka
from tests.oracle import make_feed, shuffle_with_repeats
from tests.rig.system import System, Worker

from .checking import check_everything
from .conftest import SESSION_S

WORKERS_MAX = 3
BURSTS = 3  # quick ones, so that a partition has a chunk waiting while another is being committed
PAUSE_S = (0.2, 1.5)
FROZEN_S = (SESSION_S + 1.0, SESSION_S + 4.0)
FAULTS = ("kill", "kill", "kill", "freeze", "freeze", "stop", "join", "broker-stop", "broker-kill")
TAKE_OVER_SECONDS_MAX = 90.0
ENDS_OF_SIGTERM = (0, 75, -15)  # in order, cut off within the bound, before it had begun


class Campaign:
    """One system, one feed, and a number of faults; `run` compares everything at its end."""

    def __init__(
        self, broker: LocalKafka, system: System, rng: random.Random, *, lines: int, users: int
    ) -> None:
        self._broker = broker
        self._system = system
        self._rng = rng
        self._feed = make_feed(rng, lines, users)
        self._orders = shuffle_with_repeats(rng, self._feed.orders)
        self._sent: list[dict[str, Any]] = []
        self._pause = threading.Event()
        self._alive: list[Worker] = []
        self._number = 0
        self.counts: Counter[str] = Counter()

    @property
    def rules(self) -> list[str]:
        """Return the rule files of the feed."""
        return self._feed.rules

    def run(self, faults: int) -> Counter[str]:
        """Do so many faults while facts arrive; then everything has to be right."""
        self._system.send_users([document for document, _ in self._feed.users])
        self._join()
        importer = threading.Thread(target=self._import, args=(faults,))
        importer.start()
        try:
            for _ in range(faults):
                fault = self._rng.choice(FAULTS)
                print(f"fault {sum(self.counts.values())}: {fault}, {len(self._alive)} workers")
                getattr(self, "_" + fault.replace("-", "_"))()
                self.counts[fault] += 1
                self._wait(*PAUSE_S)
                self._bring_back()
        finally:
            importer.join()
        for worker in self._alive:
            worker.wait_ready(TAKE_OVER_SECONDS_MAX)
        self._system.wait_idle()
        check_everything(self._system, self._alive, self._feed, self._sent, self._rng)
        return self.counts

    def _import(self, faults: int) -> None:
        """Send all facts in parts, spread over the time that the faults take; repeats until acknowledged."""
        size = max(1, len(self._orders) // (faults * 3 * BURSTS))
        for number, start in enumerate(range(0, len(self._orders), size)):
            part = self._orders[start : start + size]
            self._send(part)
            self._sent += part
            if number % BURSTS == 0:
                self._pause.wait(self._rng.uniform(0.05, 0.4))

    def _send(self, part: list[dict[str, Any]]) -> None:
        deadline = time.monotonic() + TAKE_OVER_SECONDS_MAX
        while True:
            try:
                return self._system.send_orders(part)
            except Exception:
                if time.monotonic() > deadline:
                    raise
                self._pause.wait(0.5)

    def _wait(self, low: float, high: float) -> None:
        self._pause.wait(self._rng.uniform(low, high))

    def _bring_back(self) -> None:
        """Drop workers that ended by themselves, and never be without one."""
        self._alive = [worker for worker in self._alive if worker.process.poll() is None]
        if not self._alive or self._rng.random() < 0.5:
            self._join()

    def _join(self) -> None:
        if len(self._alive) < WORKERS_MAX:
            store = self._rng.choice(("memory", "rocksdb"))
            self._alive.append(self._system.start_worker(self._number, REBATE_STORE=store))
            self._number += 1

    def _kill(self) -> None:
        if self._alive:
            self._alive.pop(self._rng.randrange(len(self._alive))).kill()

    def _freeze(self) -> None:
        if self._alive:
            worker = self._rng.choice(self._alive)
            worker.signal(19)  # SIGSTOP
            self._wait(*FROZEN_S)
            worker.signal(18)  # SIGCONT

    def _stop(self) -> None:
        if self._alive:
            code = self._alive.pop(self._rng.randrange(len(self._alive))).stop(20)
            assert code in ENDS_OF_SIGTERM, code

    def _broker_stop(self) -> None:
        self._broker.stop()
        self._wait(0.2, 3.0)
        self._broker.start()

    def _broker_kill(self) -> None:
        os.kill(self._broker.status().pid or 0, 9)
        self._wait(0.2, 3.0)
        self._broker.start()
