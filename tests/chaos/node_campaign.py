"""A node of three hangs under import, while workers are killed and frozen besides: round after round."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter

from rebate_app.broker import LocalCluster
from tests.chaos.checking import check_everything
from tests.chaos.importing import Importing
from tests.oracle import make_feed, shuffle_with_repeats
from tests.rig.freezing import freeze
from tests.rig.supervisor import Supervisor
from tests.rig.system import System
from tests.rig.waiting import wait_for

STORES = ("memory", "rocksdb")  # of the workers
BESIDES = ("nothing", "nothing", "kill", "freeze")  # to a worker, while the node hangs
WORKER_FROZEN_S = (1.0, 15.0)  # within and beyond its session
NEW_FACTS = 60  # acknowledged after the thaw: every partition has to go on
GO_ON_SECONDS_MAX = 240.0
REFUSED_SECONDS_MAX = 240.0


class NodeCampaign:
    """One cluster of three, one system, one feed; `run` compares everything at its end."""

    def __init__(
        self,
        cluster: LocalCluster,
        system: System,
        rng: random.Random,
        *,
        lines: int,
        users: int,
        frozen_seconds: tuple[float, float],
    ) -> None:
        self._cluster = cluster
        self._system = system
        self._rng = rng
        self._feed = make_feed(rng, lines, users)
        self._orders = shuffle_with_repeats(rng, self._feed.orders)
        self._frozen_seconds = frozen_seconds
        self._pause = threading.Event()
        self._supervisor = Supervisor(system)
        self.counts: Counter[str] = Counter()

    @property
    def rules(self) -> list[str]:
        """Return the rule files of the feed."""
        return self._feed.rules

    def run(self, rounds: int) -> Counter[str]:
        """Do so many rounds while facts arrive; then everything has to be right."""
        self._system.send_users([document for document, _ in self._feed.users])
        for store in STORES:
            self._supervisor.start(REBATE_STORE=store)
        self._supervisor.wait_idle(GO_ON_SECONDS_MAX)
        with Importing(self._system, self._orders, self._rng, REFUSED_SECONDS_MAX) as importing:
            for number in range(1, rounds + 1):
                self._round(number, importing)
        self._supervisor.wait_idle(GO_ON_SECONDS_MAX)
        self.counts["restarted after 75"] = self._supervisor.restarts
        check_everything(self._system, self._supervisor.workers, self._feed, importing.sent, self._rng)
        return self.counts

    def _round(self, number: int, importing: Importing) -> None:
        """Freeze a node, do something to a worker meanwhile, thaw, and wait until everything goes on."""
        node, seconds = self._rng.choice((1, 2, 3)), self._rng.uniform(*self._frozen_seconds)
        besides = self._rng.choice(BESIDES)
        pid, restarts = self._cluster.pid(node), self._supervisor.restarts
        assert pid is not None, f"node {node} runs"
        thaw_at = time.monotonic() + seconds
        freeze(pid)
        try:
            self._pause.wait(self._rng.uniform(0, seconds / 2))
            self._harm_worker(besides)
            self._pause.wait(max(0.0, thaw_at - time.monotonic()))
        finally:
            os.kill(pid, signal.SIGCONT)
        wanted = len(importing.sent) + NEW_FACTS
        wait_for(lambda: self._has_come(importing, wanted), GO_ON_SECONDS_MAX, "facts are acknowledged")
        took = self._supervisor.wait_idle(GO_ON_SECONDS_MAX)
        self.counts.update({"rounds": 1, besides: 1})
        print(
            f"round {number}: node {node} frozen for {seconds:.1f} s, worker: {besides}, "
            f"idle after {took:.1f} s, {len(importing.sent)} facts, "
            f"{self._supervisor.restarts - restarts} restarted after 75",
            flush=True,
        )

    def _has_come(self, importing: Importing, wanted: int) -> bool:
        importing.check()
        self._supervisor.tend()
        return len(importing.sent) >= wanted

    def _harm_worker(self, how: str) -> None:
        self._supervisor.tend()
        number = self._rng.randrange(len(STORES))
        if how == "kill":
            self._supervisor.kill(number)
        elif how == "freeze":
            worker = self._supervisor.workers[number]
            worker.freeze()
            try:
                self._pause.wait(self._rng.uniform(*WORKER_FROZEN_S))
            finally:
                worker.signal(signal.SIGCONT)
