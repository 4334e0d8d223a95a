"""A foreign open transaction on a real Kafka is shown, named, and ended as advised."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from rebate_app.doctor.transaction_checks import results_of
from rebate_app.settings import load_settings
from rebate_app.streams.kafka.clients import PatientAdmin, discard, started
from rebate_app.streams.kafka.open_transactions import OpenTransaction, open_transactions
from tests.doctor.test_on_kafka import findings, scraped, state
from tests.e2e.conftest import NewSystem, new_system
from tests.e2e.test_workers import order
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

__all__ = ["new_system"]

FOREIGN = "foreign-etl"
TIMEOUT_MS = 600_000
LINE = order("u1")
KEY = f"{LINE['platform']}:{LINE['order_line_id']}".encode()


@asynccontextmanager
async def left_open(broker: str, topic: str, name: str = FOREIGN) -> AsyncIterator[None]:
    """Have a producer write one record in a transaction and vanish without ending it."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, transactional_id=name, transaction_timeout_ms=TIMEOUT_MS
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"{}", key=b"foreign", partition=0)
    finally:
        await discard(producer)
    yield


def hang(system: System, topic: str, name: str = FOREIGN) -> None:
    """Leave a transaction open on partition 0 of the topic."""

    async def work() -> None:
        async with left_open(system.settings.broker, topic, name):
            return

    asyncio.run(work())


def restart_foreign(system: System) -> None:
    """Start the program that left its transaction open, which ends what it had open."""

    async def restart() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=system.settings.broker, transactional_id=FOREIGN)
        async with started(producer):
            pass

    asyncio.run(restart())


class TestHangingTransaction:
    """One partition of `order_topic`; a good order behind the foreign record."""

    @pytest.fixture
    def system(self, new_system: NewSystem) -> System:
        """Return a system of one partition."""
        return new_system(REBATE_PARTITIONS="1")

    def test_it_is_shown_named_and_ended_as_advised(self, system: System) -> None:
        """Lag is 0 and `unstable` is not; once the program is restarted the order is in the balance."""
        worker = system.start_worker()
        worker.wait_ready()
        hang(system, system.topics.orders)
        system.send_orders([LINE])
        self._is_shown(system, worker)
        self._is_not_settled(system)
        self._is_named(system, worker)
        restart_foreign(system)
        system.wait_idle()
        assert ask(f"{worker.url}/v1/users/u1/balance").body["estimated"] == 650
        wait_for(lambda: not ask(f"{worker.url}/v1/workers").body["unstable"], 30, "free again")
        assert scraped(worker)["rebate_unstable_seconds", "0", system.topics.orders] == 0
        assert state(findings(system, worker.url), "transactions") == "ok"

    def _is_shown(self, system: System, worker: Worker) -> None:
        orders = system.topics.orders
        (held,) = wait_for(lambda: ask(f"{worker.url}/v1/workers").body["unstable"], 30, "held back")
        assert (held["topic"], held["partition"], held["unstable"]) == (orders, 0, 2)
        figures = scraped(worker)
        assert figures["rebate_unstable_records", "0", orders] == 2
        assert figures["rebate_unstable_seconds", "0", orders] >= 1
        assert figures["rebate_consumer_lag_records", "0", orders] == 0
        assert figures["rebate_unstable_records", "0", system.topics.user_log] == 0
        lag = json.loads(system.command("lag", "--json").stdout)
        assert (lag["total"], lag["unstable"]) == (0, 2)
        assert {(each["topic"], each["lag"], each["unstable"]) for each in lag["partitions"]} == {
            (orders, 0, 2),
            (system.topics.user_log, 0, 0),
        }
        shown = system.command("lag").stdout
        assert "an open transaction over 2 offsets" in shown
        assert shown.splitlines()[-1].split() == ["total", "0"]

    def _is_not_settled(self, system: System) -> None:
        """Check that a wait does not end with 0: the order was acknowledged and is not in the balances."""
        done = system.command("lag", "--wait", "1")
        assert (done.returncode, done.stdout) == (75, "")
        assert f"open transactions hold back {system.topics.orders}/0 (2 offsets)" in done.stderr

    def _is_named(self, system: System, worker: Worker) -> None:
        (found,) = findings(system, worker.url)["transactions"]
        assert found["state"] == "warn"
        assert FOREIGN in found["says"]
        assert f"{system.topics.orders}/0 from 0" in found["says"]
        assert "open since 20" in found["says"]
        assert "restart that program" in found["do"]
        broker, orders = system.settings.broker, system.topics.orders
        arguments = f"--bootstrap-server {broker} abort --topic {orders} --partition 0 --start-offset 0"
        assert found["do"].endswith(f"kafka-transactions.sh {arguments}")

    def test_a_balance_shows_that_its_log_is_blocked(self, system: System) -> None:
        """`as_of.lag` is 0, since a reader finds nothing; `unstable` is there while it lasts."""
        worker = system.start_worker()
        worker.wait_ready()
        url = f"{worker.url}/v1/users/u1/balance"
        assert "unstable" not in ask(url).body["as_of"]
        hang(system, system.topics.user_log)
        as_of = wait_for(lambda: held_back(ask(url).body["as_of"]), 30, "unstable")
        assert (as_of["lag"], as_of["unstable"]) == (0, 1)


