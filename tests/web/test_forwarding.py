"""Any worker answers for any user (docs/spec/http.md#routing, docs/spec/architecture.md#faust-traps)."""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec
import pytest

from rebate_app.web.auth.authenticator import FORWARDED_HEADER
from rebate_app.web.resources.shares import ShareRequest
from rebate_app.web.routes.peer_rpcs import PEER_RPCS
from rebate_app.web.routing.peer_rpc import PeerRpc
from tests.web.facts import BUYER, INVITER, LINE, LINE_ID, paid, profile
from tests.web.worlds import World, hung_server, problem

pytestmark = pytest.mark.asyncio

USERS = [f"x{number}" for number in range(20)]


async def refused_url() -> str:
    """Return an address at which nobody listens."""
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


class TestReads:
    """A worker that does not own the partition asks the owner."""

    async def test_every_worker_says_the_same_of_every_user(self, pair: World) -> None:
        """Body, status and ETag are the owner's, whichever worker answers, for every user."""
        pair.users(*(profile(user_id, USERS[(n + 1) % 20]) for n, user_id in enumerate(USERS)))
        pair.orders(*(paid(line_id=user_id, attribution={"user_id": user_id}) for user_id in USERS))
        assert {pair.owner_of(user_id) for user_id in USERS} == {0, 1}
        for user_id in USERS:
            for resource in (
                "balance",
                "lines",
                "ledger",
                "balance?at=2026-03-01T00:00:00%2B08:00",
            ):
                target = f"/v1/users/{user_id}/{resource}"
                first, second = await pair.get(target, 0), await pair.get(target, 1)
                assert (first.status, first.body) == (second.status, second.body)
                assert first.headers.get("ETag") == second.headers.get("ETag")
                assert first.headers["Content-Type"] == second.headers["Content-Type"] == "application/json"
            assert (await pair.read(f"/v1/users/{user_id}/balance"))["estimated"] == 1_047 + 161

    async def test_if_none_match_and_head_travel(self, pair: World) -> None:
        """304 and HEAD are the same over a hop."""
        for worker in (0, 1):
            target = "/v1/users/u1/balance"
            reply = await pair.get(target, worker)
            again = await pair.get(target, worker, If_None_Match=reply.headers["ETag"])
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", reply.headers["ETag"])
            head = await pair.ask("HEAD", target, worker=worker)
            assert (head.status, head.body) == (200, b"")
            assert head.headers["Content-Length"] == str(len(reply.body))

    async def test_the_request_id_travels(self, pair: World) -> None:
        """One request has one id, over every hop."""
        for worker in (0, 1):
            reply = await pair.get("/v1/users/u1/balance", worker, X_Request_Id="abc-1.2_3")
            assert reply.headers["X-Request-Id"] == "abc-1.2_3"
            assert reply.headers.getall("X-Request-Id") == ["abc-1.2_3"]  # type: ignore[attr-defined]

    async def test_problems_of_the_owner_travel(self, pair: World) -> None:
        """A problem that the owner finds is the client's answer, with its headers and the same id."""
        line = next(f"n{k}" for k in range(99) if pair.owner_of(f"taobao:n{k}", "lines") == 1)
        reply = await pair.get(f"/v1/order-lines/taobao/{line}", 0, X_Request_Id="r1")
        assert problem(reply, 404, "unknown-line")["request_id"] == "r1"

    async def test_dots_are_not_resolved_on_the_way(self, pair: World) -> None:
        """A user called `..` stays that over a hop."""
        for name in ("..", ".", "%2e%2E"):
            for worker in (0, 1):
                members = await pair.read(f"/v1/users/{name}/balance", worker)
                assert members["user_id"] == name.replace("%2e%2E", "..")


