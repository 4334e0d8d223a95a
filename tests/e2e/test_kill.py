"""kill -9 of the worker at random moments of an import: nothing is lost and nothing doubled."""

from __future__ import annotations

import json
import os
import random
import threading
from datetime import datetime
from typing import Any

import pytest

from tests.conftest import SEED
from tests.e2e.conftest import NewSystem
from tests.kafka_fixture import SHORT_SESSION
from tests.oracle import Feed, Oracle, make_feed, shuffle_with_repeats
from tests.rig.system import System, Worker, ask

FULL = os.environ.get("REBATE_CHAOS") == "full"
KILLS = int(os.environ.get("REBATE_TEST_KILLS", "50" if FULL else "10"))
LINES = 40
USERS = 12
KILL_WITHIN_S = 1.5
FIRST_KILL_AFTER_S = 0.05


def balances(worker: Worker, users: list[str], at: datetime) -> dict[str, Any]:
    """Return every user's balance, over HTTP, as the oracle says it."""
    balances_by_user = {}
    for user in users:
        body = ask_balance(worker, user, at)
        assert body is not None, f"no current answer for {user}"
        balances_by_user[user] = body
    return balances_by_user


def ask_balance(worker: Worker, user: str, at: datetime) -> Any:
    """Return a user's balance as the oracle says it, None when the answer is stale or "not now"."""
    answer = ask(f"{worker.url}/v1/users/{user}/balance?at={at.isoformat().replace('+', '%2B')}")
    assert answer.status in (200, 503), answer.body
    if answer.status != 200 or answer.body.get("stale"):
        return None
    for member in ("user_id", "currency", "unit", "version", "as_of", "at"):
        del answer.body[member]
    return answer.body


@pytest.mark.longer
class TestKill:
    """The main job survives the worst moment to die."""

    def test_balances_equal_the_oracle_after_every_kill(self, new_system: NewSystem) -> None:
        """Killed at a random moment of each part of an import, the balances are the oracle's each time."""
        rng = random.Random(SEED)
        feed: Feed = make_feed(rng, LINES, USERS)
        system: System = new_system(feed.rules, **SHORT_SESSION)
        system.send_users([document for document, _ in feed.users])
        orders = shuffle_with_repeats(rng, feed.orders)
        part = max(1, len(orders) // KILLS)
        sent: list[dict[str, Any]] = []
        worker = system.start_worker(0)
        worker.wait_ready()
        system.wait_idle()  # profiles were there before the lines
        for kill in range(KILLS):
            now = orders[kill * part : (kill + 1) * part] if kill < KILLS - 1 else orders[kill * part :]
            import_ = threading.Thread(target=system.send_orders, args=(now,))
            import_.start()
            moment = rng.uniform(FIRST_KILL_AFTER_S, KILL_WITHIN_S)
            print(f"kill {kill} after {moment:.3f} s of {len(now)} facts")
            threading.Event().wait(moment)
            worker.kill()
            import_.join()
            sent += now
            worker = system.start_worker(0)
            worker.wait_ready()
            system.wait_idle()
            self._compare(worker, feed, sent, rng)
        assert worker.stop() == 0

    def _compare(self, worker: Worker, feed: Feed, sent: list[dict[str, Any]], rng: random.Random) -> None:
        oracle = Oracle(sent, feed.users, feed.rules)
        at = rng.choice(feed.moments)
        users = sorted(oracle.users())
        balances_by_user = balances(worker, users, at)
        right = {user: oracle.balance(user, at) for user in users}
        wrong = {
            user: (balances_by_user[user], right[user])
            for user in users
            if balances_by_user[user] != right[user]
        }
        assert not wrong, json.dumps(wrong, indent=1, default=str)[:3000]
