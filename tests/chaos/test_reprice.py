"""A repricing of large accounts on a real Kafka: dry run, kill -9 in the middle, the oracle, the audit."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rebate_app.broker import LocalKafka
from rebate_app.streams.transaction.partitioner import partition_of
from tests.chaos.checking import current_balances
from tests.chaos.conftest import FAST
from tests.oracle import Oracle
from tests.oracle.history import History
from tests.oracle.written import TWO_LEVELS, bind, profile, snapshot
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

PARTITIONS = 2
LINES_OF_LARGE = 600  # three records of MOVES_MAX lines
SMALL = 20
HIT_SECONDS_MAX = 60.0
BUCKETS = ("estimated", "confirmed", "held", "available")

pytestmark = pytest.mark.chaos


def large_users() -> list[str]:
    """Return one user in each partition."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        found.setdefault(partition_of(f"large{number}".encode(), PARTITIONS), f"large{number}")
        number += 1
    return sorted(found.values())


LARGE = large_users()
#: One of them gets his lines through an attribution id.
BOUND = bind("taobao:special_id:77", LARGE[0])
ORDERS = [
    *(
        snapshot("paid", "2026-01-04", 1_000, line=f"taobao:a{n}", user=None, special_id="77")
        for n in range(LINES_OF_LARGE)
    ),
    *(
        snapshot("paid", "2026-01-04", 1_000, line=f"taobao:b{n}", user=LARGE[1])
        for n in range(LINES_OF_LARGE)
    ),
    *(
        snapshot("settled", "2026-01-10", 2_000, 2_000, line=f"taobao:{user}-{n}", user=f"u{user}")
        for user in range(SMALL)
        for n in range(3)
    ),
]
WRONG = [profile(f"u{user}", "basic", "wrong") for user in range(SMALL)]
LATE = [
    *(profile(f"u{user}", "vip", f"boss{user % 3}") for user in range(SMALL)),
    *(profile(user, "vip", "boss0") for user in LARGE),
    *(profile(f"boss{n}", "basic", "top") for n in range(3)),
]


def differences(before: Oracle, after: Oracle, at: datetime) -> dict[str, dict[str, int]]:
    """Return what the oracle's balances differ by, without those that do not."""
    found = {}
    for user in before.users() | after.users():
        old, new = before.balance(user, at), after.balance(user, at)
        if any(new[name] != old[name] for name in BUCKETS):
            found[user] = {name: new[name] - old[name] for name in BUCKETS}
    return found


class TestReprice:
    """Everybody is repriced while a worker dies."""

    def test_all_users_with_a_kill(self, chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path) -> None:
        """The dry run is the oracle's difference, writes nothing, and is what the repricing then makes."""
        history = History([TWO_LEVELS])
        with System(chaos_kafka.address, topic_prefix, tmp_path, [TWO_LEVELS], **FAST) as system:
            gate = system.folder / "gate"
            faulty = system.start_worker(
                0, REBATE_TEST_FAULT="committed:3:kill", REBATE_TEST_FAULT_GATE=str(gate)
            )
            helper = system.start_worker(1)
            faulty.wait_ready()
            helper.wait_ready()
            self._fill(system, history)
            before, at = history.oracle(), datetime.now(UTC)
            ends = len(system.read(system.topics.user_log))
            trial = self._dry_run(system)
            assert len(system.read(system.topics.user_log)) == ends
            reason = ["--reason", "profiles imported late", "--by", "lin"]
            gate.touch()
            sent = system.command("reprice", "--all", "--released", *reason, "--json")
            assert json.loads(sent.stdout) == {"sent": SMALL + len(LARGE)}, sent.stderr
            wait_for(lambda: faulty.process.poll() is not None, HIT_SECONDS_MAX, "the worker is killed")
            system.wait_idle()
            for user in [*LARGE, *(f"u{number}" for number in range(SMALL))]:
                history.user(self._fact(system, user))
            after = history.oracle()
            assert {item["user_id"]: item["difference"] for item in trial["items"]} == differences(
                before, after, at
            )
            assert (trial["users"], trial["lines"]) == (SMALL + len(LARGE), len(ORDERS))
            self._compare(helper, after)
            self._one_by_http(system, helper, history)
            audited = system.command("audit", "--json", url=helper.url)
            assert audited.returncode == 0, audited.stdout + audited.stderr

    def _fill(self, system: System, history: History) -> None:
        """Let lines come while some profiles are missing and others are wrong, and then the right ones."""
        system.send_users([document for document, _ in [BOUND, *WRONG]])
        system.wait_idle()
        system.send_orders(ORDERS)
        system.wait_idle()
        system.send_users([document for document, _ in LATE])
        system.wait_idle()
        for record in [BOUND, *WRONG]:
            history.user(record)
        history.order(*ORDERS)
        for record in LATE:
            history.user(record)

    def _dry_run(self, system: System) -> Any:
        tried = system.command("reprice", "--all", "--released", "--dry-run", "--json")
        assert tried.returncode == 0, tried.stderr
        return json.loads(tried.stdout)

    def _fact(self, system: System, user: str) -> tuple[dict[str, Any], int]:
        """Return the fact that the command has sent for a user."""
        for record in system.read(system.topics.user_log):
            if record.key == user.encode() and b'"account.reprice"' in record.value:
                document = json.loads(record.value)
                assert document["actor"] == "cli:lin"
                return document, record.timestamp * 1_000
        raise AssertionError(f"nothing was sent for {user}")

    def _compare(self, worker: Worker, oracle: Oracle) -> None:
        at = datetime.now(UTC)
        users = sorted(oracle.users())
        found = current_balances(worker, users, at)
        assert found == {user: oracle.balance(user, at) for user in users}

    def _one_by_http(self, system: System, worker: Worker, history: History) -> None:
        """Correct a wrong inviter by HTTP: waited for, explained, and in the ledger."""
        right = profile("u1", "vip", "boss2")
        system.send_users([right[0]])
        system.wait_idle()
        history.user(right)
        body = {"lines": ["taobao:1-0"], "released": True, "reason": "wrong inviter"}
        url = f"{worker.url}/v1/users/u1/reprice"
        answer = ask(f"{url}?wait_ms=2000", method="POST", body=json.dumps(body).encode())
        assert (answer.status, answer.body) == (202, {"accepted": 1, "user_id": "u1", "visible": True})
        refused = ask(url, method="POST", body=b'{"lines": []}')
        assert refused.status == 422
        assert [fault["code"] for fault in refused.body["errors"]] == ["invalid-lines"]
        system.wait_idle()
        history.user(({"kind": "account.reprice", "user_id": "u1", **body}, 1_800_000_000_000_000))
        self._compare(worker, history.oracle())
        line = ask(f"{worker.url}/v1/order-lines/taobao/1-0").body
        assert [share["user_id"] for share in line["shares"]] == ["u1", "boss2", "top"]
        assert any("repriced on" in text and "wrong inviter" in text for text in line["explanation"])
        entries = ask(f"{worker.url}/v1/users/boss2/ledger").body["items"]
        assert entries[0]["reason"] == "repriced"
