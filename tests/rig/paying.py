"""Workers that pay through a simulated service, and what tests ask both."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.simulators.payouts.__main__ import channel_entry
from examples.simulators.payouts.keys import make_keys
from rebate_app.broker import free_port
from tests.rig.system import CHECKOUT, Answer, System, Worker, ask
from tests.rig.waiting import wait_for

AMOUNT, FEE, FUNDED = 1_000, 10, 100_000
RULES = """
schema = "rebate-rules/1"
version = "2026-01"
effective_from = 2026-01-01T00:00:00+08:00

[[level]]
id = "basic"
share_bps = { default = 5000 }

[withdraw]
channels = ["http", "bank"]
max_per_day = 50
max_open = 50
day_max_fen = 500000
fee_min_fen = 10
review_over_fen = 500000
review_first = false
review_new_payee = false
"""


@contextmanager
def simulated(folder: Path) -> Iterator[str]:
    """Run a service of kind http in a process of its own; yield its URL."""
    port = free_port()
    command = [sys.executable, "-m", "examples.simulators.payouts", "http"]
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--keys", str(folder / "keys")],
            cwd=CHECKOUT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: control(url, "ledger") is not None, 20, "the service listens")
        yield url
    finally:
        process.kill()
        process.wait(10)


def control(url: str, path: str, document: dict[str, Any] | None = None) -> Any:
    """Steer the simulated service, or read its ledger; None while it does not listen."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(f"{url}/control/{path}", data=body)  # noqa: S310 - http to loopback
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
            return json.loads(response.read())
    except OSError:
        return None


def send(url: str, path: str, document: dict[str, Any], method: str = "POST") -> Answer:
    """Send JSON, again while nobody who may answer can: repeats do no harm."""
    until = time.monotonic() + 60
    while True:
        answer = ask(url + path, method=method, body=json.dumps(document).encode(), seconds=10)
        if answer.status not in (0, 503) or time.monotonic() > until:
            return answer
        time.sleep(0.2)


def settings(folder: Path, url: str, partitions: int = 4) -> dict[str, str]:
    """Return the environment of workers that pay through the service."""
    make_keys(folder / "keys")
    more = "timeout_s = 1\nper_second = 200\nnot_found_after_s = 3\n"
    manual = '[[channel]]\nname = "bank"\nkind = "manual"\n'
    (folder / "channels.toml").write_text(channel_entry("http", url, folder / "keys") + more + manual)
    return {
        "REBATE_CHANNELS": str(folder / "channels.toml"),
        "REBATE_PAYEE_KEYS": "a:" + base64.b64encode(b"k" * 32).decode(),
        "REBATE_PAYEE_ID_KEY": "i" * 32,
        "REBATE_PARTITIONS": str(partitions),
        "REBATE_SESSION_TIMEOUT": "6",
        "REBATE_TRANSACTION_TIMEOUT": "4",
    }


def fund(worker: Worker, user: str, amount: int) -> str:
    """Give a user money and a payee; return the payee's id."""
    adjustment = {"adjustment_id": "a1", "amount": amount, "reason_code": "goodwill", "reason": "test"}
    said = send(worker.url, f"/v1/users/{user}/adjustments", adjustment)
    assert said.status in (200, 201, 202), said.body
    said = send(worker.url, f"/v1/users/{user}/adjustments/a1/approve", {"reason": "test"})
    assert said.status in (200, 202), said.body
    payee = {"channel": "http", "account": f"{user}@example.com", "name": "张三丰"}
    said = send(worker.url, f"/v1/users/{user}/payees", payee)
    assert said.status == 201, said.body
    assert "example" in said.body["account"]
    assert f"{user}@" not in said.body["account"]
    return str(said.body["payee_id"])


def states(worker: Worker, users: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return the state of every withdrawal that can be read now."""
    found = {}
    for user in users:
        answer = ask(f"{worker.url}/v1/users/{user}/withdrawals?limit=200")
        for item in (answer.body or {}).get("items", []) if answer.status == 200 else []:
            found[user, item["withdrawal_id"]] = item["state"]
    return found


def nothing_in_clear(system: System) -> None:
    """No topic and no log holds an account or a name."""
    for topic in (
        system.topics.user_log,
        system.topics.payees,
        system.topics.events,
        system.topics.channels,
    ):
        for record in system.read(topic):
            text = (record.key or b"") + (record.value or b"")
            assert b"example.com" not in text
            assert "张三丰".encode() not in text
    for worker in system.workers:
        assert "@example.com" not in worker.log_text()
