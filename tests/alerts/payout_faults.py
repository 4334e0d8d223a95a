"""Payouts of the recordings: a healthy one, and everything that an alert of payouts watches at once."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from rebate_app.auth.api_keys import new_key
from rebate_app.domain.money_out.facts import PayoutResult
from rebate_app.wire.facts.payouts import Author, encode_payout_fact
from tests.alerts.recorder import Recorder
from tests.rig.paying import RULES, control, send, settings, simulated, states

ENOUGH = 20  # payouts before failures are a share
AMOUNT = 1_000
REVIEWED_AMOUNT = 6_000
CHANNELS = ("http", "http-2")
ACCEPTED = (200, 201, 202)
SCOPES = ("balances:read", "withdrawals:write", "withdrawals:review", "adjustments:write")
#: Like those of the end-to-end test, with more channels and a review.
PAYOUT_RULES = RULES.replace('["http", "bank"]', '["http", "http-2", "bank"]').replace(
    "review_over_fen = 500000", "review_over_fen = 5000"
)


def payout_settings(recorder: Recorder, url: str) -> dict[str, str]:
    """Return the settings of workers that pay through a service: channels `http` and `http-2`."""
    recorder.system.use_rules([PAYOUT_RULES])
    environment = settings(recorder.folder, url)
    file = recorder.folder / "channels.toml"
    http = file.read_text().partition('[[channel]]\nname = "bank"')[0]
    file.write_text(http + http.replace('name = "http"', 'name = "http-2"'))
    return environment


def staff_keys() -> tuple[str, list[str]]:
    """Return the entries of two people's keys, and their tokens: one proposes, the other approves."""
    keys = [
        new_key("one", "one", list(SCOPES)),
        new_key("two", "two", ["withdrawals:review", "adjustments:approve"]),
    ]
    return "".join(key.entry for key in keys), [key.token for key in keys]


