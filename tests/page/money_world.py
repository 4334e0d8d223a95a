"""Money out and sources in the page's world: requests, proposals, channels, accounts.

Everything goes over HTTP, by the keys of those whose work it is: who reviews is somebody else than who asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from examples.simulators.network import Network, RefusedError
from examples.simulators.payouts.__main__ import channel_entry
from examples.simulators.payouts.keys import make_keys
from examples.simulators.server import fast_clock, new_network, serving
from tests.page.dataset import BUYER
from tests.rig.paying import control, simulated
from tests.rig.waiting import wait_for

Document = dict[str, Any]

#: Fits into a memo of 64 characters and a reason of 200.
SHORT_MARKUP = ' <img src=x onerror="window.pwned=1"><b>x</b>'
#: Has a big withdrawal to a payee never paid before, and debts in the past.
SUSPECT = "user-005"
REGULAR, UNLUCKY, STUCK, WAITING = "user-006", "user-007", "user-008", "user-009"
#: Who the tests of actions work on, so that the views of the others stay as they are; the first is stuck.
ACTED = tuple(f"user-{number}" for number in range(101, 109))
STOPPED_ACCOUNT, RUNNING_ACCOUNT, QUOTA_ACCOUNT = "jd-shop", "tb-shop", "pdd-shop"
QUOTA = 30
TIMEOUT_SECONDS = 20.0
ANSWER_SECONDS_MAX = 60.0

WITHDRAW = """
[withdraw]
channels = ["bank", "http"]
min_fen = 100
max_fen = 500000
max_per_day = 9
max_open = 9
day_max_fen = 500000
fee_bps = 10
fee_min_fen = 10
review_over_fen = 20000
approvals_over = [{ fen = 200000, approvals = 2 }]
"""


class Desk:
    """Who writes to the API of a worker: one key for each scope."""

    def __init__(self, url: str, tokens: dict[str, str]) -> None:
        self.url = url.rstrip("/")
        self.tokens = tokens

    def send(
        self, scope: str, path: str, document: Document | None = None, method: str = "POST"
    ) -> tuple[int, Any]:
        """Return status and body, asking again while nobody can answer; errors of HTTP are answers."""
        until = time.monotonic() + ANSWER_SECONDS_MAX
        while True:
            status, body = self._once(scope, path, document, method)
            if status != 503 or time.monotonic() > until:
                return status, body
            time.sleep(0.1)

    def _once(self, scope: str, path: str, document: Document | None, method: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.tokens[scope]}", "Content-Type": "application/json"}
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def get(self, path: str, scope: str = "admin") -> Any:
        """Return what a GET is answered."""
        status, body = self.send(scope, path, None, "GET")
        assert status == 200, body
        return body

    def write(self, scope: str, path: str, document: Document, *expected: int) -> Any:
        """Return the answer to something that has to be accepted."""
        status, body = self.send(scope, path, document)
        assert status in (expected or (200, 201, 202)), (path, status, body)
        return body

    def propose(
        self, user: str, adjustment_id: str, amount: int, reason: str, code: str = "goodwill"
    ) -> None:
        """Propose an adjustment."""
        body = {"adjustment_id": adjustment_id, "amount": amount, "reason_code": code, "reason": reason}
        self.write("adjustments:write", f"/v1/users/{user}/adjustments", body)

    def fund(self, user: str, amount: int, adjustment_id: str = "welcome") -> None:
        """Give a user money that is available at once."""
        self.propose(user, adjustment_id, amount, "moved from the old system")
        path = f"/v1/users/{user}/adjustments/{adjustment_id}/approve"
        self.write("adjustments:approve", path, {"reason": "compared with the old ledger"})

    def payee(self, user: str, channel: str, account: str, name: str) -> str:
        """Add a payee and return its id."""
        body = {"channel": channel, "account": account, "name": name}
        return str(self.write("withdrawals:write", f"/v1/users/{user}/payees", body)["payee_id"])

    def ask(self, user: str, own_id: str, amount: int, payee_id: str, **more: Any) -> Document:
        """Ask for a withdrawal, and return it."""
        body = {"withdrawal_id": own_id, "amount": amount, "channel": "bank", "payee_id": payee_id} | more
        answer: Document = self.write(
            "withdrawals:write", f"/v1/users/{user}/withdrawals", body, 200, 201, 202, 422
        )
        return answer

    def act(self, user: str, own_id: str, verb: str, reason: str, scope: str = "withdrawals:review") -> None:
        """Approve, reject or cancel."""
        self.write(scope, f"/v1/users/{user}/withdrawals/{own_id}/{verb}", {"reason": reason})

    def state(self, user: str, own_id: str) -> str:
        """Return the state of a withdrawal."""
        return str(self.get(f"/v1/users/{user}/withdrawals/{own_id}")["state"])

    def channel(self, name: str) -> str:
        """Return the state of a channel."""
        return {str(each["name"]): str(each["state"]) for each in self.get("/v1/channels")["items"]}[name]


def channels(folder: Path, service: str) -> dict[str, str]:
    """Write the file of channels, and return the settings of workers that pay through them."""
    make_keys(folder / "keys")
    entry = channel_entry("http", service, folder / "keys") + "timeout_s = 1\nper_second = 200\n"
    manual = "".join(f'[[channel]]\nname = "{name}"\nkind = "manual"\n' for name in ("bank", "cash"))
    (folder / "channels.toml").write_text(entry + manual, encoding="utf-8")
    return {
        "REBATE_CHANNELS": str(folder / "channels.toml"),
        "REBATE_PAYEE_KEYS": "a:" + base64.b64encode(b"k" * 32).decode(),
        "REBATE_PAYEE_ID_KEY": "i" * 32,
    }


def _refuse(network: Network, markup: str) -> None:
    """Let every call be refused, in words with that text in them."""

    def check_call(form: dict[str, str], now: float) -> None:
        text = f"无效签名{markup}"
        raise RefusedError({"error_response": {"code": "12", "zh_desc": text, "en_desc": text}})

    network.check_call = check_call  # type: ignore[method-assign]


@contextmanager
def sources(folder: Path, markup: str) -> Iterator[dict[str, str]]:
    """Serve three networks: one is read, one refuses the signature, one has no calls left today."""
    begin = int(time.time()) - 86_400
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin))
    (folder / "secret").write_text("secret", encoding="utf-8")
    tables = []
    with ExitStack() as stack:
        for name, account in (("taobao", RUNNING_ACCOUNT), ("jd", STOPPED_ACCOUNT), ("pdd", QUOTA_ACCOUNT)):
            network = new_network(name, 24, begin, 1)
            if account == STOPPED_ACCOUNT:
                _refuse(network, markup)
            if account == QUOTA_ACCOUNT:
                network.switches.quota = QUOTA
            url = stack.enter_context(serving(network, fast_clock(time.time(), 1)))
            tables.append(
                f'[[app]]\nid = "{account}-app"\nnetwork = "{name}"\nurl = "{url}"\napp_key = "key"\n'
                f'secret_file = "secret"\nper_second = 20\n[[account]]\nid = "{account}"\n'
                f'app = "{account}-app"\nsince = {since}\nhot_seconds = 5\n'
            )
        (folder / "sources.toml").write_text("".join(tables), encoding="utf-8")
        yield {"REBATE_SOURCES": str(folder / "sources.toml")}


@contextmanager
def services(folder: Path, markup: str) -> Iterator[tuple[dict[str, str], str]]:
    """Run the networks and a payment service; yield the settings of workers, and the service's URL."""
    with simulated(folder) as service, sources(folder, markup) as found:
        yield found | channels(folder, service), service