class TestLoopGuard:
    """What was forwarded is never forwarded again."""

    async def test_two_who_point_at_each_other_give_503(self, pair: World) -> None:
        """When each worker believes the other to be the owner, the answer is 503, at once."""
        partition = pair.stream.partition_of(BUYER)
        pair.workers[0].placement.elsewhere["accounts", partition] = pair.remote(1)
        pair.workers[1].placement.elsewhere["accounts", partition] = pair.remote(0)
        for worker in (0, 1):
            reply = await pair.get("/v1/users/u1/balance", worker)
            problem(reply, 503, "not-ready")
            assert int(reply.headers["Retry-After"]) >= 1

    async def test_one_who_points_at_itself_gives_503(self, pair: World) -> None:
        """An assignment that names the worker itself, which has nothing yet, is no owner."""
        partition = pair.stream.partition_of(BUYER)
        pair.workers[0].placement.elsewhere["accounts", partition] = pair.remote(0)
        problem(await pair.get("/v1/users/u1/balance"), 503, "not-ready")

    async def test_the_header_alone_keeps_it_here(self, pair: World) -> None:
        """A request that bears the guard is answered by the owner and refused by everybody else."""
        owner = pair.owner_of(BUYER)
        guard = {FORWARDED_HEADER: "http://somebody"}
        assert (await pair.ask("GET", "/v1/users/u1/balance", worker=owner, headers=guard)).status == 200
        problem(
            await pair.ask("GET", "/v1/users/u1/balance", worker=1 - owner, headers=guard), 503, "not-ready"
        )


class TestUnreachable:
    """An owner that does not answer."""

    async def test_refused_connections_are_503(self, pair: World) -> None:
        """An owner that is gone: 503 `not-ready` with Retry-After."""
        pair.point("accounts", pair.stream.partition_of(BUYER), await refused_url())
        reply = await pair.get("/v1/users/u1/balance")
        problem(reply, 503, "not-ready")
        assert "Retry-After" in reply.headers

    async def test_an_owner_that_hangs_is_503_in_time(self, pair: World) -> None:
        """An owner that never answers costs the time-out and no more."""
        workers = pair.workers[0].context.peers
        workers.forward_timeout_seconds = workers.rpc_timeout_seconds = 0.2
        async with hung_server() as url:
            pair.point("accounts", pair.stream.partition_of(BUYER), url)
            began = time.monotonic()
            problem(await pair.get("/v1/users/u1/balance"), 503, "not-ready")
            assert time.monotonic() - began < 1.0

    async def test_an_inviter_that_hangs_does_not_take_the_line_along(self, pair: World) -> None:
        """The line is answered in time, with that inviter unavailable."""
        for worker in pair.workers:
            worker.context.peers.rpc_timeout_seconds = 0.2
        far = next(
            f"i{k}" for k in range(99) if pair.stream.partition_of(f"i{k}") != pair.stream.partition_of(BUYER)
        )
        pair.users(profile(BUYER, far))
        pair.orders(paid())
        async with hung_server() as url:
            pair.point("accounts", pair.stream.partition_of(far), url)
            began = time.monotonic()
            members = await pair.read(f"/v1/order-lines/taobao/{LINE_ID}")
            assert time.monotonic() - began < 1.0
        assert members["shares"][1] == {"user_id": far, "depth": 1, "unavailable": True}

    async def test_an_owner_that_came_back_is_asked_again(self, pair: World) -> None:
        """A pooled connection that the owner closed meanwhile is no failure."""
        owner = pair.owner_of(BUYER)
        assert (await pair.get("/v1/users/u1/balance", 1 - owner)).status == 200
        await pair.restart(owner)
        assert (await pair.get("/v1/users/u1/balance", 1 - owner)).status == 200


