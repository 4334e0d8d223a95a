"""What has to hold after any fault: the audit finds nothing, and balances are the oracle's."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime
from typing import Any

from rebate_app.wire.internal import is_internal
from tests.e2e.test_kill import ask_balance
from tests.oracle import Feed, Oracle
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for
from tests.streams.failures.sending import id_of, letters

CURRENT_SECONDS_MAX = 60.0


def current_balances(worker: Worker, users: list[str], at: datetime) -> dict[str, Any]:
    """Return what the worker answers as current; what it marks as stale, or cannot say, is asked again."""
    balances: dict[str, Any] = {}

    def all_current() -> bool:
        for user in users:
            if user not in balances:
                body = ask_balance(worker, user, at)
                if body is not None:
                    balances[user] = body
        return len(balances) == len(users)

    wait_for(all_current, CURRENT_SECONDS_MAX, f"current answers of {worker.url}")
    return balances


def check_everything(
    system: System, workers: list[Worker], feed: Feed, sent: list[dict[str, Any]], rng: random.Random
) -> None:
    """Every balance is the oracle's, from any worker; nothing was lost, sent twice or invented."""
    oracle = Oracle(sent, feed.users, feed.rules)
    at = rng.choice(feed.moments)
    users = sorted(oracle.users())
    right = {user: oracle.balance(user, at) for user in users}
    for worker in workers:
        balances = current_balances(worker, users, at)
        wrong = {user: (balances[user], right[user]) for user in users if balances[user] != right[user]}
        assert not wrong, json.dumps(wrong, indent=1, default=str)[:3000]
    audited = system.command("audit", "--json", url=workers[0].url)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    report = json.loads(audited.stdout)
    assert report["differences"] == 0
    assert report["facts"] >= len(sent) + len(feed.users)
    assert sent_twice(system) == {}


def sent_twice(system: System) -> dict[Any, int]:
    """Return what is more than once on a log downstream, found without any of the audit's code.

    A target names the offset of the record that caused it, and a dead letter the place of its record: so
    the fold never sends two that are the same.
    """
    messages = [record for record in system.read(system.topics.user_log) if is_internal(record.value)]
    counts: Counter[Any] = Counter((record.key, record.value) for record in messages)
    assert counts, "nothing was sent at all"
    counts.update(id_of(letter) for letter in letters(system))
    return {name: count for name, count in counts.items() if count > 1}
