"""Webhooks of real workers to a real receiver that fails in every way, over a real Kafka."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.conftest import SEED
from tests.e2e.conftest import NewSystem, new_system
from tests.e2e.test_workers import order
from tests.kafka_fixture import SHORT_SESSION
from tests.rig.system import System, ask
from tests.rig.waiting import wait_for
from tests.webhooks.receiver import Receiver, Request, failing

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
        "REBATE_WEBHOOK_TIMEOUT": "2",
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


def emit(system: System, numbers: Iterable[int]) -> None:
    """Put events on the topic, as the engine does."""
    rows = [(USERS[number % len(USERS)], number) for number in numbers]
    system.produce(system.topics.events, ((u.encode(), json.dumps(event(u, n)).encode()) for u, n in rows))


def first_arrivals(requests: Iterable[Request]) -> dict[str, list[int]]:
    """Return the numbers of each user's events as they were first taken."""
    users: dict[str, list[int]] = {}
    for request in requests:
        document = request.event
        seen = users.setdefault(document["user_id"], [])
        if document["number"] not in seen:
            seen.append(document["number"])
    return users


class TestDelivery:
    """Every event, in order per user, whatever happens to receiver and workers."""

    def test_every_event_arrives_in_order_and_balances_do_not_wait(self, new_system: NewSystem) -> None:
        """The receiver fails, is silent and is away, a worker is killed: no gap, order kept, same ids."""
        rng = random.Random(SEED)
        with Receiver(failing(rng, 0.15, 0.03)) as receiver:
            system = new_system(**(webhooks(receiver) | SHORT_SESSION))
            workers = [system.start_worker(0), system.start_worker(1)]
            for worker in workers:
                worker.wait_ready()
            emit(system, range(120))
            wait_for(lambda: len(receiver.taken()) > 40, 30, "some events taken")
            receiver.down()
            emit(system, range(120, 240))
            began = time.monotonic()
            system.send_orders([order("u1"), order("u2")])
            system.wait_idle(30)
            print(f"balances after {time.monotonic() - began:.1f} s while the receiver is away")
            assert ask(f"{workers[1].url}/v1/users/u1/balance").body["lines"]["open"] == 1
            workers[0].kill()
            receiver.up()
            self._wait_for_all(receiver, 240)
            emit(system, range(240, 300))
            self._wait_for_all(receiver, 300)
            began = time.monotonic()
            assert workers[1].stop() == 0
            assert time.monotonic() - began < 10

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


class TestOperating:
    """What operators do with webhooks, and what a URL that is new does not hear."""

    def test_from_no_url_to_pause_and_replay(self, new_system: NewSystem) -> None:
        """Old events are not sent; what is refused is listed and replayed; while paused events wait."""
        mended: list[bool] = []

        def decide(request: Request) -> int:
            refused = request.event["user_id"] == USERS[1] and not mended
            return 404 if refused else 204

        with Receiver(decide) as receiver:
            given = webhooks(receiver)
            system = new_system(**given)
            silent = system.start_worker(0, REBATE_WEBHOOK_URL="")
            silent.wait_ready()
            emit(system, range(24))
            assert silent.stop() == 0
            worker = system.start_worker(0)
            worker.wait_ready()
            emit(system, range(24, 36))
            wait_for(lambda: len(receiver.taken()) == 11, 30, "all but the refused one")
            self._replay_what_was_refused(system, receiver, mended)
            self._pause_and_resume(system, receiver)
            tried = json.loads(system.command("webhooks", "test", "--json").stdout)
            assert (tried["outcome"], tried["code"]) == ("delivered", "status-204")
            assert receiver.requests[-1].event["kind"] == "webhook.test"
            numbers = {r.event["number"] for r in receiver.requests if "number" in r.event}
            assert numbers == set(range(24, 48))

    def _replay_what_was_refused(self, system: System, receiver: Receiver, mended: list[bool]) -> None:
        def letters() -> list[dict[str, str]]:
            done = system.command("dlq", "list", "--topic", "events", "--open", "--json")
            assert done.returncode == 0, done.stderr
            return list(json.loads(done.stdout)["items"])

        (letter,) = wait_for(letters, 30, "a dead letter")
        assert (letter["reason"], letter["key"]) == ("webhook-refused", USERS[1])
        mended.append(True)
        assert system.command("dlq", "replay", letter["id"], "--yes").returncode == 0
        wait_for(lambda: len(receiver.taken()) == 12, 30, "the one that was replayed")
        refused, taken = [r.event for r in receiver.requests if r.event["user_id"] == USERS[1]]
        assert refused == taken

    def _pause_and_resume(self, system: System, receiver: Receiver) -> None:
        def status() -> dict[str, Any]:
            done = system.command("webhooks", "status", "--json", url=system.workers[-1].url)
            assert done.returncode == 0, done.stderr
            return dict(json.loads(done.stdout))

        paused = system.command("webhooks", "pause", "--why", "moving", "--by", "ann")
        assert paused.returncode == 0, paused.stderr
        worker = system.workers[-1]

        def holds() -> bool:
            return b"rebate_webhook_paused 1.0" in ask(f"{worker.url}/metrics").body

        wait_for(holds, 30, "the worker knows that it is paused")
        emit(system, range(36, 48))
        state = status()
        assert (state["switch"]["paused"], state["switch"]["by"]) == (True, "ann")
        assert sum(row["events"] for row in state["waiting"]) == 12
        assert state["oldest_undelivered_seconds"] >= 0
        (delivering,) = state["workers"]
        assert state["url"] == delivering["target"] == receiver.url.rpartition("/")[0]
        assert (delivering["worker"], delivering["paused"], delivering["waiting"]) == (worker.url, True, 12)
        assert len(receiver.taken()) == 12
        assert system.command("webhooks", "resume").returncode == 0
        wait_for(lambda: len(receiver.taken()) == 24, 30, "everything that waited")
        wait_for(lambda: not sum(row["events"] for row in status()["waiting"]), 30, "nothing waits")