class TestKept:
    """Records that may be old, a standby's or those kept over a rebalance."""

    @pytest.mark.parametrize("owner", ["away", "gone", "restoring", "elsewhere"])
    async def test_old_records_are_better_than_none(self, pair: World, owner: str) -> None:
        """While the owner cannot answer, this worker's older records do, marked `stale`."""
        pair.users(profile(BUYER, INVITER))
        pair.orders(paid())
        kept, other = 0, 1
        pair.workers[kept].placement.keeps = True
        for table, key in (("accounts", BUYER), ("lines", LINE)):
            partition = pair.stream.partition_of(key)
            pair.give(table, partition, None if owner in ("away", "restoring") else other)
            if owner == "gone":
                pair.point(table, partition, await refused_url())
            if owner == "restoring":
                pair.workers[kept].placement.elsewhere[table, partition] = pair.remote(other)
        fresh = owner == "elsewhere"
        for resource in ("users/u1/balance", "users/u1/lines", "users/u1/ledger"):
            members = await pair.read(f"/v1/{resource}", kept)
            assert members.get("stale", False) is not fresh
            assert "lag" in members["as_of"]
        assert (await pair.read("/v1/users/u1/balance", kept))["estimated"] == 1_047
        if owner != "elsewhere":
            problem(await pair.get(f"/v1/order-lines/taobao/{LINE_ID}", kept), 503, "not-ready")
        for number in range(pair.stream.partitions):
            pair.give("accounts", number, kept)
        members = await pair.read(f"/v1/order-lines/taobao/{LINE_ID}", kept)
        assert members.get("stale", False) is not fresh

    async def test_every_resource_says_that_it_is_stale(self, world: World) -> None:
        """Whatever a standby answers bears `stale`."""
        world.orders(paid())
        world.workers[0].placement.stale = True
        resources = ("users/u1/balance", "users/u1/lines", "users/u1/ledger", "attributions/jd:none")
        for resource in (*resources, f"order-lines/taobao/{LINE_ID}"):
            assert (await world.read(f"/v1/{resource}"))["stale"] is True


class TestInternal:
    """What workers ask each other."""

    async def test_it_is_nothing_for_clients(self, world: World) -> None:
        """Without `Rebate-Forwarded` every request is 404; an unknown one always is."""
        for name in PEER_RPCS:
            problem(await world.ask("POST", f"/internal/{name}", body=b"{}"), 404, "not-found")
        guard = {FORWARDED_HEADER: "x"}
        problem(await world.ask("POST", "/internal/else", headers=guard, body=b"{}"), 404, "not-found")

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"partition":-1}', b'{"partition":"x"}'])
    async def test_what_is_not_understood_is_503(self, world: World, body: bytes) -> None:
        """A request of another version is refused, so that the requesting worker answers "unavailable"."""
        for name, rpc in PEER_RPCS.items():
            if not isinstance(rpc, PeerRpc):  # about the worker itself: it takes no request
                continue
            reply = await world.ask("POST", f"/internal/{name}", headers={FORWARDED_HEADER: "x"}, body=body)
            problem(reply, 503, "not-ready")

    async def test_a_partition_that_there_is_not_has_no_owner(self, world: World) -> None:
        """A worker that was started with more partitions requests one that does not exist here: refused."""
        rpc_body = msgspec.json.encode(ShareRequest(99, INVITER, "taobao:1", (), 0))
        reply = await world.ask("POST", "/internal/share", headers={FORWARDED_HEADER: "x"}, body=rpc_body)
        problem(reply, 503, "not-ready")

    async def test_only_the_owner_answers(self, pair: World) -> None:
        """A request for a partition that went elsewhere is refused, not passed on."""
        partition = pair.stream.partition_of(INVITER)
        rpc_body = msgspec.json.encode(ShareRequest(partition, INVITER, "taobao:1", (), 0))
        owner = pair.owner_of(INVITER)
        replies = [
            await pair.ask(
                "POST", "/internal/share", worker=number, headers={FORWARDED_HEADER: "x"}, body=rpc_body
            )
            for number in (owner, 1 - owner)
        ]
        assert [reply.status for reply in replies] == [200, 503]

    async def test_an_owner_of_another_version_is_unavailable(self, pair: World) -> None:
        """An answer that is not understood is no answer: 503 for the line, unavailable for an inviter."""
        pair.orders(paid())

        async def odd(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(odd, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            pair.point("accounts", pair.stream.partition_of(BUYER), url)
            problem(await pair.get(f"/v1/order-lines/taobao/{LINE_ID}"), 503, "not-ready")

    async def test_an_answer_without_end_is_no_answer(self, pair: World) -> None:
        """What another worker answers is bounded too."""

        async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (17 << 20))
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()

        async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            pair.point("accounts", pair.stream.partition_of(BUYER), url)
            problem(await pair.get("/v1/users/u1/balance"), 503, "not-ready")
