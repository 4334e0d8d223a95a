"""What is no HTTP, or not the HTTP that is served, is a problem like any other, and never a 500."""

from __future__ import annotations

import asyncio
import logging
import random

import orjson
import pytest

from rebate_app.web.server.limits import Limits
from tests.conftest import SEED
from tests.web.facts import paid
from tests.web.raw_http import get, host_of, post, raw_client, refused, request, until_busy
from tests.web.worlds import World

pytestmark = pytest.mark.asyncio

OWN = b"%OWN%"
JSON_POST = b"POST /v1/orders HTTP/1.1\r\nHost: %OWN%\r\nContent-Type: application/json\r\n"
CHUNKED = JSON_POST + b"Transfer-Encoding: chunked\r\n\r\n"
BAD_REQUESTS = (
    *(b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50), b"GET\r\n\r\n"),
    *(
        b"GET / HTTP/9.9\r\nHost: %OWN%\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ),
    *(b"get / HTTP/1.1\r\nHost: %OWN%\r\n\r\n", b"BREW / HTTP/1.1\r\nHost: %OWN%\r\n\r\n"),
    *(b"GET / HTTP/1.1\nHost: %OWN%\n\n", b"GET /a b HTTP/1.1\r\nHost: %OWN%\r\n\r\n"),
    b"GET / HTTP/1.1\r\nHost: %OWN%\r\nHost: %OWN%\r\n\r\n",
    *(b"GET / HTTP/1.1\r\nHost : %OWN%\r\n\r\n", b"GET / HTTP/1.1\r\nHost: %OWN%\r\nno colon\r\n\r\n"),
    b"GET / HTTP/1.1\r\nHost: %OWN%\r\nX: a\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: %OWN%\r\nX: \x00\r\n\r\n",
    *(b"GET /\xff\xfe HTTP/1.1\r\nHost: %OWN%\r\n\r\n", b"GET /\x00 HTTP/1.1\r\nHost: %OWN%\r\n\r\n"),
    *(b"GET http:///x HTTP/1.1\r\nHost: %OWN%\r\n\r\n", b"GET x HTTP/1.1\r\nHost: %OWN%\r\n\r\n"),
    *(b"GET http://[ HTTP/1.1\r\nHost: %OWN%\r\n\r\n", b"GET http://a:b/ HTTP/1.1\r\nHost: %OWN%\r\n\r\n"),
    *(JSON_POST + b"Content-Length: -1\r\n\r\n", JSON_POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n"),
    JSON_POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    JSON_POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    *(JSON_POST + b"Transfer-Encoding: bogus\r\n\r\n", CHUNKED + b"zz\r\n", CHUNKED + b"5\r\nabcdeXX"),
    CHUNKED + b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: %OWN%\r\nSec-WebSocket-Key1: x\r\n\r\n",
)
MUTATIONS = 600
AT_ONCE = 40


class TestMalformed:
    """400 for what cannot be parsed."""

    @pytest.mark.parametrize("data", BAD_REQUESTS)
    async def test_it_is_400_and_the_end(
        self, world: World, data: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One problem, then the connection ends; the log does not grow with what others send."""
        async with raw_client(world) as client:
            answer = await client.ask(data.replace(OWN, host_of(world).encode()))
            refused(answer, 400, "invalid-request")
            assert answer.json["detail"].isprintable()
            assert await client.closed() == b""
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    @pytest.mark.parametrize("piece", [b"zz\r\n", b"5\r\nabcdeXX", b"0\r\nbad trailer\r\n\r\n"])
    async def test_a_body_that_goes_wrong_is_400_at_once(self, world: World, piece: bytes) -> None:
        """Also when the request is being answered already: nobody waits for the rest of it."""
        async with raw_client(world) as client:
            await client.send(CHUNKED.replace(OWN, host_of(world).encode()), b"1\r\n \r\n")
            await until_busy(world, 1)
            await client.send(piece)
            refused(await client.answer(), 400, "invalid-request")
            assert await client.closed() == b""

    async def test_what_came_before_is_answered(self, world: World) -> None:
        """A request that came whole is answered before the end."""
        async with raw_client(world) as client:
            waiting = post(world, orjson.dumps(paid())).replace(b"/v1/orders ", b"/v1/orders?wait_ms=50 ")
            await client.send(waiting)
            await client.send(b"GARBAGE\r\n\r\n")
            first = await client.answer()
            assert first.status in {202, 400}  # 400 where the kernel has put both into one piece
            if first.status == 202:
                refused(await client.answer(), 400, "invalid-request")

    async def test_an_upgrade_is_declined(self, world: World) -> None:
        """Nobody here speaks another protocol: an answer, and nothing after it is read."""
        async with raw_client(world) as client:
            fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")
            answer = await client.ask(get(world, "/livez", *fields), get(world, "/livez"))
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await client.closed() == b""

    @pytest.mark.parametrize(
        ("method", "target", "status", "code"),
        [
            ("OPTIONS", "*", 404, "not-found"),
            ("CONNECT", "%OWN%", 404, "not-found"),
            ("CONNECT", "evil.example:443", 421, "misdirected-request"),
            ("PROPFIND", "/v1/users", 405, "method-not-allowed"),
            ("GET", "//evil.example/livez", 404, "not-found"),
        ],
    )
    async def test_uncommon_forms(
        self, world: World, method: str, target: str, status: int, code: str
    ) -> None:
        """Methods and targets that HTTP knows, and nobody here uses."""
        own = host_of(world)
        async with raw_client(world) as client:
            head = request(method, target.replace(OWN.decode(), own), f"Host: {own}")
            refused(await client.ask(head), status, code)

    async def test_an_unknown_expectation_is_417(self, world: World) -> None:
        """Only 100-continue is known."""
        async with raw_client(world) as client:
            answer = await client.ask(get(world, "/v1/users/u1/balance", "Expect: tea"))
            refused(answer, 417, "expectation-failed")

    async def test_an_expectation_is_met(self, world: World) -> None:
        """100 comes before the body is sent, and the answer after it."""
        async with raw_client(world) as client:
            whole = post(world, orjson.dumps(paid()), "Expect: 100-continue")
            head, _, body = whole.partition(b"\r\n\r\n")
            assert (await client.ask(head + b"\r\n\r\n")).status == 100
            assert (await client.ask(body)).status == 202


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat or insert bytes, anywhere."""
    text = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, what = rng.randrange(len(text) + 1), rng.random()
        if what < 0.35 and at < len(text):
            text[at] = rng.randrange(256)
        elif what < 0.55:
            del text[at : at + rng.randint(1, 20)]
        elif what < 0.75:
            text[at:at] = text[at : at + rng.randint(1, 60)]
        else:
            text[at:at] = rng.choice(
                (b"\r\n", b"\n", b" ", b":", b"\x00", b"\xff", b"%", b"/", b"chunked", b"gzip")
            )
    return bytes(text)


async def test_mutated_requests(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a client sends: an answer below 500, or none, then the end; the worker goes on."""
    rng = random.Random(f"{SEED} requests")
    limits = Limits(read_timeout_seconds=0.8, idle_timeout_seconds=0.8, linger_timeout_seconds=0.1)
    async with World(limits=limits) as world:
        body = orjson.dumps(paid())
        chunked = CHUNKED.replace(OWN, host_of(world).encode()) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        good = (get(world), get(world, "/livez") * 3, post(world, body), chunked, post(world, body) * 2)
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(data: bytes) -> int:
            async with slots, raw_client(world) as client:
                await client.send(data)
                seen = 0
                while True:
                    try:
                        answer = await client.answer()
                    except (asyncio.IncompleteReadError, ConnectionError):
                        return seen
                    seen += 1
                    assert answer.status < 500, (data, answer)
                    if answer.status >= 400 and not data.startswith(b"HEAD"):
                        assert answer.json["code"], (data, answer)

        answered = await asyncio.gather(*(one(mutate(rng, rng.choice(good))) for _ in range(MUTATIONS)))
        assert sum(map(bool, answered)) > MUTATIONS // 2
        async with raw_client(world) as client:
            assert (await client.ask(get(world))).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
