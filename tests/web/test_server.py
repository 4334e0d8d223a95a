"""What every answer has in common: probes, problems for everything, request ids, no tracebacks."""

from __future__ import annotations

import asyncio
import logging
import re

import orjson
import pytest

from rebate_app.web.routes.route import Route
from rebate_app.web.routes.table import ROUTES
from rebate_app.web.routing.peer_rpc import INTERNAL_PATH
from tests.web.facts import paid
from tests.web.worlds import World, problem

pytestmark = pytest.mark.asyncio

NOWHERE = (
    *("//", "/v1", "/v1/", "/v2/users", "/v1/users/", "/v1/users/u1", "/v1/users/u1/balance/"),
    *("/v1/users//balance", "/v1/users/a/b/balance", "/v1/users/u1/balance%2F", "/v1/order-lines/taobao"),
    *("/table", "/table/", "/router", "/router/", "/stats", "/graph", "/%00", "/%FF"),
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
PUBLIC = [route for route in ROUTES if not route.path.startswith(INTERNAL_PATH)]


class TestProbes:
    """`/livez` and `/readyz` (docs/spec/running.md#probes)."""

    async def test_livez_depends_on_nothing(self, world: World) -> None:
        """The loop runs: 200, whatever else is the case."""
        world.workers[0].placement.ready = (False, "no broker")
        reply = await world.get("/livez")
        assert (reply.status, reply.json) == (200, {"status": "alive"})

    async def test_readyz_says_why_not(self, world: World) -> None:
        """200 once all is restored and being processed, else 503 with the reason."""
        assert (await world.get("/readyz")).status == 200
        world.workers[0].placement.ready = (False, "partition 3 of accounts is being restored")
        members = problem(await world.get("/readyz"), 503, "not-ready")
        assert (members["ready"], members["reason"]) == (False, "partition 3 of accounts is being restored")


class TestProblems:
    """Every failure is a problem."""

    @pytest.mark.parametrize("target", NOWHERE)
    async def test_an_unknown_path_is_a_404_problem(self, world: World, target: str) -> None:
        """Paths that nobody serves are 404 `not-found`, Faust's own pages among them."""
        problem(await world.get(target), 404, "not-found")

    @pytest.mark.parametrize("route", PUBLIC, ids=lambda route: route.name)
    async def test_a_wrong_method_is_405(self, world: World, route: Route) -> None:
        """Methods that a resource does not have are 405 with `Allow`."""
        methods = set(route.methods)
        allowed = methods | ({"HEAD"} if "GET" in methods else set())
        target = re.sub(r"\{[a-z_]+\}", "x", route.path)
        for method in METHODS - allowed:
            reply = await world.ask(method, target)
            assert reply.status == 405
            assert reply.headers["Allow"] == ", ".join(sorted(allowed))
            if method != "HEAD":
                problem(reply, 405, "method-not-allowed")

    @pytest.mark.parametrize("target", ["/internal/anything", "/internal/users", "/%69nternal/users"])
    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}], ids=["nothing", "a token"])
    async def test_what_workers_ask_is_404_by_any_method(
        self, world: World, target: str, headers: dict[str, str]
    ) -> None:
        """Nobody else learns what there is: no method is allowed, and none is named."""
        for method in METHODS | {"PROPFIND"}:
            reply = await world.ask(method, target, headers=headers)
            assert (reply.status, "Allow" in reply.headers) == (404, False)
            if method != "HEAD":
                problem(reply, 404, "not-found")

    async def test_what_workers_tell_everybody(self, world: World) -> None:
        """Who a worker is can be read, and nothing else can be done with it."""
        assert (await world.get("/internal/identity")).status == 200
        for method in METHODS - {"GET", "HEAD"}:
            reply = await world.ask(method, "/internal/identity")
            assert (reply.status, "Allow" in reply.headers) == (404, False)

    async def test_a_part_that_is_no_utf8_is_400(self, world: World) -> None:
        """A path part has to be percent-encoded UTF-8."""
        for name in ("%FF", "a%C3", "%ED%A0%80"):
            problem(await world.get(f"/v1/users/{name}/balance"), 400, "invalid-path")

    async def test_our_own_bug_is_a_500_without_a_traceback(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A bug is 500 `internal-error`; the traceback is in our log, under the same id."""
        store = world.stream.stores["accounts", world.stream.partition_of("u1")]
        store.apply({b"h u1": b"[broken"}, 0)
        with caplog.at_level(logging.ERROR, "rebate_app.web"):
            reply = await world.get("/v1/users/u1/balance", X_Request_Id="bug-1")
        members = problem(reply, 500, "internal-error")
        assert members["request_id"] == "bug-1"
        assert b"Traceback" not in reply.body
        assert b"rebate_app" not in reply.body
        (record,) = [record for record in caplog.records if record.name.startswith("rebate_app.web")]
        assert "bug-1" in record.getMessage()
        assert record.exc_info is not None

    async def test_a_bug_over_a_hop_is_a_500_too(self, pair: World) -> None:
        """The client learns of the owner's bug as of ours."""
        owner = pair.owner_of("u1")
        pair.stream.stores["accounts", pair.stream.partition_of("u1")].apply({b"h u1": b"[broken"}, 0)
        problem(await pair.get("/v1/users/u1/balance", 1 - owner), 500, "internal-error")


class TestRequestId:
    """`X-Request-Id`."""

    async def test_every_answer_has_one(self, world: World) -> None:
        """Good or bad, an answer has an id; two have different ones."""
        seen = set()
        for target in ("/livez", "/v1/users/u1/balance", "/nowhere", "/v1/users/a%20b/balance"):
            seen.add((await world.get(target)).headers["X-Request-Id"])
        assert len(seen) == 4

    @pytest.mark.parametrize("given", ["a b", "x" * 129, "ü", "<script>", ""])
    async def test_what_is_no_id_is_replaced(self, world: World, given: str) -> None:
        """Only 1-128 of A-Za-z0-9._- are taken over; else the id is ours."""
        reply = await world.get("/nowhere", X_Request_Id=given)
        assert re.fullmatch(r"[0-9a-f]{16}", problem(reply, 404, "not-found")["request_id"])


class TestBodies:
    """Bodies as they come over the wire."""

    async def raw(self, world: World, *pieces: bytes) -> bytes:
        """Send bytes as they are, close our side, and return all that comes back."""
        host, port = world.workers[0].url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\n"
        )
        try:
            writer.write(head + b"".join(pieces))
            await writer.drain()
            return await asyncio.wait_for(reader.read(), 60)
        finally:
            writer.close()
            await writer.wait_closed()

    async def test_a_body_of_unknown_length_has_the_same_limit(self, world: World) -> None:
        """A chunked body beyond 1 MiB is 413 as soon as that is known."""
        batch = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        answer = await self.raw(
            world, b"Transfer-Encoding: chunked\r\n\r\n", batch * 16, b"1\r\n \r\n0\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 413")
        assert b'"code":"too-large"' in answer

    async def test_a_length_that_is_too_large_is_not_read(self, world: World) -> None:
        """A body that is declared larger is 413 before it arrives."""
        answer = await self.raw(world, b"Content-Length: 10000000000\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413")

    async def test_a_chunked_body_is_taken(self, world: World) -> None:
        """A body within the limit may come in batches."""
        fact = orjson.dumps(paid())
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(fact), fact)
        answer = await self.raw(world, b"Transfer-Encoding: chunked\r\n\r\n", body)
        assert answer.startswith(b"HTTP/1.1 202")
