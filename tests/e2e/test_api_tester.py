"""The property-based API tester against two real workers with authentication on: it finds nothing."""

from __future__ import annotations

import base64
import os
import random
from pathlib import Path

from rebate_app.auth.api_keys import new_key
from tests.conftest import SEED
from tests.e2e.api_tester import Findings, run_tester
from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import USERS, order

#: `make api-fuzz` sends more.
REQUESTS = int(os.environ.get("REBATE_API_FUZZ_REQUESTS", "1000"))


def test_the_tester_finds_nothing(new_system: NewSystem, tmp_path: Path) -> None:
    """Half of the requests to each worker: answers as described, and what is not described is refused."""
    key = new_key("ops", "operators", ["admin"])
    keys = tmp_path / "keys.toml"
    keys.write_text(key.entry, encoding="utf-8")
    channels = tmp_path / "channels.toml"
    channels.write_text('[[channel]]\nname = "bank"\nkind = "manual"\n', encoding="utf-8")
    system = new_system(
        REBATE_CHANNELS=str(channels),
        REBATE_PAYEE_KEYS="a:" + base64.b64encode(b"k" * 32).decode(),
        REBATE_PAYEE_ID_KEY="i" * 32,
        REBATE_KEYS=str(keys),
        REBATE_CLUSTER_SECRET="a:" + "s" * 40,
        REBATE_TOKEN=key.token,
        REBATE_TRUSTED_PROXIES="127.0.0.1",
    )
    workers = [system.start_worker() for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    system.send_orders(order(user) for user in USERS)
    system.wait_idle()
    seed = random.Random(f"{SEED} api tester").randrange(2**31)
    print(f"{REQUESTS} requests, seed {seed}: REBATE_TEST_SEED={SEED} runs the same again")
    for number, worker in enumerate(workers):
        findings = run_tester(worker.url, key.token, seed + number, REQUESTS // 2)
        judge(findings)
        assert worker.process.poll() is None


def judge(findings: Findings) -> None:
    """Assert that nothing was found, and that all kinds of answers were seen."""
    by_status: dict[int, int] = {}
    for (_, status), times in findings.statuses.items():
        by_status[status] = by_status.get(status, 0) + times
    print(findings.requests, dict(sorted(by_status.items())))
    assert findings.errors == []
    kinds = {failure.partition("\n")[0]: failure for failure in findings.failures}
    assert not kinds, f"{len(findings.failures)} failures, one of each kind:\n" + "\n".join(kinds.values())
    assert findings.requests >= REQUESTS // 4
    assert by_status.keys() >= {200, 202, 400, 401, 422}
