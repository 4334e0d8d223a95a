"""examples/webhook_receiver.py as people copy it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from rebate_app.broker import free_port
from rebate_app.settings import load_settings
from rebate_app.webhooks.poster import Poster
from rebate_app.webhooks.signing import headers_of
from tests.rig.waiting import wait_for

EXAMPLE = Path(__file__).parents[2] / "examples" / "webhook_receiver.py"
EVENT = {"event_id": "0" * 32, "kind": "balance.changed", "user_id": "ann"}
BODY = json.dumps(EVENT).encode()


def status_of(url: str, headers: dict[str, str]) -> int:
    """Return what the receiver answers to these headers."""
    request = urllib.request.Request(url, data=BODY, headers=headers, method="POST")  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - loopback
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


@contextmanager
def started() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Give the port and the process of an example that listens."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE), str(port)],
        env=os.environ | {"SECRET": "old"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: status_of(f"http://127.0.0.1:{port}/", {}) == 401, 10, "the example listens")
        yield port, process
    finally:
        process.kill()
        process.communicate()


def raw_status(port: int, request: bytes) -> int:
    """Send bytes as they are and no more; return the status of the answer, 0 for none."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65_536)
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else 0


def request_of(body: bytes, headers: Mapping[str, str] | None = None, size: str | None = "") -> bytes:
    """Return a POST as it goes over the wire; `size` replaces its Content-Length, None leaves it out."""
    given = dict(signed(body) if headers is None else headers)
    if size is not None:
        given["Content-Length"] = size or str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return b"POST / HTTP/1.1\r\nHost: x\r\n" + lines.encode() + b"\r\n" + body


def signed(body: bytes) -> dict[str, str]:
    """Return the headers that make a body genuine."""
    return headers_of(body, [b"old"], int(time.time()), 1)


def forged(**headers: str) -> bytes:
    """Return a request whose headers of those names are something else."""
    given = signed(BODY) | {name.replace("_", "-"): value for name, value in headers.items()}
    return request_of(BODY, given)


MALFORMED: dict[str, Callable[[], tuple[bytes, int]]] = {
    "no header": lambda: (request_of(BODY, {}), 401),
    "no signature": lambda: (forged(Rebate_Signature=""), 401),
    "a signature of another kind": lambda: (forged(Rebate_Signature="v1=é,,v2=,=" + "x" * 9_000), 401),
    "no timestamp": lambda: (forged(Rebate_Timestamp=""), 401),
    "a timestamp in superscript": lambda: (forged(Rebate_Timestamp="²"), 401),
    "a timestamp below 0": lambda: (forged(Rebate_Timestamp="-1"), 401),
    "a timestamp without end": lambda: (forged(Rebate_Timestamp="9" * 5_000), 401),
    "no length": lambda: (request_of(BODY, size=None), 411),
    "a body in chunks": lambda: (
        request_of(b"0\r\n\r\n", signed(b"") | {"Transfer-Encoding": "chunked"}, None),
        411,
    ),
    "a length below 0": lambda: (request_of(BODY, size="-1"), 400),
    "a length with a sign": lambda: (request_of(BODY, size="+5"), 400),
    "a length in words": lambda: (request_of(BODY, size="many"), 400),
    "a length in superscript": lambda: (request_of(BODY, size="²"), 400),
    "a huge body": lambda: (request_of(b"", signed(b""), str(2**33)), 413),
    "a length without end": lambda: (request_of(BODY, size="9" * 5_000), 400),
    "a body that is cut off": lambda: (request_of(BODY, size=str(len(BODY) + 1)), 401),
    "no UTF-8": lambda: (request_of(b'{"event_id":"\xff\xfe"}'), 400),
    "no JSON": lambda: (request_of(b"{"), 400),
    "an empty body": lambda: (request_of(b"", signed(b""), "0"), 400),
    "a list": lambda: (request_of(b"[]"), 400),
    "null": lambda: (request_of(b"null"), 400),
    "no event_id": lambda: (request_of(b'{"kind":"a","user_id":"u"}'), 400),
    "deep nesting": lambda: (request_of(b"[" * 200_000), 400),
    "a surrogate": lambda: (request_of(b'{"event_id":"s","kind":"a","user_id":"\\ud800"}'), 204),
    "an id that cannot be hashed": lambda: (request_of(b'{"event_id":[],"kind":"a","user_id":"u"}'), 204),
    "no HTTP": lambda: (b"\x16\x03\x01\x02\x00\r\n\r\n", 0),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Return the port of one example for all inputs."""
    with started() as (port, _):
        yield port


class TestMalformed:
    """Whatever comes gets a 4xx; there is no traceback, and what is genuine is taken afterwards."""

    @pytest.mark.parametrize("name", MALFORMED)
    def test_it_is_refused(self, port: int, name: str) -> None:
        """One connection with one input."""
        request, status = MALFORMED[name]()
        found = raw_status(port, request)
        assert found == status or (status == 0 and found == 400)

    def test_no_traceback_is_printed(self) -> None:
        """A sender that resets the connection is one line on stderr."""
        with started() as (port, process):
            for name in MALFORMED:
                raw_status(port, MALFORMED[name]()[0])
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(request_of(b"", signed(b""), "1000"))
            assert status_of(f"http://127.0.0.1:{port}/", signed(BODY)) == 204
            process.kill()
            assert "Traceback" not in process.communicate()[1]

    @pytest.mark.parametrize("secret", ["", "  ", None])
    @pytest.mark.parametrize("arguments", [["8080"], ["x"], []])
    def test_without_a_secret_it_does_not_start(self, secret: str | None, arguments: list[str]) -> None:
        """An empty secret would take whatever anybody signs with it."""
        environment = {name: value for name, value in os.environ.items() if name != "SECRET"}
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), *arguments],
            env=environment | ({} if secret is None else {"SECRET": secret}),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr == ("usage: SECRET=… webhook_receiver.py PORT: the secret that signs, not empty\n")


class TestExample:
    """It takes what is ours, lately sent, and each event once."""

    @pytest.fixture
    def running(self) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        """Return its URL and process."""
        with started() as (port, process):
            yield f"http://127.0.0.1:{port}/", process

    def test_it_takes_ours_once_and_nothing_else(self, running: tuple[str, subprocess.Popen[str]]) -> None:
        """Our own sender is believed, also in rotation; forged, old and altered requests are not."""
        url, process = running
        settings = load_settings(
            {
                "REBATE_WEBHOOK_URL": url,
                "REBATE_WEBHOOK_SECRET": "new,old",
                "REBATE_WEBHOOK_ALLOW_PRIVATE": "1",
            }
        )

        async def twice() -> list[str]:
            async with Poster(settings) as poster:
                return [(await poster.post(BODY, attempt)).code for attempt in (1, 2)]

        assert asyncio.run(twice()) == ["status-204", "status-204"]
        now = int(time.time())
        assert status_of(url, headers_of(BODY, [b"forged"], now, 1)) == 401
        assert status_of(url, headers_of(BODY, [b"old"], now - 400, 1)) == 401
        assert status_of(url, headers_of(BODY + b" ", [b"old"], now, 1)) == 401
        process.kill()
        assert process.communicate()[0] == "balance.changed ann\n"

    def test_it_is_as_short_as_it_is_said_to_be(self) -> None:
        """About sixty lines of code, of the standard library alone."""
        lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert len(lines) <= 60
        assert "rebate_app" not in EXAMPLE.read_text(encoding="utf-8")
