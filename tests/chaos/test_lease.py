"""A worker that was frozen wakes up with old balances: it must not show them as current."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any, Self

import pytest

from rebate_app.broker import LocalKafka
from tests.chaos.conftest import FAST, FULL
from tests.conftest import SEED
from tests.e2e.conftest import RULES
from tests.e2e.test_workers import SHARE, USERS, order, owned
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

WAKES = 20 if FULL else 2
ASK_EVERY_S = 0.05
LOAD_SECONDS = 3.0

pytestmark = pytest.mark.chaos


class Asker:
    """Asks one worker for all users again and again; notes each old balance that was shown as current."""

    def __init__(self, worker: Worker, expected: int) -> None:
        self.old: list[Any] = []
        self.answers = 0
        self._worker = worker
        self._expected = expected
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(user,)) for user in USERS[:8]]

    def _ask(self, user: str) -> None:
        while not self._done.is_set():
            answer = ask(f"{self._worker.url}/v1/users/{user}/balance", seconds=30)
            self.answers += answer.status == 200
            current = answer.status == 200 and not answer.body.get("stale")
            if current and answer.body["estimated"] != self._expected:
                self.old.append((user, answer.body))
            self._done.wait(ASK_EVERY_S)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


def _wait_owned(seconds_max: float, *wanted: tuple[Worker, int]) -> None:
    wait_for(
        lambda: all(owned(worker) == count for worker, count in wanted), seconds_max, "partitions shared out"
    )


def _wait_until(moment: float) -> None:
    wait_for(lambda: time.monotonic() > moment, 30, "asked for a while")


def test_no_old_balance_is_shown_as_current(
    chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Asked every 50 ms around its waking up, it answers current balances, marks old ones, or says 503."""
    rng = random.Random(SEED)
    with System(chaos_kafka.address, topic_prefix, tmp_path, [RULES], **FAST) as system:
        workers = [system.start_worker(), system.start_worker()]
        for worker in workers:
            worker.wait_ready()
        wait_for(lambda: owned(workers[0]) == owned(workers[1]) == 2, 60, "2 of 4 partitions each")
        for wake in range(WAKES):
            sleeper, other = rng.sample(workers, 2)
            sleeper.freeze()
            system.send_orders(order(user, wake) for user in USERS)
            _wait_owned(60, (other, 4))
            system.wait_idle()
            expected = SHARE * (wake + 1)
            with Asker(sleeper, expected) as asker:
                sleeper.signal(18)  # SIGCONT, with requests waiting in its sockets
                _wait_until(time.monotonic() + LOAD_SECONDS)
            assert asker.old == []
            sleeper.wait_ready()
            _wait_owned(60, (sleeper, 2), (other, 2))
            print(f"wake {wake}: {asker.answers} answers, none old")
