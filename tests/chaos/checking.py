"""What has to hold after any fault: the audit finds nothing, and balances are the oracle's."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.e2e.test_kill import balances
from tests.oracle import Feed, Oracle
from tests.rig.system import System, Worker


def check_everything(
    system: System, workers: list[Worker], feed: Feed, sent: list[dict[str, Any]], rng: random.Random
) -> None:
    """Every balance is the oracle's, from any worker; nothing was lost, sent twice or invented."""
    oracle = Oracle(sent, feed.users, feed.rules)
    at = rng.choice(feed.moments)
    users = sorted(oracle.users())
    right = {user: oracle.balance(user, at) for user in users}
    for worker in workers:
        told = balances(worker, users, at)
        wrong = {user: (told[user], right[user]) for user in users if told[user] != right[user]}
        assert not wrong, json.dumps(wrong, indent=1, default=str)[:3000]
    audited = system.command("audit", "--json", url=workers[0].url)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert json.loads(audited.stdout)["differences"] == 0
