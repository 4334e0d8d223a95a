"""Request bodies with a content coding are refused everywhere, and nothing is decompressed."""

from __future__ import annotations

import gzip
import time

import orjson
import pytest

from rebate_app.web.routes.table import ROUTES
from rebate_app.web.routing.peer_rpc import INTERNAL_PATH
from tests.web.facts import paid
from tests.web.raw_http import counted, get, host_of, post, raw_client, refused, request
from tests.web.worlds import World

pytestmark = pytest.mark.asyncio

CODE = "unsupported-content-encoding"
CODINGS = ("gzip", "GZip", "deflate", "br", "zstd", "compress", "x-gzip", "bogus", "identity, gzip", "gzip,")
PATHS = (
    *(route.path for route in ROUTES),
    *("/", "/nowhere", INTERNAL_PATH + "shares", "/v1/orders?wait_ms=1", "/v1/users/%FF/balance"),
)
MANY = 200 * 1_048_576  # bytes that would take about a second to make


class TestRefused:
    """415 for every coding, path and method."""

    @pytest.mark.parametrize("coding", CODINGS)
    async def test_a_coding_is_415(self, world: World, coding: str) -> None:
        """Every coding but `identity`, in whatever case and list."""
        async with raw_client(world) as client:
            body = gzip.compress(orjson.dumps(paid()))
            refused(await client.ask(post(world, body, f"Content-Encoding: {coding}")), 415, CODE)
        assert world.workers[0].sender.sent == 0

    @pytest.mark.parametrize("path", PATHS)
    async def test_on_every_path_and_method(self, world: World, path: str) -> None:
        """Probes, metrics, internal and unknown paths refuse it as well."""
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
            async with raw_client(world) as client:
                head = request(
                    *(method, path.replace("{", "").replace("}", ""), f"Host: {host_of(world)}"),
                    *("Content-Encoding: gzip", "Content-Length: 4", "Rebate-Forwarded: x"),
                )
                refused(await client.ask(head, b"abcd"), 415, CODE)

    async def test_a_second_field_counts_too(self, world: World) -> None:
        """`identity` in one field does not hide a coding in the next."""
        async with raw_client(world) as client:
            fields = ("Content-Encoding: identity", "content-ENCODING: gzip")
            refused(await client.ask(post(world, b"{}", *fields)), 415, CODE)
        assert counted(world, "rebate_http_refused_total")[CODE] == 1

    @pytest.mark.parametrize("coding", ["identity", "Identity", "identity,identity", ""])
    async def test_a_body_has_no_such_field(self, world: World, coding: str) -> None:
        """The field itself is refused with a body, whatever its value and however the body arrives."""
        field = f"Content-Encoding: {coding}"
        async with raw_client(world) as client:
            refused(await client.ask(post(world, orjson.dumps(paid()), field)), 415, CODE)
        async with raw_client(world) as client:
            fields = (f"Host: {host_of(world)}", "Transfer-Encoding: chunked", field)
            refused(await client.ask(request("POST", "/v1/orders", *fields), b"0\r\n\r\n"), 415, CODE)
        assert world.workers[0].sender.sent == 0

    @pytest.mark.parametrize("coding", ["identity", "Identity", "identity,identity", ""])
    async def test_without_a_body_no_coding_is_accepted(self, world: World, coding: str) -> None:
        """A client that sends the field with every request reads as well."""
        async with raw_client(world) as client:
            for more in ((), ("Content-Length: 0",)):
                answer = await client.ask(
                    get(world, "/v1/users/u1/balance", f"Content-Encoding: {coding}", *more)
                )
                assert answer.status == 200

    async def test_a_transfer_coding_is_501(self, world: World) -> None:
        """A compressed transfer is no way around it."""
        async with raw_client(world) as client:
            fields = (f"Host: {host_of(world)}", "Transfer-Encoding: gzip, chunked")
            answer = await client.ask(request("POST", "/v1/orders", *fields), b"0\r\n\r\n")
            refused(answer, 501, "unsupported-transfer-encoding")


class TestNotRead:
    """What is refused costs nothing."""

    @pytest.mark.parametrize("whole", [True, False])
    async def test_the_connection_ends_with_a_body_that_is_not_whole(self, world: World, whole: bool) -> None:
        """Behind a body that has come whole, the next request is answered; behind half of one, nothing is."""
        async with raw_client(world) as client:
            fields = (f"Host: {host_of(world)}", "Content-Encoding: gzip", "Content-Length: 4")
            body = b"abcd" if whole else b"ab"
            answer = await client.ask(request("POST", "/v1/orders", *fields), body)
            refused(answer, 415, CODE)
            assert (answer.headers.get("connection") == "close") is not whole
            if whole:
                assert (await client.ask(get(world))).status == 200
            else:
                assert await client.closed() == b""

    async def test_the_client_is_not_told_to_send(self, world: World) -> None:
        """With `Expect: 100-continue` the first answer is the refusal, before any of the body."""
        async with raw_client(world) as client:
            fields = (f"Host: {host_of(world)}", "Content-Encoding: gzip", "Content-Length: 900000")
            refused(
                await client.ask(request("POST", "/v1/orders", *fields, "Expect: 100-continue")), 415, CODE
            )
            assert await client.closed() == b""

    async def test_nothing_is_decompressed(self, world: World) -> None:
        """A small body that becomes a large one takes no processor time, also where nobody reads it."""
        bomb = gzip.compress(b" " * MANY)
        began = time.process_time()
        for target in ("/v1/orders", "/nowhere", "/livez"):
            async with raw_client(world) as client:
                fields = (f"Host: {host_of(world)}", "Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
                # Where the body has come whole, only the client ends the connection.
                head = request("POST", target, *fields, "Connection: close")
                refused(await client.ask(head, bomb), 415, CODE)
                assert await client.closed() == b""
        assert time.process_time() - began < 0.5