def held_back(as_of: dict[str, Any]) -> dict[str, Any] | None:
    """Return the place if it is held back."""
    return as_of if as_of.get("unstable") else None


class TestOpenTransactions:
    """What the brokers list."""

    def test_every_partition_of_every_producer_is_found(self, new_system: NewSystem) -> None:
        """Producer id, transactional id, state, start, time-out and first offsets."""
        system = new_system()
        topics = system.topics
        hang(system, topics.orders, "one")
        hang(system, topics.user_log, "two")

        async def look() -> list[OpenTransaction]:
            async with started(PatientAdmin(bootstrap_servers=system.settings.broker)) as admin:
                return await open_transactions(admin, [topics.orders, topics.user_log])

        one, two = asyncio.run(look())
        assert (one.transactional_id, two.transactional_id) == ("one", "two")
        assert (one.state, one.timeout_ms, one.first_offsets) == (
            "Ongoing",
            TIMEOUT_MS,
            {(topics.orders, 0): 0},
        )
        assert two.first_offsets == {(topics.user_log, 0): 0}
        assert one.producer_id != two.producer_id
        assert one.started_ms is not None
        assert two.started_ms is not None
        assert one.started_ms <= two.started_ms <= two.last_write_ms + 60_000


NOW_MS = 1_900_000_000_000


def transaction(name: str | None, seconds: float, **more: Any) -> OpenTransaction:
    """Return a transaction of that age on partition 3 of order_topic."""
    at = NOW_MS - int(seconds * 1_000)
    known: dict[str, Any] = {"state": "Ongoing", "started_ms": at, "timeout_ms": 60_000} | more
    return OpenTransaction(7, {("order_topic", 3): 41}, at, name, **known)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (transaction("etl", 1), "ok"),
        (transaction("etl", 10), "warn"),
        (transaction("etl", 100), "fail"),
        (transaction("etl", 10, state="Empty"), "fail"),
        (transaction(None, 10, state=None, started_ms=None, timeout_ms=None), "fail"),
        (transaction("rebate-order_topic-3-0", 10), "ok"),
        (transaction("rebate-order_topic-3-0", 100), "fail"),
        (transaction("rebate-other-app", 10), "warn"),
    ],
)
def test_which_transactions_are_reported(found: OpenTransaction, state: str) -> None:
    """Our own are reported when they are older than their time-out, others unless they have just begun."""
    (check,) = results_of(load_settings({}), [found], NOW_MS)
    assert check.state == state
    if state != "ok":
        assert "--topic order_topic --partition 3 --start-offset 41" in check.remedy
        assert "order_topic/3 from 41" in check.summary
        assert (found.transactional_id or "no transactional id known") in check.summary
