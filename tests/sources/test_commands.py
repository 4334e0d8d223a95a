"""`rebate sources …` without a broker: the file, and calls to simulated networks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from examples.simulators.network import Network, Switches
from examples.simulators.server import fast_clock, new_network, serving
from rebate_app.sources.account import Reply
from rebate_app.sources.cursors import AccountDecision, encode_decision
from rebate_app.sources.gateway import HttpGateway
from rebate_app.web.resources.sources import post_resume
from tests.cli.cases import run
from tests.sources.test_on_kafka import write_sources


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Serve JD, with the file of sources that names it."""
    network = new_network("jd", 50, int(time.time()) - 86_400, 1)
    with serving(network, fast_clock(time.time(), 1)) as url:
        monkeypatch.setenv("REBATE_SOURCES", str(write_sources(tmp_path, {"jd": url})))
        yield network


class TestCheck:
    """`rebate sources check` says what is wrong before anything is fetched."""

    def test_good(self, served: Network) -> None:
        """One call that only asks for the time, and one for each method."""
        outcome = run("sources", "check", "--json")
        assert outcome.code == 0
        ((item),) = outcome.json["items"]
        assert (item["account"], item["method"], item["result"]) == (
            "jd-1",
            "jd.union.open.order.row.query",
            "ok",
        )
        assert len(served.calls) == 2
        assert "jd-1" in run("sources", "check", "--account", "jd-1").stdout

    def test_a_wrong_secret(self, served: Network) -> None:
        """Exit code 1, with the network's own code."""
        served.secret = "another"  # noqa: S105
        outcome = run("sources", "check", "--json")
        assert (outcome.code, outcome.json["items"][0]["code"]) == (1, "12")

    def test_a_network_that_is_away(self, served: Network) -> None:
        """Exit code 75."""
        served.switches = Switches(away=[(0, 2**40)])
        outcome = run("sources", "check", "--json")
        assert (outcome.code, outcome.json["items"][0]["code"]) == (75, "http-502")

    def test_nobody_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A refused connection is told in a word."""
        monkeypatch.setenv("REBATE_SOURCES", str(write_sources(tmp_path, {"pdd": "http://127.0.0.1:1/"})))
        outcome = run("sources", "check", "--json")
        assert (outcome.code, outcome.json["items"][0]["code"]) == (75, "no-answer")

    def test_the_file(self, served: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """78 with all problems; 2 for an account that it does not have; an empty one is fine."""
        assert run("sources", "check", "--account", "other").code == 2
        path = tmp_path / "bad.toml"
        path.write_text("[[app]]\nid = 'x'\n")
        monkeypatch.setenv("REBATE_SOURCES", str(path))
        outcome = run("sources", "check")
        assert outcome.code == 78
        assert "network is missing" in outcome.stderr
        assert "secret_file is missing" in outcome.stderr
        monkeypatch.setenv("REBATE_SOURCES", str(tmp_path / "nowhere"))
        assert run("sources", "poll", "--once").code == 78
        monkeypatch.delenv("REBATE_SOURCES")
        assert run("sources", "pause", "x").code == 78
        path.write_text("")
        monkeypatch.setenv("REBATE_SOURCES", str(path))
        assert run("sources", "check").code == 0

    def test_options(self, served: Network) -> None:
        """`poll` needs `--once`; times need an offset and an order."""
        assert run("sources", "poll").code == 2
        times = ("--from", "2026-01-02T00:00:00+08:00", "--to", "2026-01-01T00:00:00+08:00")
        assert run("sources", "backfill", "--account", "jd-1", *times).code == 2
        assert run("sources", "backfill", "--account", "jd-1", "--from", "2026-01-02", "--to", "x").code == 2


class TestDecisionsOverHttp:
    """`POST /v1/sources/{account}/pause` and `/resume`."""

    def test_a_backfill_stays_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The decision follows the one before it."""
        written: list[tuple[bytes, bytes]] = []

        async def write(_topic: str, records: list[tuple[bytes, bytes]]) -> None:
            written.extend(records)

        async def members(*_: Any) -> dict[str, Any]:
            return {}

        monkeypatch.setattr("rebate_app.web.resources.sources.members_of", members)
        known = AccountDecision(True, 5, "x", 10, 20, 4)
        context: Any = SimpleNamespace(
            sources=lambda _seen: [{"account": "jd-1"}],
            source_decision={"jd-1": known}.get,
            clock=lambda: 9,
            topics=SimpleNamespace(fetch_cursors="cursors"),
        )
        caller = SimpleNamespace(actor="mei")
        request: Any = SimpleNamespace(
            params={"account": "jd-1"}, trail=SimpleNamespace(write=write), caller=caller
        )

        async def resume() -> None:
            await post_resume(context, request)

        asyncio.run(resume())
        assert written == [encode_decision("jd-1", AccountDecision(False, 9, "mei", 10, 20, 4))]


class _Odd(BaseHTTPRequestHandler):
    """Answers with a body that is too long, a redirect, or nothing in time."""

    def do_POST(self) -> None:
        if self.path == "/slow":
            time.sleep(0.5)
        self.send_response_only(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/")
        self.send_header("Date", "Sat, 10 Jan 2026 03:25:00 GMT")
        self.send_header("Retry-After", "8")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        with contextlib.suppress(OSError):  # a client that gave up
            self.wfile.write(b"x" * 1_000)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Print nothing."""


class TestGateway:
    """What the network does on the wire."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        """Serve odd answers."""
        with ThreadingHTTPServer(("127.0.0.1", 0), _Odd) as server:
            thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            server.shutdown()
            thread.join()

    def test_answers(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Body and date; redirects are not followed; what is too long or too late is no answer."""

        async def post(path: str, seconds_max: float = 5.0) -> Reply:
            async with HttpGateway(seconds_max) as gateway:
                return await gateway.post(url + path, {"a": "1"})

        good = asyncio.run(post("/"))
        assert (good.status, len(good.body), good.date) == (200, 1_000, 1_768_015_500)
        assert good.retry_after == "8"
        assert asyncio.run(post("/moved")).status == 302
        late = asyncio.run(post("/slow", 0.05))
        assert (late.status, late.failure != "") == (0, True)
        monkeypatch.setattr("rebate_app.sources.gateway.BODY_BYTES_MAX", 100)
        long = asyncio.run(post("/"))
        assert (long.status, long.date) == (0, 1_768_015_500)
        assert "longer" in long.failure
