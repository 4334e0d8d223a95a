"""`rebate payouts` and `payees`: as the contract writes them, files with bad rows, and bills."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.cli.cases import run

RESULTS = "payout_no,status,amount_yuan,channel_ref,code,at\n"
BILL = "payout_no,amount_yuan,status,channel_ref,at\n"
ROTATED = {"rotated": 2, "unreadable": 0}
Sent = list[tuple[str, Any]]
AsFile = Callable[[str], str]


def day(number: int) -> str:
    """Return noon of a day of March."""
    return f"2026-03-{number:02}T12:00:00+08:00"


def withdrawal(number: str, state: str, paid_at: str | None = None, returned_at: str | None = None) -> Any:
    """Return what matters here of a withdrawal; it changed last at the end of the month."""
    members = {"payout_no": number, "net": 995, "state": state, "updated_at": day(31)}
    return members | {"paid_at": paid_at, "returned_at": returned_at}


class Worker(BaseHTTPRequestHandler):
    """A worker that takes everything but payout `ffff`, and keeps what is sent to it."""

    sent: ClassVar[Sent] = []
    withdrawals: ClassVar[list[Any]] = []

    def do_GET(self) -> None:
        """Answer with channels and withdrawals."""
        items = {"/v1/channels": [{"name": "bank"}, {"name": "http"}], "/v1/withdrawals": self.withdrawals}
        self.send_json({"items": items[self.path.partition("?")[0]], "next_cursor": None})

    def do_POST(self) -> None:
        """Keep the request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.sent.append((self.path, body))
        if self.path.endswith("/results"):
            self.send_json(self.taken(body))
        elif self.path.endswith("/rotate"):
            self.send_json(ROTATED)
        else:
            name, verb = self.path.split("/")[-2:]
            self.send_json({"name": name, "state": verb, "confirmed": True})

    @staticmethod
    def taken(body: Any) -> Any:
        """Return what becomes of results."""
        numbers = [row["payout_no"] for row in body["rows"]]
        refused = [
            {"row": n, "code": "unknown-payout"} for n, each in enumerate(numbers, 1) if each == "ffff"
        ]
        writes = not body["dry_run"] and not (body["strict"] and refused)
        return {"accepted": writes * (len(numbers) - len(refused)), "unchanged": 0, "refused": refused}

    def send_json(self, document: object) -> None:
        """Send a JSON answer."""
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """Give what is sent to a worker at REBATE_URL."""
    Worker.sent, Worker.withdrawals = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Worker) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("REBATE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        yield Worker.sent
        server.shutdown()
        thread.join()


@pytest.fixture
def as_file(tmp_path: Path) -> AsFile:
    """Give what writes a file and returns its path."""

    def write(content: str) -> str:
        path = tmp_path / "file.csv"
        path.write_text(content)
        return str(path)

    return write


class TestAsTheContractWritesThem:
    """Commands that need no more words, where nobody can be asked."""

    @pytest.mark.parametrize("verb", ["open", "pause", "close"])
    def test_channels(self, sent: Sent, verb: str) -> None:
        """Without a reason, as over HTTP."""
        outcome = run("payouts", verb, "bank")
        assert (outcome.code, outcome.stdout) == (0, f"bank is {verb}\n")
        assert run("payouts", verb, "bank", "--reason", "why").code == 0
        path = f"/v1/channels/bank/{verb}"
        assert sent == [(path, {}), (path, {"reason": "why"})]

    def test_close_all(self, sent: Sent) -> None:
        """Every channel."""
        assert run("payouts", "close", "--all").code == 0
        assert sent == [("/v1/channels/bank/close", {}), ("/v1/channels/http/close", {})]

    @pytest.mark.parametrize("words", [(), ("--yes",)])
    def test_rotate(self, sent: Sent, words: tuple[str, ...]) -> None:
        """Nobody is asked."""
        outcome = run("payees", "rotate", "--json", *words)
        assert (outcome.code, outcome.json) == (0, ROTATED)
        assert sent == [("/v1/payees/rotate", {})]

    def test_activate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It goes as far as the broker, which is not there."""
        monkeypatch.setenv("REBATE_BROKER", "127.0.0.1:1")
        outcome = run("payouts", "activate", "--wait", "1")
        assert (outcome.code, "127.0.0.1:1" in outcome.stderr) == (69, True)

    def test_import_results(self, sent: Sent, as_file: AsFile) -> None:
        """The numbers say which channel; --channel narrows."""
        file = as_file(RESULTS + "ab,paid,9.95,r1,,2026-03-01T04:00:00Z\n")
        assert run("payouts", "import-results", file).stdout == "accepted 1, unchanged 0\n"
        assert run("payouts", "import-results", file, "--channel", "bank").code == 0
        assert [path for path, _ in sent] == ["/v1/payouts/results", "/v1/channels/bank/results"]
        row = {"payout_no": "ab", "status": "paid", "amount": 995, "channel_ref": "r1", "code": None}
        assert sent[0][1]["rows"] == sent[1][1]["rows"] == [row | {"at": "2026-03-01T04:00:00Z"}]


class TestBadRows:
    """Some cannot be read, and others are refused by the worker."""

    LINES = ("a,paid,abc,r,,", "b,paid,9.95,r,,", "c,paid,9.95,not a word,,", "ffff,paid,9.95,r,,")
    FILE = RESULTS + "\n".join((*LINES, "d,paid,9.95,r,,yesterday", "e,failed,9.95,,,"))
    REFUSED: ClassVar = [
        {"row": 1, "code": "invalid-amount_yuan"},
        {"row": 3, "code": "invalid-channel_ref"},
        {"row": 4, "code": "unknown-payout"},
        {"row": 5, "code": "invalid-at"},
    ]

    def test_the_good_ones_are_taken(self, sent: Sent, as_file: AsFile) -> None:
        """Each bad one is listed with its row and why, and the exit code is 1."""
        outcome = run("payouts", "import-results", as_file(self.FILE), "--json")
        assert outcome.code == 1
        assert outcome.json == {"read": 6, "accepted": 2, "unchanged": 0, "refused": self.REFUSED}
        ((_, body),) = sent
        assert [row["payout_no"] for row in body["rows"]] == ["b", "ffff", "e"]
        assert "row 5: invalid-at" in run("payouts", "import-results", as_file(self.FILE)).stdout

    def test_strict_takes_none_and_checks_all(self, sent: Sent, as_file: AsFile) -> None:
        """Also where only a row that is not sent is bad."""
        outcome = run("payouts", "import-results", as_file(self.FILE), "--json", "--strict")
        assert (outcome.code, outcome.json["accepted"], outcome.json["refused"]) == (1, 0, self.REFUSED)
        file = as_file(RESULTS + "b,paid,9.95,r,,\na,paid,abc,r,,\n")
        outcome = run("payouts", "import-results", file, "--json", "--strict")
        assert (outcome.code, outcome.json["accepted"]) == (1, 0)
        assert outcome.json["refused"] == [{"row": 2, "code": "invalid-amount_yuan"}]
        assert [body["dry_run"] for _, body in sent] == [True, True]
        assert run("payouts", "import-results", as_file(RESULTS + "b,paid,9.95,r,,\n"), "--strict").code == 0
        assert (sent[-1][1]["strict"], sent[-1][1]["dry_run"]) == (True, False)

    def test_rows_of_a_second_request_keep_their_places(
        self, sent: Sent, as_file: AsFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many are left out before."""
        monkeypatch.setattr("rebate_app.cli.payouts_actions.ROWS_AT_ONCE", 2)
        outcome = run("payouts", "import-results", as_file(self.FILE), "--json")
        assert outcome.json["refused"] == self.REFUSED
        assert len(sent) == 2

    @pytest.mark.parametrize("content", ["payout_no,status\na,paid\n", ""])
    def test_a_file_of_another_kind(self, sent: Sent, as_file: AsFile, content: str) -> None:
        """Exit code 2, and nothing is sent."""
        outcome = run("payouts", "import-results", as_file(content))
        assert (outcome.code, sent) == (2, [])


class TestReconcile:
    """A bill against withdrawals, all of which changed last after it."""

    @staticmethod
    def kinds(outcome: Any) -> list[tuple[str, str]]:
        """Return what differs."""
        return [(each["payout_no"], each["kind"]) for each in outcome.json["differences"]]

    @pytest.mark.parametrize(
        ("known", "days", "kinds"),
        [
            (withdrawal("b", "paid", day(2)), (1, 3), [("b", "paid-here-not-there")]),
            (withdrawal("b", "paid", day(2)), (30, 31), []),
            (withdrawal("b", "returned", day(2), day(30)), (3, 4), []),
            (withdrawal("b", "returned", day(2), day(3)), (3, 4), [("b", "returned-here-not-there")]),
            (withdrawal("a", "returned", day(1), day(30)), (1, 3), []),
            (withdrawal("a", "returned", day(1), day(2)), (1, 3), [("a", "returned-here-not-there")]),
        ],
    )
    def test_moments(
        self, sent: Sent, as_file: AsFile, known: Any, days: tuple[int, int], kinds: list[tuple[str, str]]
    ) -> None:
        """Those of payment and return count, not that of the last change."""
        numbers = ("a", "z")
        Worker.withdrawals = [withdrawal(n, "paid", day(1)) for n in numbers if n != known["payout_no"]] + [
            known
        ]
        rows = [f"{n},9.95,paid,r,{day(number)}\n" for n, number in zip(numbers, days, strict=True)]
        outcome = run("payouts", "reconcile", as_file(BILL + "".join(rows)), "--channel", "http", "--json")
        assert (self.kinds(outcome), outcome.code) == (kinds, int(bool(kinds)))
        assert sent == []

    def test_other_statuses(self, sent: Sent, as_file: AsFile) -> None:
        """Are not paid there, are counted and shown, and close nothing."""
        Worker.withdrawals = [withdrawal("a", "paid", day(1)), withdrawal("b", "failed")]
        file = as_file(BILL + f"a,9.95,failed,r,{day(1)}\nb,9.95,failed,r,{day(2)}\nc,9.95,,r,{day(3)}\n")
        outcome = run("payouts", "reconcile", file, "--channel", "http", "--json")
        assert (outcome.code, self.kinds(outcome)) == (1, [("a", "paid-here-not-there")])
        assert (outcome.json["ignored"], outcome.json["closed"], sent) == ({"failed": 2, "": 1}, False, [])
        shown = run("payouts", "reconcile", file, "--channel", "http").stdout
        assert "2 rows are neither paid nor returned: failed" in shown
        assert "1 rows are neither paid nor returned: no status" in shown

    def test_what_is_paid_there_alone_closes_the_channel(self, sent: Sent, as_file: AsFile) -> None:
        """Beside rows of any status."""
        file = as_file(BILL + f"a,9.95,failed,r,{day(1)}\nb,9.95,paid,r,{day(2)}\n")
        outcome = run("payouts", "reconcile", file, "--channel", "http", "--json")
        assert (self.kinds(outcome), outcome.json["closed"]) == ([("b", "paid-there-not-here")], True)
        assert sent[0][0] == "/v1/channels/http/close"


def test_activate_asks_at_a_terminal() -> None:
    """What is not answered with yes is not done."""
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    command = [str(Path(sys.executable).parent / "rebate"), "payouts", "activate"]
    environment = os.environ | {"REBATE_BROKER": "127.0.0.1:1"}
    done = subprocess.run(
        command, stdin=theirs, capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, "Let the app rebate decide and pay?" in done.stderr) == (1, True)