def fill(desk: Desk, service: str, markup: str) -> None:
    """Let people ask for money, and staff decide about some of it; `markup` is in every text of theirs."""
    for name in ("bank", "http"):
        reason = {"reason": f"tested with one fen{markup}"}
        desk.write("withdrawals:review", f"/v1/channels/{name}/open", reason)
    desk.fund(BUYER, 8_000)
    account = "<b>6222020200112</b>" if markup else "6222020200112233"  # what the mask leaves is markup
    payee = desk.payee(BUYER, "bank", account, "林美")
    desk.ask(BUYER, "w-2026-11-1", 5_000, payee, memo=f"November{markup}")
    _suspect(desk, markup)
    for user in ACTED:
        desk.fund(user, 400_000)
    _paid(desk, service, markup)
    _proposals(desk, markup)


def _suspect(desk: Desk, markup: str) -> None:
    desk.fund(SUSPECT, 300_000)
    desk.propose(SUSPECT, "refund-trick", -40_000, "orders refunded after the payout", "reconciliation")
    desk.write(
        "adjustments:approve",
        f"/v1/users/{SUSPECT}/adjustments/refund-trick/approve",
        {"reason": f"agreed{markup}"},
    )
    first = desk.payee(SUSPECT, "bank", "6217000010001234567", "王小二")
    desk.ask(SUSPECT, "big-1", 230_000, first)
    desk.ask(SUSPECT, "big-2", 500_000, first)  # refused: there is not so much
    desk.ask(SUSPECT, "small-1", 3_000, first)
    desk.act(SUSPECT, "small-1", "cancel", "the user asked for it", "withdrawals:write")


