"""Webhooks of real workers to a real receiver that fails in every way, over a real Kafka."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable

import pytest

from tests.conftest import SEED
from tests.e2e.conftest import NewSystem, new_system
from tests.e2e.test_workers import order
from tests.rig.system import System, ask
from tests.rig.waiting import wait_for

from .receiver import Receiver, Request, failing

__all__ = ["new_system"]
pytestmark = pytest.mark.kafka

USERS = [f"u{number}" for number in range(12)]
SECRET = "of the test"  # noqa: S105 - of nobody else


def webhooks(receiver: Receiver, **more: str) -> dict[str, str]:
    """Return the settings of workers that call the receiver, with delays that a test can wait for."""
    return {
        "REBATE_WEBHOOK_URL": receiver.url,
        "REBATE_WEBHOOK_SECRET": SECRET,
        "REBATE_WEBHOOK_ALLOW_PRIVATE": "1",
        "REBATE_WEBHOOK_TIMEOUT": "0.5",
        "REBATE_WEBHOOK_RETRY_DELAYS": "0.2,0.5,1",
        "REBATE_SESSION_TIMEOUT": "6",
        "REBATE_TRANSACTION_TIMEOUT": "5",
        **more,
    }


def event(user: str, number: int) -> dict[str, object]:
    """Return an event as the contract has it."""
    return {
        "schema": "rebate-event/1",
        "event_id": f"{number:032x}",
        "kind": "balance.changed",
        "user_id": user,
        "at": "2026-02-01T00:00:00+08:00",
        "number": number,
    }


def tell(system: System, numbers: Iterable[int]) -> None:
    """Put events on the topic, as the lane does."""
    told = [(USERS[number % len(USERS)], number) for number in numbers]
    system.produce(system.topics.events, ((u.encode(), json.dumps(event(u, n)).encode()) for u, n in told))


def first_arrivals(requests: Iterable[Request]) -> dict[str, list[int]]:
    """Return the numbers of each user's events as they were first taken."""
    users: dict[str, list[int]] = {}
    for request in requests:
        told = request.event
        seen = users.setdefault(told["user_id"], [])
        if told["number"] not in seen:
            seen.append(told["number"])
    return users


class TestDelivery:
    """Every event, in order per user, whatever happens to receiver and workers."""

    def test_every_event_arrives_in_order_and_balances_do_not_wait(self, new_system: NewSystem) -> None:
        """The receiver fails, is silent and is away, workers are killed: no gap, order kept, same ids."""
        rng = random.Random(SEED)
        with Receiver(failing(rng, 0.15, 0.03)) as receiver:
            system = new_system(**webhooks(receiver))
            workers = [system.start_worker(0), system.start_worker(1)]
            for worker in workers:
                worker.wait_ready()
            tell(system, range(120))
            wait_for(lambda: len(receiver.taken()) > 40, 30, "some events taken")
            workers[0].kill()
            receiver.down()
            tell(system, range(120, 240))
            began = time.monotonic()
            system.send_orders([order("u1"), order("u2")])
            system.wait_idle(30)
            balance = ask(f"{workers[1].url}/v1/users/u1/balance").body
            assert balance["lines"]["open"] == 1
            print(f"balances after {time.monotonic() - began:.1f} s, a worker killed, the receiver away")
            third = system.start_worker(2)
            third.wait_ready()
            receiver.up()
            self._wait_for_all(receiver, 240)
            workers[1].kill()
            tell(system, range(240, 300))
            self._wait_for_all(receiver, 300)
            assert third.stop() == 0
        assert {r.headers["Rebate-Event-Id"] for r in receiver.requests} >= {f"{n:032x}" for n in range(300)}

    def _wait_for_all(self, receiver: Receiver, count: int) -> None:
        right = {user: list(range(place, count, len(USERS))) for place, user in enumerate(USERS)}
        ids = {f"{number:032x}" for number in range(count)}

        def all_there() -> bool:
            taken = receiver.taken()
            return ids <= {request.headers["Rebate-Event-Id"] for request in taken}

        wait_for(all_there, 60, f"{count} events taken")
        ours = [request for request in receiver.taken() if "number" in request.event]
        assert first_arrivals(ours) == right
        print(f"{count} events in {len(ours)} requests taken of {len(receiver.requests)}")
