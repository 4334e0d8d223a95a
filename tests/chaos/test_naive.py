"""The rig sees what it looks for: the same kill makes a Faust application as documented count twice."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from rebate_app.broker import LocalKafka, free_port
from rebate_app.streams.kafka.clients import PatientAdmin, started
from tests.rig.system import Worker, ask, produce
from tests.rig.waiting import wait_for

ORDERS = 200
AMOUNT = 1
KILLS_MAX = 5  # each doubles what was counted and not committed, which is nothing only right after a commit
SECONDS_MAX = 60.0
DOUBLED_SECONDS_MAX = 10.0

pytestmark = pytest.mark.chaos


class Naive:
    """The naive application, its topics and one worker at a time."""

    def __init__(self, broker: str, prefix: str, folder: Path) -> None:
        self._broker = broker
        self._prefix = prefix
        self._folder = folder
        self.ordered = 0
        asyncio.run(self._make_topics())
        self.worker = self._start()

    async def _make_topics(self) -> None:
        changelog = NewTopic(
            f"{self._prefix}naive-balances-changelog", 1, 1, topic_configs={"cleanup.policy": "compact"}
        )
        async with started(PatientAdmin(bootstrap_servers=self._broker)) as admin:
            await admin.create_topics([NewTopic(f"{self._prefix}naive-orders", 1, 1), changelog])

    def _start(self) -> Worker:
        port = free_port()
        environment = os.environ | {
            "REBATE_BROKER": self._broker,
            "REBATE_TOPIC_PREFIX": self._prefix,
            "REBATE_WEB_PORT": str(port),
            "REBATE_DATADIR": str(self._folder),
            "REBATE_TEST_APP": "tests.rig.naive",
        }
        return Worker(environment, port, self._folder / "naive.log")

    def balance(self) -> int:
        """Return the user's balance, -1 while nobody answers."""
        answer = ask(f"{self.worker.url}/balances/u", seconds=2, is_ours=False)
        return int(answer.body["balance"]) if answer.status == 200 else -1

    def order(self, count: int) -> None:
        """Have so many orders acknowledged."""
        value = json.dumps({"user": "u", "amount": AMOUNT}).encode()
        asyncio.run(produce(self._broker, f"{self._prefix}naive-orders", [(b"u", value)] * count))
        self.ordered += count

    def wait_counted(self) -> None:
        """Wait until the balance has every order."""
        wait_for(lambda: self.balance() >= self.ordered * AMOUNT, SECONDS_MAX, "all orders are counted")

    def wait_counted_twice(self) -> None:
        """Wait until the balance has more than was ordered."""
        wait_for(lambda: self.balance() > self.ordered * AMOUNT, DOUBLED_SECONDS_MAX, "too much")

    def kill(self) -> None:
        """Kill -9, and start again."""
        self.worker.kill()
        self.worker = self._start()


NewNaive = Callable[[int], Naive]


@pytest.fixture
def new_naive(chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path) -> Iterator[NewNaive]:
    """Give an application of its own for each number; the workers end with the test."""
    made: list[Naive] = []

    def make(number: int) -> Naive:
        folder = tmp_path / str(number)
        folder.mkdir()
        made.append(Naive(chaos_kafka.address, f"{topic_prefix}{number}-", folder))
        return made[-1]

    yield make
    for each in made:
        each.worker.kill()


def test_the_naive_way_counts_twice(new_naive: NewNaive) -> None:
    """Killed between the table's write and the offset's commit, it adds the same orders again.

    Each kill has an application of its own: one that loses an order, or stands still after its restart, which
    the naive way does now and then, can count nothing twice any more.
    """
    for kill in range(KILLS_MAX):
        naive = new_naive(kill)
        naive.order(ORDERS)
        naive.wait_counted()
        naive.kill()
        naive.order(1)
        with suppress(AssertionError):
            naive.wait_counted()
            naive.wait_counted_twice()
            return
        print(f"kill {kill}: right is {naive.ordered * AMOUNT}, answered is {naive.balance()}")
        naive.worker.kill()
    pytest.fail("no order was counted twice: the rig does not see what it looks for")
