"""`rebate users balance`: what the workers say, as they say it; and what is said when they do not."""

from __future__ import annotations

import json
import posixpath
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from rebate_app.broker import free_port
from rebate_app.cli.terminal import table, yuan
from tests.cli.cases import run

USERS = [f"user{number}" for number in range(5)]


def balance_of(user: str, at: str | None) -> dict[str, object]:
    """Return a balance whose amounts tell users apart."""
    amount = int(user.removeprefix("user")) if user.startswith("user") else len(user)
    return {
        "user_id": user,
        "currency": "CNY",
        "unit": "fen",
        **dict.fromkeys(("estimated", "confirmed", "held", "available", "frozen", "withdrawn", "debt"), 0),
        "estimated": amount * 101,
        "available": -amount,
        "lines": {"open": amount, "settled": 0, "closed": 0},
        "at": at,
    }


class Worker(BaseHTTPRequestHandler):
    """A worker that knows five users, two on a page, and how to say no."""

    def do_GET(self) -> None:
        """Answer as docs/spec/http.md#balance has it."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/v1/users":
            begin = int(query.get("cursor", 0))
            after = begin + 2
            items = [{"user_id": user} for user in USERS[begin:after]]
            self.send_json(200, {"items": items, "next_cursor": str(after) if after < len(USERS) else None})
            return
        # A proxy in front of a worker resolves what is not percent-encoded.
        user = unquote(posixpath.normpath(parts.path).split("/")[3])
        if user == "busy":
            self.send_json(
                503, {"code": "not-ready", "detail": "partition 3 is being restored", "status": 503}
            )
        elif user == "broken":
            self.send_json(500, {"title": "Internal error"})
        elif user == "garbage":
            self.send_json(200, [])
        elif " " in user:
            self.send_json(400, {"code": "invalid-user_id", "detail": "a user id has no space"})
        else:
            self.send_json(200, balance_of(user, query.get("at")))

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
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URL of a worker, set as REBATE_URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Worker) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("REBATE_URL", url + "/")
        yield url
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("worker")
class TestBalance:
    """Answers."""

    def test_json_is_one_object_a_line_as_http_gives_it(self) -> None:
        """Nothing is added, renamed or left out, and the order is that of the arguments."""
        outcome = run("users", "balance", "user3", "user1", "--json")
        assert [json.loads(line) for line in outcome.stdout.splitlines()] == [
            balance_of("user3", None),
            balance_of("user1", None),
        ]
        assert outcome.code == 0

    def test_all_goes_through_every_page(self) -> None:
        """The cursor is followed to the end; nobody is left out or asked twice."""
        outcome = run("users", "balance", "--all", "--json")
        assert [json.loads(line)["user_id"] for line in outcome.stdout.splitlines()] == USERS

    @pytest.mark.parametrize("user", [".", "..", "...", "a@b.c", "_."])
    def test_ids_that_clients_resolve_are_asked_for_all_the_same(self, user: str) -> None:
        """Such a user, who is in an old log, neither breaks the command nor is somebody else."""
        assert run("users", "balance", user, "user1", "--json").stdout.splitlines() == [
            json.dumps(balance_of(each, None), separators=(",", ":")) for each in (user, "user1")
        ]

    def test_at_is_handed_on_as_it_is(self) -> None:
        """A `+` in an offset arrives as a `+`."""
        at = "2026-02-01T00:00:00+08:00"
        assert run("users", "balance", "user1", "--at", at, "--json").json["at"] == at

    def test_the_table_is_in_yuan(self) -> None:
        """People read yuan with two decimals, debts with their sign."""
        header, row = run("users", "balance", "user4").stdout.splitlines()
        assert header.split()[:3] == ["user", "estimated", "confirmed"]
        assert row.split() == ["user4", "¥4.04", "¥0.00", "¥0.00", "-¥0.04", "¥0.00", "4", "0", "0"]


@pytest.mark.usefixtures("worker")
class TestNoAnswer:
    """What else a worker can say, each with its exit code and one sentence."""

    @pytest.mark.parametrize(
        ("user", "code", "message"),
        [
            ("busy", 75, "partition 3 is being restored (not-ready)"),
            ("a b", 2, "a user id has no space (invalid-user_id)"),
            ("broken", 70, "Internal error"),
            ("garbage", 70, "status 200"),
        ],
    )
    def test_it_is_said_with_its_exit_code(self, user: str, code: int, message: str) -> None:
        """Try again, usage and a bug of ours are told apart; the worker's own words are kept."""
        outcome = run("users", "balance", user, "--json")
        assert (outcome.code, outcome.stdout) == (code, "")
        assert message in outcome.stderr
        assert outcome.stderr.count("\n") == 1


class TestUsage:
    """What is asked of nobody."""

    @pytest.mark.parametrize("arguments", [(), ("mei", "--all")])
    def test_users_or_all_of_them(self, arguments: tuple[str, ...]) -> None:
        """Exactly one of both has to be said."""
        outcome = run("users", "balance", *arguments)
        assert outcome.code == 2
        assert "--all" in outcome.stderr

    def test_no_worker_is_69(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The address that was tried is in the sentence."""
        url = f"http://127.0.0.1:{free_port()}"
        monkeypatch.setenv("REBATE_URL", url)
        outcome = run("users", "balance", "mei")
        assert (outcome.code, outcome.stderr) == (69, f"Error: No worker answers at {url} (REBATE_URL).\n")

    def test_an_url_that_is_none_is_78(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mistyped URL is a sentence too."""
        monkeypatch.setenv("REBATE_URL", "localhost")
        outcome = run("users", "balance", "mei")
        assert outcome.code == 78
        assert outcome.stderr.count("\n") == 1


class TestShow:
    """Amounts and columns."""

    @pytest.mark.parametrize(
        ("fen", "shown"), [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (104_7, "10.47"), (-100, "-1.00")]
    )
    def test_yuan_have_two_decimals(self, fen: int, shown: str) -> None:
        """By integers, with the sign in front."""
        assert yuan(fen) == shown

    def test_columns_are_as_wide_as_their_widest_cell(self) -> None:
        """The first column to the left, figures to the right."""
        assert table(("a", "b"), [("xyz", "10"), ("x", "1")]) == "a     b\nxyz  10\nx     1"
