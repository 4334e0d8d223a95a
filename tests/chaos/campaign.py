"""Random faults under continuous import: what a long night in production is like, from a seed."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter

from rebate_app.broker import BrokerError, LocalKafka
from tests.chaos.checking import check_everything
from tests.chaos.conftest import SESSION_S
from tests.chaos.importing import Importing
from tests.oracle import make_feed, shuffle_with_repeats
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for

WORKERS_MAX = 3
PAUSE_S = (0.2, 1.5)
FROZEN_S = (SESSION_S + 1.0, SESSION_S + 4.0)
FAULTS = (*["kill"] * 4, *["freeze"] * 2, "stop", "join", "broker-stop", "broker-kill")
STARTING_TOO = 0.2  # of the faults hit a worker that has not worked yet, if there is one
WORKING_SECONDS_MAX = 60.0
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
        self._importing = Importing(system, self._orders, rng, TAKE_OVER_SECONDS_MAX)
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
        with self._importing:
            while self.counts.total() < faults:
                self._do(self._rng.choice(FAULTS))
        for worker in self._alive:
            worker.wait_ready(TAKE_OVER_SECONDS_MAX)
        self._system.wait_idle()
        check_everything(self._system, self._alive, self._feed, self._importing.sent, self._rng)
        return self.counts

    def _do(self, fault: str) -> None:
        """Do a fault and count it, if there is anybody whom it can hit."""
        if not getattr(self, "_" + fault.replace("-", "_"))():
            return
        self.counts[fault] += 1
        sent, alive = len(self._importing.sent), len(self._alive)
        print(f"fault {self.counts.total()}: {fault}, {alive} workers, {sent} facts acknowledged", flush=True)
        self._wait(*PAUSE_S)
        self._bring_back()

    def _wait(self, low: float, high: float) -> None:
        self._pause.wait(self._rng.uniform(low, high))

    def _bring_back(self) -> None:
        """Drop workers that ended by themselves, and never be without one."""
        self._alive = [worker for worker in self._alive if worker.process.poll() is None]
        if not self._alive or self._rng.random() < 0.5:
            self._join()

    def _victim(self) -> Worker:
        """Return a worker that has worked, now and then one that has just begun."""
        self._bring_back()
        working = [worker for worker in self._alive if _has_worked(worker)]
        beginning = [worker for worker in self._alive if worker not in working]
        if beginning and self._rng.random() < STARTING_TOO:
            return self._rng.choice(beginning)
        if not working:
            wait_for(lambda: any(map(_has_worked, self._alive)), WORKING_SECONDS_MAX, "a worker that works")
            working = [worker for worker in self._alive if _has_worked(worker)]
        return self._rng.choice(working)

    def _join(self) -> bool:
        if len(self._alive) >= WORKERS_MAX:
            return False
        store = self._rng.choice(("memory", "rocksdb"))
        self._alive.append(self._system.start_worker(self._number, REBATE_STORE=store))
        self._number += 1
        return True

    def _kill(self) -> bool:
        worker = self._victim()
        worker.kill()
        self._alive.remove(worker)
        return True

    def _freeze(self) -> bool:
        worker = self._victim()
        worker.freeze()
        self._wait(*FROZEN_S)
        worker.signal(18)  # SIGCONT
        return True

    def _stop(self) -> bool:
        worker = self._victim()
        self._alive.remove(worker)
        code = worker.stop(20)
        assert code in ENDS_OF_SIGTERM, code
        return True

    def _start_broker(self) -> None:
        """Start it; once more when a busy machine needs longer than it may take."""
        try:
            self._broker.start()
        except BrokerError as error:
            print(f"the broker is started again: {error}")
            self._broker.start()

    def _broker_stop(self) -> bool:
        self._broker.stop()
        self._wait(0.2, 3.0)
        self._start_broker()
        return True

    def _broker_kill(self) -> bool:
        os.kill(self._broker.status().pid or 0, 9)
        self._wait(0.2, 3.0)
        self._start_broker()
        return True


def _has_worked(worker: Worker) -> bool:
    return worker.process.poll() is None and "worker ready: " in worker.log_text()
