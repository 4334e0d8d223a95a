"""Many payouts while the service, the workers and the broker fail; money leaves once, from a seed."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections import Counter
from typing import Any

from rebate_app.broker import BrokerError, LocalKafka
from tests.chaos.conftest import SESSION_S
from tests.rig.paying import AMOUNT, FEE, FUNDED, control, fund, nothing_in_clear, states
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

KILL, FREEZE, BROKER = "kill", "freeze", "broker"
#: What may go wrong with a request or a question and has an end that needs no people.
FAULTS = (
    "lost-before",
    "lost-after",
    "hang-after",
    "error-before",
    "error-after",
    "bad-signature",
    "slow-paid",
    "slow-failed",
    "failed",
    "late-visible",
    "garbage",
)
#: A user has at most 50 new requests a day.
REQUESTS_OF_A_USER = 40
FROZEN_S = (0.2, SESSION_S + 3.0)
ANSWER_SECONDS_MAX = 180.0
READY_SECONDS_MAX = 120.0
#: A worker that ends by itself: cut off from the broker, or fenced, it may be started again.
ENDS_BY_ITSELF = (75, 69)
FINAL = ("paid", "failed")


class PayoutCampaign:
    """One system, one simulated service, and a number of payouts; `run` checks everything at its end."""

    def __init__(self, broker: LocalKafka, system: System, service: str, rng: random.Random) -> None:
        self._broker = broker
        self._system = system
        self._service = service
        self._rng = rng
        self._workers: dict[int, Worker] = {}
        self._frozen: dict[int, float] = {}  # until when, by number
        self._payees: dict[str, str] = {}
        self._pause = threading.Event()
        self._began = time.monotonic()
        self.harms: Counter[str] = Counter()

    def run(self, payouts: int, harms: dict[str, int], workers: int) -> None:
        """Request so many payouts and do this harm meanwhile; then every sum has to be right."""
        self._begin(payouts, workers)
        due = [name for name, count in harms.items() for _ in range(count)]
        self._rng.shuffle(due)
        all_harms = len(due)
        for number in range(payouts):
            while due and number * (all_harms + 1) >= (self.harms.total() + 1) * payouts:
                self._do(due.pop())
            self._look_after()
            self._request(number)
            if number % 20 == 0:
                self._report(f"{number} of {payouts} requested")
        for name in due:
            self._do(name)
        self._end(payouts)

    # -- before and after

    def _begin(self, payouts: int, workers: int) -> None:
        for number in range(workers):
            self._workers[number] = self._system.start_worker(number)
        for worker in self._workers.values():
            worker.wait_ready(READY_SECONDS_MAX)
        first = self._workers[0]
        users = max(12, math.ceil(payouts / REQUESTS_OF_A_USER))
        self._payees = {f"u{number}": fund(first, f"u{number}", FUNDED) for number in range(users)}
        answer = ask(
            f"{first.url}/v1/channels/http/open", method="POST", body=b'{"reason":"begin"}', seconds=30
        )
        assert answer.status == 200, answer.body
        chances = {"every": 2, "names": FAULTS, "seconds": 2.0, "seed": self._rng.randrange(10**9)}
        assert control(self._service, "chances", chances)

    def _end(self, payouts: int) -> None:
        """Let everything come to its end: no more faults, and every partition is taken over once more.

        A takeover begins the questions anew, whose pauses would grow to hours otherwise.
        """
        self._report("all requested, the faults end")
        assert control(self._service, "chances", {})
        for number in list(self._workers):
            self._wake(number)
            if self._workers[number].process.poll() is None:
                self._workers[number].stop(30)
            self._workers[number] = self._system.start_worker(number)
        for worker in self._workers.values():
            worker.wait_ready(READY_SECONDS_MAX)
        self._wait_for_ends(payouts)
        self._check(payouts)

    def _wait_for_ends(self, payouts: int) -> None:
        worker, reported_at = self._workers[0], [0.0]

        def ended() -> bool:
            found = states(worker, self._payees)
            counts = Counter(found.values())
            if time.monotonic() - reported_at[0] > 5:
                reported_at[0] = time.monotonic()
                self._report(f"{dict(counts)}")
            return sum(counts[state] for state in FINAL) == payouts

        wait_for(ended, 180 + payouts / 4, "every payout has ended")

    def _check(self, payouts: int) -> None:
        """Compare every withdrawal with the service's own ledger, to the fen."""
        worker = self._workers[0]
        self._system.wait_idle()
        ledger = control(self._service, "ledger")
        assert ledger is not None
        assert ledger["twice"] == []
        paid_there = dict(ledger["transfers"])
        paid = Counter[str]()
        for user in self._payees:
            for item in self._get(worker, f"/v1/users/{user}/withdrawals?limit=200")["items"]:
                number = item["payout_no"]
                there = ledger["payouts"].get(number)
                assert (item["state"] == "paid") is (number in paid_there), (item, there)
                if item["state"] == "paid":
                    paid[user] += 1
                    assert paid_there.pop(number) == item["net"] == AMOUNT - FEE
        assert paid_there == {}, "the service paid what nobody requested"
        for user in self._payees:
            balance = self._get(worker, f"/v1/users/{user}/balance")
            sums = balance["available"], balance["frozen"], balance["withdrawn"]
            assert sums == (FUNDED - AMOUNT * paid[user], 0, AMOUNT * paid[user])
        audited = self._system.command("audit", "--json", url=worker.url)
        assert audited.returncode == 0, audited.stdout + audited.stderr
        assert json.loads(audited.stdout)["differences"] == 0
        nothing_in_clear(self._system)
        posts = Counter(ledger["posts"])
        again = sum(count > 1 for count in posts.values())
        queries = ledger["asks"]
        self._report(f"{paid.total()} of {payouts} paid, {again} sent more than once, {queries} questions")

    def _get(self, worker: Worker, path: str) -> Any:
        """Return what a worker answers as current."""

        def current() -> Any:
            answer = ask(worker.url + path)
            return answer.body if answer.status == 200 and not answer.body.get("stale") else None

        return wait_for(current, ANSWER_SECONDS_MAX, path)

    # -- requests

    def _request(self, number: int) -> None:
        """Request a payout of whichever worker answers; a repeat does no harm."""
        user = f"u{number % len(self._payees)}"
        wanted = {"withdrawal_id": f"w{number}", "amount": AMOUNT, "channel": "http"}
        body = json.dumps(wanted | {"payee_id": self._payees[user]}).encode()

        def accepted() -> bool:
            self._look_after()
            awake = [each for each in self._workers if each not in self._frozen]
            if not awake:
                return False
            url = self._workers[self._rng.choice(awake)].url
            path = f"/v1/users/{user}/withdrawals?wait_ms=500"
            answer = ask(url + path, method="POST", body=body, seconds=3)
            assert answer.status in (0, 200, 201, 202, 502, 503, 504), (answer.status, answer.body)
            return answer.status in (200, 201, 202)

        wait_for(accepted, ANSWER_SECONDS_MAX, f"payout {number} is accepted")

    # -- harm

    def _do(self, harm: str) -> None:
        """Kill, freeze, or restart the broker."""
        self.harms[harm] += 1
        if harm == BROKER:
            self._restart_broker()
        else:
            number = self._victim()
            if harm == KILL:
                self._workers[number].kill()
                self._workers[number] = self._system.start_worker(number)
            else:
                self._workers[number].freeze()
                self._frozen[number] = time.monotonic() + self._rng.uniform(*FROZEN_S)
        self._report(f"harm {self.harms.total()}: {harm}")

    def _victim(self) -> int:
        """Return a worker that pays; one that has begun just now would not notice."""

        def ready() -> list[int]:
            self._look_after()
            return [
                number
                for number, worker in self._workers.items()
                if number not in self._frozen and ask(f"{worker.url}/readyz", seconds=1).status == 200
            ]

        return self._rng.choice(wait_for(ready, READY_SECONDS_MAX, "a worker that is ready"))

    def _restart_broker(self) -> None:
        self._broker.stop()
        self._pause.wait(self._rng.uniform(0.1, 2.0))
        try:
            self._broker.start()
        except BrokerError as error:  # a busy machine may need longer than a start may take
            self._report(f"the broker is started again: {error}")
            self._broker.start()

    def _look_after(self) -> None:
        """Wake whose time has come, and start again who has ended by himself."""
        for number, until in list(self._frozen.items()):
            if time.monotonic() >= until:
                self._wake(number)
        for number, worker in list(self._workers.items()):
            code = worker.process.poll()
            if code is not None:
                text = worker.log_text()[-3_000:]
                assert code in ENDS_BY_ITSELF, f"worker {number} ended with {code}\n{text}"
                self._report(f"worker {number} ended with {code}")
                self._workers[number] = self._system.start_worker(number)

    def _wake(self, number: int) -> None:
        self._frozen.pop(number, None)
        self._workers[number].signal(18)  # SIGCONT

    def _report(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:6.0f} s  {what}", flush=True)
