"""`rebate withdrawals`, `adjustments`, `openings`: what is sent over HTTP, and what is refused before."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.cli.cases import lines, run

WITHDRAWAL = {
    "user_id": "mei",
    "withdrawal_id": "w1",
    "payout_no": "ab",
    "amount": 1_000,
    "fee": 10,
    "net": 990,
    "channel": "bank",
    "state": "review",
    "reason": None,
    "approvals": [{"actor": "key:a", "at": "2026-03-01T00:00:00+08:00"}],
    "attempts": [{"attempt": 1, "at": "2026-03-01T00:00:01+08:00"}],
    "requested_at": "2026-03-01T00:00:00+08:00",
    "updated_at": "2026-03-01T00:00:00+08:00",
}
ADJUSTMENT = {
    "user_id": "mei",
    "adjustment_id": "a1",
    "amount": -500,
    "reason_code": "other",
    "state": "proposed",
    "proposed_by": "key:a",
    "reason": "r",
}
OPENING = {"user_id": "mei", "opening_id": "o1", "source": "old", "as_of": "2026-01-01", "available": 500}
OPENING |= {"confirmed": [{"on": "2026-04-01", "amount": 70}], "withdrawn": 3}
WHY = ("--reason", "checked", "--by", "lin")


class Worker(BaseHTTPRequestHandler):
    """A worker that has one of each, and keeps what is sent to it."""

    sent: ClassVar[list[tuple[str, str | None, Any]]] = []

    def do_GET(self) -> None:
        """Answer lists and items."""
        path = self.path.partition("?")[0]
        items = {"/v1/withdrawals": [WITHDRAWAL], "/v1/adjustments": [ADJUSTMENT]}
        items["/v1/openings"] = [
            OPENING | {"state": "proposed"},
            OPENING | {"opening_id": "o2", "state": "approved"},
        ]
        entry: dict[str, Any] = dict.fromkeys(("estimated", "held"), 0) | {
            "settled": -1_000,
            "frozen": 1_000,
            "withdrawn": 0,
        }
        entry |= {"at": "now", "effective_on": None, "platform": "", "order_line_id": "", "role": ""}
        texts = {
            "kind": "withdraw",
            "reason": "withdrawal.decided",
            "rule_version": "r1",
            "withdrawal_id": "w1",
        }
        items["/v1/users/mei/ledger"] = [entry | texts]
        if path in items:
            self.send_json(200, {"items": items[path], "next_cursor": None})
        elif path == "/v1/users/mei/withdrawals/w1":
            self.send_json(200, WITHDRAWAL)
        else:
            self.send_json(404, {"code": "unknown-withdrawal", "detail": "the user has no such withdrawal"})

    def do_POST(self) -> None:
        """Keep the request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.sent.append((self.path, self.headers.get("Authorization"), body))
        if self.path.endswith("/approve") and "/withdrawals/" in self.path:
            self.send_json(409, {"code": "same-actor", "detail": "another person has to do this"})
        else:
            self.send_json(201, {"state": "proposed"})

    def send_json(self, status: int, document: object) -> None:
        """Send a JSON answer."""
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None, Any]]]:
    """Give what is sent to a worker at REBATE_URL, with a token."""
    Worker.sent = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Worker) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("REBATE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("REBATE_TOKEN", "rbk_ops_x")
        yield Worker.sent
        server.shutdown()
        thread.join()


def test_lists_and_items(worker: list[Any]) -> None:
    """As tables and as JSON."""
    del worker
    assert "w1  ¥10.00     bank  review" in run("withdrawals", "list", "--state", "review").stdout
    assert run("withdrawals", "list", "--json").json["items"] == [WITHDRAWAL]
    shown = run("withdrawals", "show", "mei", "w1").stdout
    assert "net            ¥9.90" in shown
    assert "by key:a" in shown
    assert run("withdrawals", "show", "mei", "w1", "--json").json == WITHDRAWAL
    assert "-¥5.00" in run("adjustments", "list").stdout
    assert run("adjustments", "list", "--json").json["items"] == [ADJUSTMENT]
    outcome = run("withdrawals", "show", "mei", "w2")
    assert (outcome.code, "unknown-withdrawal" in outcome.stderr) == (1, True)


def test_a_ledger_names_what_belongs_to_no_line(worker: list[Any]) -> None:
    """The withdrawal in place of a line, with the money that is frozen."""
    del worker
    shown = run("users", "ledger", "mei").stdout.splitlines()[1].split()
    assert shown == [
        "now",
        "w1",
        "withdraw",
        "¥0.00",
        "-¥10.00",
        "¥0.00",
        "¥10.00",
        "¥0.00",
        "withdrawal.decided",
        "r1",
    ]


def test_verdicts_go_over_http_with_the_token(worker: list[Any]) -> None:
    """Who acts is the holder of the token; `--by` is a note."""
    outcome = run("withdrawals", "reject", "mei", "w1", *WHY)
    assert (outcome.code, outcome.stdout) == (0, "proposed\n")
    path, token, body = worker[0]
    assert (path, token) == ("/v1/users/mei/withdrawals/w1/reject", "Bearer rbk_ops_x")
    assert body == {"withdrawal_id": "w1", "reason": "checked (by lin)"}
    outcome = run("withdrawals", "resolve", "mei", "w1", "--outcome", "paid", "--channel-ref", "R", *WHY)
    assert worker[1][2]["channel_ref"] == "R"
    run("withdrawals", "confirm", "mei", "w1", "--outcome", "failed", "--json", *WHY)
    assert worker[2][2] == {"withdrawal_id": "w1", "outcome": "failed", "reason": "checked (by lin)"}
    outcome = run("withdrawals", "approve", "mei", "w1", *WHY)
    assert (outcome.code, "same-actor" in outcome.stderr) == (1, True)


def test_a_reason_where_none_is_needed(worker: list[Any]) -> None:
    """Cancelling, confirming, and resolving as paid; a worker of the version before needs a text."""
    paid = ("--outcome", "paid", "--channel-ref", "SIM/0001")
    for words in (("cancel",), ("resolve", *paid), ("confirm", *paid), ("confirm", "--outcome", "failed")):
        verb, *rest = words
        outcome = run("withdrawals", verb, "mei", "w1", *rest, "--by", "lin")
        assert outcome.code == 0, outcome.stderr
        assert worker[-1][2]["reason"] == "none given (by lin)"
    outcome = run("withdrawals", "resolve", "mei", "w1", "--outcome", "failed", "--by", "lin")
    assert (outcome.code, "missing-reason" in outcome.stderr) == (2, True)
    for verb in ("approve", "reject"):
        assert run("withdrawals", verb, "mei", "w1", "--by", "lin").code == 2


def test_adjustments(worker: list[Any]) -> None:
    """Amounts are in fen."""
    amount = ("--amount", "-500", "--reason-code", "other")
    assert run("adjustments", "propose", "mei", "a1", *amount, "--ref", "T-1", *WHY).stdout == "proposed\n"
    assert worker[0][2]["amount"] == -500
    assert run("adjustments", "approve", "mei", "a1", "--json", *WHY).json == {"state": "proposed"}
    assert worker[1][0] == "/v1/users/mei/adjustments/a1/approve"


def test_openings(worker: list[Any], tmp_path: Path) -> None:
    """Count and sums first; without --yes nobody can be asked."""
    file = tmp_path / "openings.ndjson"
    file.write_text(lines(OPENING, OPENING | {"opening_id": "o2"}))
    command = ("openings", "import", str(file), "--batch", "b1", "--by", "lin")
    outcome = run(*command)
    assert (outcome.code, worker) == (2, [])
    assert "2 openings: ¥10.00 available, ¥1.40 confirmed, ¥0.06 withdrawn" in outcome.stderr
    outcome = run(*command, "--yes", "--json")
    assert outcome.json == {"batch": "b1", "sent": 2, "available": 1_000, "confirmed": 140, "withdrawn": 6}
    assert [body["batch"] for _, _, body in worker] == ["b1", "b1"]
    outcome = run("openings", "approve", "--batch", "b1", "--yes", "--by", "wang")
    assert outcome.stdout == "sent 1\n"
    assert worker[2][0] == "/v1/users/mei/openings/o1/approve"
    assert worker[2][2]["reason"] == "batch b1 approved (by wang)"
    run("openings", "approve", "--batch", "b1", "--yes", "--by", "wang", "--reason", "sums agree")
    assert worker[3][2]["reason"] == "sums agree (by wang)"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lines(OPENING, OPENING | {"available": "5"}), "line 2: invalid-available"),
        (lines("not JSON"), "line 1"),
        ("", "has no openings"),
    ],
)
def test_a_file_with_a_fault_sends_nothing(
    worker: list[Any], tmp_path: Path, content: str, expected: str
) -> None:
    """Every line is checked before."""
    file = tmp_path / "openings.ndjson"
    file.write_text(content)
    outcome = run("openings", "import", str(file), "--batch", "b1", "--yes", "--by", "lin")
    assert (outcome.code, worker) == (2, [])
    assert expected in outcome.stderr


def test_faults_of_a_fact(worker: list[Any]) -> None:
    """Exit code 2, and nothing is sent."""
    outcome = run("withdrawals", "approve", "mei", "w 1", *WHY)
    assert (outcome.code, worker) == (2, [])
    assert "invalid-withdrawal_id" in outcome.stderr