def post(url: str, path: str, document: Mapping[str, Any], token: str) -> dict[str, Any]:
    """Send JSON with a token; return the answer, which is a success."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(document).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - loopback
        found: dict[str, Any] = json.loads(answer.read())
    return found


def open_and_pay(recorder: Recorder, tokens: list[str]) -> None:
    """Open the channels, and pay one withdrawal through one of them."""
    (one, two), url = tokens, recorder.worker().url
    for channel in CHANNELS:
        assert post(url, f"/v1/channels/{channel}/open", {"reason": "begin"}, two)["state"] == "open"
    proposal = {"adjustment_id": "a1", "amount": 5 * AMOUNT, "reason_code": "goodwill", "reason": "test"}
    post(url, "/v1/users/u1/adjustments", proposal, one)
    post(url, "/v1/users/u1/adjustments/a1/approve", {"reason": "test"}, two)
    payee = {"channel": "http", "account": "u1@example.com", "name": "张三丰"}
    payee_id = post(url, "/v1/users/u1/payees", payee, one)["payee_id"]
    wanted = {"withdrawal_id": "w1", "amount": AMOUNT, "channel": "http", "payee_id": payee_id}
    post(url, "/v1/users/u1/withdrawals", wanted, one)
    recorder.wait(
        lambda: any(recorder.value("rebate_payouts_recent", number) for number in (0, 1)), "it is paid"
    )


def payouts_in_trouble(recorder: Recorder) -> None:
    """Let a service fail, forget to answer, lie and contradict itself, and people leave things undone."""
    with simulated(recorder.folder) as service:
        recorder.start(0, payout_settings(recorder, service))
        trouble = _Trouble(recorder, service)
        recorder.scrape()
        for number in range(ENOUGH):
            trouble.request("u1", f"w{number}")
        trouble.plan("failed", code="account")
        failed = trouble.request("u2", "fails")
        trouble.wait("u2", "fails", "failed")
        trouble.contradict("u2", failed)
        trouble.set_channel("http", "open")  # the contradiction has closed it
        trouble.request("u1", "large", amount=REVIEWED_AMOUNT)
        trouble.owe("u2")
        trouble.leave_unanswered("u1")
        trouble.plan("other-amount")
        trouble.request("u1", "lies")
        trouble.wait("u1", "lies", "stuck")
        recorder.wait(trouble.has_held, "one is held")
        recorder.scrape(2)


class _Trouble:
    """One worker with two channels at one service, and two users with money."""

    def __init__(self, recorder: Recorder, service: str) -> None:
        self._recorder = recorder
        self._service = service
        self._url = recorder.worker().url
        self._payees = {(user, name): self._funded(user, name) for user in ("u1", "u2") for name in CHANNELS}
        for name in CHANNELS:
            self.set_channel(name, "open")

    def _funded(self, user: str, channel: str) -> str:
        self.adjust(user, f"fund-{channel}", 50_000)
        payee = {"channel": channel, "account": f"{user}@example.com", "name": "张三丰"}
        return str(send(self._url, f"/v1/users/{user}/payees", payee).body["payee_id"])

    def adjust(self, user: str, own_id: str, amount: int) -> None:
        """Adjust a balance."""
        proposal = {"adjustment_id": own_id, "amount": amount, "reason_code": "other", "reason": "test"}
        for path, document in (("", proposal), (f"/{own_id}/approve", {"reason": "test"})):
            answer = send(self._url, f"/v1/users/{user}/adjustments{path}", document)
            assert answer.status in ACCEPTED, answer.body

    def set_channel(self, name: str, verb: str) -> None:
        """Open or pause a channel; when this returns it is so."""
        assert send(self._url, f"/v1/channels/{name}/{verb}", {"reason": "test"}).body["confirmed"]

    def request(self, user: str, own_id: str, channel: str = "http", amount: int = AMOUNT) -> dict[str, Any]:
        """Request a withdrawal."""
        payee_id = self._payees[user, channel]
        wanted = {"withdrawal_id": own_id, "amount": amount, "channel": channel, "payee_id": payee_id}
        answer = send(self._url, f"/v1/users/{user}/withdrawals", wanted)
        assert answer.status in ACCEPTED, answer.body
        return dict(answer.body)

    def wait(self, user: str, own_id: str, state: str) -> None:
        """Wait until a withdrawal has a state."""
        worker = self._recorder.worker()
        self._recorder.wait(lambda: states(worker, {user: ""}).get((user, own_id)) == state, state)

    def plan(self, name: str, **more: Any) -> None:
        """Plan a fault of the service, once all payouts before it are paid."""
        self._recorder.wait(lambda: self._recorder.value("rebate_withdrawals_open") == self._left(), "paid")
        assert control(self._service, "plan", {"name": name, **more})

    def _left(self) -> int:
        samples = self._recorder.samples() or {}
        waiting = ("review", "sending", "stuck")
        held = samples.get('rebate_payouts_held{reason="covers-not"}', 0)
        return int(held) + sum(
            int(samples.get(f'rebate_withdrawals_open{{state="{state}"}}', 0)) for state in waiting
        )

    def contradict(self, user: str, withdrawal: dict[str, Any]) -> None:
        """Write, as an owner would, that what had failed was paid after all."""
        own_id, net = withdrawal["withdrawal_id"], withdrawal["net"]
        fact = PayoutResult(user, own_id, 1, "paid", net, "", "ref", "", time.time_ns() // 1_000)
        record = encode_payout_fact(fact, Author(self._recorder.system.settings.app_id, ""))
        self._recorder.system.produce(self._recorder.system.topics.user_log, [record])
        self._recorder.wait(lambda: self._recorder.value("rebate_payout_facts_ignored_total"), "contradicted")
        closed = 'rebate_payout_channel_open{channel="http"}'
        self._recorder.wait(lambda: (self._recorder.samples() or {})[closed] == 0, "closed")

    def owe(self, user: str) -> None:
        """Let a user owe something before an approved withdrawal is paid."""
        self.set_channel("http-2", "pause")
        self.request(user, "owed", "http-2")
        self.adjust(user, "owe", -200_000)
        self.set_channel("http-2", "open")
        self._recorder.wait(self.has_held, "it is held")

    def has_held(self) -> bool:
        """Whether a withdrawal waits since its user owes something."""
        return (self._recorder.samples() or {}).get('rebate_payouts_held{reason="covers-not"}', 0) > 0

    def leave_unanswered(self, user: str) -> None:
        """Let the answer to a payout be lost, and every question about it fail."""
        self.plan("lost-after")
        number = self.request(user, "lost")["payout_no"]
        fault = {"name": "error-before", "number": number, "asked": True, "times": 1_000}
        assert control(self._service, "plan", fault)
        self._recorder.wait_value("rebate_payouts_unknown_seconds", 1)