def _paid(desk: Desk, service: str, markup: str) -> None:
    plans: dict[str, Document | None] = {
        REGULAR: None,
        UNLUCKY: {"name": "failed", "code": "no-such-account"},
        WAITING: {"name": "slow-paid", "seconds": 1_000_000},
        ACTED[0]: {"name": "other-amount"},
        STUCK: {"name": "other-amount"},
    }
    ends = {REGULAR: "paid", UNLUCKY: "failed", WAITING: "sending", ACTED[0]: "stuck", STUCK: "stuck"}
    for user, plan in plans.items():
        desk.fund(user, 60_000, "campaign")
        payee = desk.payee(user, "http", f"{user}@example.com", "张三丰")
        if plan:
            _plan(service, user, plan)
        desk.ask(user, "w1", 10_000, payee, channel="http")
        desk.act(user, "w1", "approve", "known customer")
        wait_for(lambda: desk.state(user, "w1") == ends[user], 30, f"{user} is {ends[user]}")  # noqa: B023
        if user == ACTED[0]:  # an answer that does not fit pauses the channel
            wait_for(lambda: desk.channel("http") == "paused", 30, "the channel is paused")
            desk.write("withdrawals:review", "/v1/channels/http/open", {"reason": "asked the service"})
    payee = desk.payee(REGULAR, "bank", "6228480402564890018", "张三丰")
    desk.ask(REGULAR, "w2", 30_000, payee)
    desk.ask(REGULAR, "w3", 1_500, payee)
    desk.act(REGULAR, "w3", "reject", f"asked twice{markup}")


def _plan(service: str, user: str, plan: Document) -> None:
    """Let the service go wrong with the withdrawal `w1` of a user, also whenever it is asked about it."""
    number = hashlib.sha256(f"{user}\nw1".encode()).hexdigest()[:32]
    assert control(service, "plan", plan | {"number": number})
    if plan["name"] == "other-amount":
        assert control(service, "plan", plan | {"number": number, "asked": True, "times": 1_000_000})


def _proposals(desk: Desk, markup: str) -> None:
    desk.propose(BUYER, "ticket-4711", 1_250, f"a voucher was forgotten{markup}")
    desk.propose(REGULAR, "ticket-4712", -900, "paid twice by the old system", "payout-recovery")
    desk.propose(UNLUCKY, "ticket-4713", 500, "waited for three weeks")
    path = f"/v1/users/{UNLUCKY}/adjustments/ticket-4713/reject"
    desk.write("adjustments:approve", path, {"reason": "the bank's fault"})
