"""Every crash point of a payout on real workers: killed there, or frozen there until another took over.

Two of them in the suite; all, five times each, in `make payouts-long` and `make chaos`
(docs/payouts.md#crash-points).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from rebate_app.broker import LocalKafka
from tests.chaos.conftest import FAST, FULL
from tests.rig.faults import PAYOUT_POINTS
from tests.rig.freezing import is_frozen
from tests.rig.paying import AMOUNT, FEE, FUNDED, RULES, control, fund, send, settings, simulated, states
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

LONG = FULL or bool(os.environ.get("REBATE_PAYOUTS_LONG"))
ALL = tuple((point, action) for point in PAYOUT_POINTS for action in ("kill", "freeze"))
SHORT = (("payout-answered", "kill"), ("payout-attempt-folded", "freeze"))
REPEATS = int(os.environ.get("REPEATS", "5" if LONG else "1"))
HIT_SECONDS_MAX, PAID_SECONDS_MAX = 60.0, 90.0

pytestmark = pytest.mark.chaos


class TestCrashPoints:
    """After a crash at any point the next owner finds out what happened, and money leaves once."""

    @pytest.mark.parametrize(("point", "action"), ALL if LONG else SHORT)
    def test_paid_once(
        self, chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path, point: str, action: str
    ) -> None:
        """The service has one transfer for each, also after who was frozen has woken up."""
        with simulated(tmp_path) as url:
            environment = settings(tmp_path, url) | FAST | {"REBATE_PARTITIONS": "1"}
            with System(chaos_kafka.address, topic_prefix, tmp_path, [RULES], **environment) as system:
                payee = ""
                for repeat in range(REPEATS):
                    faulty = self._start_faulty(system, point, action)
                    payee = payee or self._prepared(faulty)
                    if point == "payout-asked":  # a question is needed
                        assert control(url, "plan", {"name": "lost-after"})
                    (system.folder / "gate").touch()
                    self._request(faulty, repeat, payee)
                    self._wait_until_hit(faulty, action)
                    self._let_remember(system)
                    helper = system.start_worker(1)
                    self._wait_paid(helper, repeat)
                    self._wake(faulty, action)
                    self._check(helper, url, repeat + 1)
                    for worker in (faulty, helper):
                        if worker.process.poll() is None:
                            worker.stop(30)
                    (system.folder / "gate").unlink()

    def _start_faulty(self, system: System, point: str, action: str) -> Worker:
        fault = {"REBATE_TEST_FAULT": f"{point}:1:{action}"}
        worker = system.start_worker(0, **fault, REBATE_TEST_FAULT_GATE=str(system.folder / "gate"))
        worker.wait_ready()
        return worker

    def _prepared(self, worker: Worker) -> str:
        payee = fund(worker, "u1", FUNDED)
        assert send(worker.url, "/v1/channels/http/open", {"reason": "begin"}).status == 200
        return payee

    def _request(self, worker: Worker, repeat: int, payee: str) -> None:
        """Request once: the answer may not come, since the worker may be gone."""
        wanted = {"withdrawal_id": f"w{repeat}", "amount": AMOUNT, "channel": "http", "payee_id": payee}

        def acknowledged() -> bool:
            body = json.dumps(wanted).encode()
            path = "/v1/users/u1/withdrawals?wait_ms=0"
            answer = ask(worker.url + path, method="POST", body=body, seconds=5)
            return answer.status in (200, 201, 202) or answer.status == 0

        wait_for(acknowledged, HIT_SECONDS_MAX, "the request is written")

    def _wait_until_hit(self, faulty: Worker, action: str) -> None:
        def hit() -> bool:
            return faulty.process.poll() is not None if action == "kill" else is_frozen(faulty.process.pid)

        wait_for(hit, HIT_SECONDS_MAX, f"the crash point is passed, see {faulty.log}")

    def _let_remember(self, system: System) -> None:
        """Give the helper the memory of the log that it would have, had it been there: else it closes all."""
        if not (system.folder / "worker-1").exists():
            shutil.copytree(system.folder / "worker-0" / "logs", system.folder / "worker-1" / "logs")

    def _wait_paid(self, helper: Worker, repeat: int) -> None:
        helper.wait_ready()
        key = "u1", f"w{repeat}"
        wait_for(lambda: states(helper, ["u1"]).get(key) == "paid", PAID_SECONDS_MAX, "it is paid")

    def _wake(self, faulty: Worker, action: str) -> None:
        """Wake the frozen one, which still believes to own the partition, and wait until it knows better."""
        if action == "freeze":
            faulty.signal(18)  # SIGCONT
            wait_for(
                lambda: faulty.process.poll() is not None or ask(f"{faulty.url}/readyz").status == 200,
                60,
                "it has joined again, or ended",
            )

    def _check(self, helper: Worker, url: str, paid: int) -> None:
        ledger = control(url, "ledger")
        assert (ledger["twice"], len(ledger["transfers"])) == ([], paid)
        assert {amount for _, amount in ledger["transfers"]} == {AMOUNT - FEE}

        def sums() -> bool:
            answer = ask(f"{helper.url}/v1/users/u1/balance")
            wanted = FUNDED - AMOUNT * paid, 0, AMOUNT * paid
            names = ("available", "frozen", "withdrawn")
            return answer.status == 200 and tuple(answer.body[name] for name in names) == wanted

        wait_for(sums, 30, "the sums are right")
