"""Time-outs, sizes and numbers of connections (docs/spec/api-security.md#limits), over raw sockets."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import orjson
import pytest

from rebate_app.web.server.limits import HEADER_BYTES_MAX, HEADERS_BYTES_MAX, TARGET_BYTES_MAX, Limits
from tests.web.facts import paid
from tests.web.raw_http import (
    WITHIN_S,
    RawClient,
    counted,
    get,
    host_of,
    post,
    raw_client,
    refused,
    request,
    until,
    until_busy,
)
from tests.web.worlds import World

pytestmark = pytest.mark.asyncio

#: Short where a test waits for it, long where it would disturb.
SHORT_S = 0.8
READ = Limits(read_timeout_seconds=SHORT_S)
CLOSED = "rebate_http_connections_closed_total"
PACE_S = 0.02


async def drip(client: RawClient, data: bytes) -> None:
    """Send byte by byte, for as long as the connection takes it."""
    for byte in data:
        if client.writer.transport.is_closing() or client.reader.at_eof():
            return
        await client.send(bytes([byte]))
        await asyncio.sleep(PACE_S)


class TestReading:
    """A request has to arrive in time."""

    @pytest.mark.parametrize("cut", [1, 20, -3])
    async def test_a_head_that_stops_is_408(self, cut: int) -> None:
        """After any part of the head: one answer, then the end."""
        async with World(limits=READ) as world, raw_client(world) as client:
            refused(await client.ask(get(world)[:cut]), 408, "request-timeout")
            assert await client.closed() == b""
            assert counted(world, CLOSED)["read-timeout"] == 1

    async def test_a_head_byte_by_byte_is_408(self) -> None:
        """A byte now and then does not buy more time."""
        async with World(limits=READ) as world, raw_client(world) as client:
            head = get(world, "/v1/users/u1/balance", "X-Long: " + "x" * 5_000)
            dripping = asyncio.create_task(drip(client, head))
            refused(await client.answer(), 408, "request-timeout")
            await client.closed()
            await asyncio.wait_for(dripping, WITHIN_S)

    @pytest.mark.parametrize("fields", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
    async def test_a_body_byte_by_byte_is_408(self, fields: str) -> None:
        """Head and body have to arrive within the same time, with a length or in batches."""
        async with World(limits=READ) as world, raw_client(world) as client:
            own = (f"Host: {host_of(world)}", "Content-Type: application/json", fields)
            await client.send(request("POST", "/v1/orders", *own))
            dripping = asyncio.create_task(drip(client, b"1388\r\n" + b" " * 5_000))
            refused(await client.answer(), 408, "request-timeout")
            await client.closed()
            await asyncio.wait_for(dripping, WITHIN_S)
            assert world.workers[0].sender.sent == 0

    async def test_a_body_that_nobody_reads_ends_too(self) -> None:
        """Where the answer does not need the body, it comes at once, and the connection ends."""
        async with World(limits=READ) as world, raw_client(world) as client:
            answer = await client.ask(get(world, "/livez", "Content-Length: 5000"))
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await client.closed() == b""

    async def test_a_timeout_behind_a_request_answers_that_first(self) -> None:
        """What came whole is answered; only then the half of the next request ends the connection."""
        async with World(limits=READ) as world, raw_client(world) as client:
            assert (await client.ask(get(world))).status == 200
            await client.send(post(world, orjson.dumps(paid())), get(world)[:10])
            await client.send(b"x")
            assert (await client.answer()).status == 202
            refused(await client.answer(), 408, "request-timeout")

    async def test_many_requests_one_after_another_have_the_time_each(self) -> None:
        """The time of a request begins with it, also when each piece ends amid the next request."""
        async with World(limits=Limits(read_timeout_seconds=3.0)) as world, raw_client(world) as client:
            one = post(world, orjson.dumps(paid()))
            stream, cut = one * 60, len(one) - 7
            answered = 0
            for start in range(0, len(stream), cut):
                await client.send(stream[start : start + cut])
                whole = min(start + cut, len(stream)) // len(one)
                for _ in range(whole - answered):
                    assert (await client.answer()).status == 202
                answered = whole
                await asyncio.sleep(PACE_S)
            assert answered == 60
            assert counted(world, CLOSED).get("read-timeout", 0) == 0

    async def test_an_idle_connection_ends(self) -> None:
        """Before the first request and after one, without an answer to nothing."""
        async with World(limits=Limits(idle_timeout_seconds=SHORT_S)) as world:
            async with raw_client(world) as client:
                assert await client.closed() == b""
            async with raw_client(world) as client:
                assert (await client.ask(get(world))).status == 200
                await client.send(b"\r\n")  # some clients end a body so; it is no request
                assert await client.closed() == b""
            assert counted(world, CLOSED)["idle-timeout"] == 2

    async def test_a_request_that_arrives_is_not_idle(self) -> None:
        """The idle time-out does not end a request that is arriving in time."""
        limits = Limits(read_timeout_seconds=WITHIN_S, idle_timeout_seconds=SHORT_S)
        async with World(limits=limits) as world, raw_client(world) as client:
            await client.send(get(world)[:20])
            await asyncio.sleep(SHORT_S * 2)
            assert (await client.ask(get(world)[20:])).status == 200

    async def test_a_request_that_waits_for_us_is_not_late(self) -> None:
        """While an earlier request is answered nobody reads the next one: that is not the client's time."""
        async with World(limits=READ) as world, raw_client(world) as client:
            world.workers[0].sender.processes = False
            waiting = post(world, orjson.dumps(paid())).replace(b"/v1/orders ", b"/v1/orders?wait_ms=2000 ")
            await client.send(waiting, post(world, b" " * 1_000_000 + orjson.dumps(paid())))
            await asyncio.sleep(SHORT_S * 2)
            world.stream.run()
            assert (await client.answer()).json["visible"] is True
            assert (await client.answer()).status == 202

    async def test_an_idle_connection_may_go_on(self) -> None:
        """The read time-out is none for a connection without a request."""
        async with World(limits=READ) as world, raw_client(world) as client:
            for _ in range(3):
                assert (await client.ask(get(world))).status == 200
                await asyncio.sleep(SHORT_S * 1.2)


class TestWriting:
    """An answer has to be taken in time."""

    async def test_a_client_that_does_not_read_is_cut_off(self) -> None:
        """Answers that nobody takes end the connection, and what waits behind them."""
        limits = Limits(write_timeout_seconds=SHORT_S)
        async with World(limits=limits) as world, raw_client(world, receive_bytes=4_096) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            request = get(world, "/metrics")

            async def send() -> None:
                while not client.writer.transport.is_closing():
                    client.writer.write(request * 100)
                    await client.writer.drain()

            async with asyncio.timeout(WITHIN_S):
                with pytest.raises(ConnectionError):
                    await send()
            assert counted(world, CLOSED)["write-timeout"] == 1
            assert sum(counted(world, "rebate_http_connections").values()) == 0

    async def test_the_time_begins_with_the_first_byte_that_waits(self, world: World) -> None:
        """Also an answer that is smaller than what asyncio buffers is not waited for without end."""
        async with raw_client(world) as client:
            assert (await client.ask(get(world))).status == 200
            runner = world.workers[0]._runner
            assert runner is not None
            assert runner.server is not None
            (connection,) = runner.server.connections
            assert connection.transport is not None
            assert connection.transport.get_write_buffer_limits() == (0, 0)


class TestSizes:
    """The head of a request is bounded."""

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            (["X: " + "x" * (HEADER_BYTES_MAX - 1)], 200),
            (["X: " + "x" * HEADER_BYTES_MAX], 431),
            (["x" * (HEADER_BYTES_MAX + 1) + ": x"], 431),
            (["X: " + "x" * 8_000, "Y: " + "y" * 8_000], 200),
            (["X: " + "x" * 8_000, "Y: " + "y" * 8_000, "Z: " + "z" * 1_000], 431),
            (["X: " + "x" * 1_000] * 17, 431),
            ([f"X-{number}: x" for number in range(120)], 200),
            ([f"X-{number}: x" for number in range(200)], 431),
            (["X: " + "x" * 8_000] * 100, 431),
        ],
    )
    async def test_header_fields(self, world: World, fields: list[str], status: int) -> None:
        """8 KiB each, 16 KiB in all; the client gets to read why, however much it sends."""
        async with raw_client(world) as client:
            answer = await client.ask(get(world, "/v1/users/u1/balance", *fields))
        assert answer.status == status
        if status != 200:
            refused(answer, 431, "headers-too-large")

    async def test_a_head_without_an_end_is_431(self, world: World) -> None:
        """It is refused before the parser has 128 fields of 8 KiB in memory."""
        async with raw_client(world) as client:
            await client.send(get(world).removesuffix(b"\r\n"))
            for number in range(8):
                await client.send(b"X-%d: " % number + b"x" * 7_000 + b"\r\n")
            refused(await client.answer(), 431, "headers-too-large")
        assert HEADERS_BYTES_MAX < 8 * 7_000

    async def test_a_target(self, world: World) -> None:
        """A target may have 16 KiB, which a hundred encoded ids need; more is 414."""
        for extra, status in ((0, 404), (1, 414)):
            async with raw_client(world) as client:
                answer = await client.ask(get(world, "/" + "x" * (TARGET_BYTES_MAX - 1 + extra)))
            assert answer.status == status
            if status == 414:
                refused(answer, 414, "target-too-long")


async def busy(world: World, stack: AsyncExitStack, cut: int = -1) -> RawClient:
    """Return a connection on which a request arrives that lacks its last bytes."""
    client = await stack.enter_async_context(raw_client(world))
    await client.send(post(world, b"{}")[:cut])
    return client


class TestNumbers:
    """As many connections and waits as the limits say."""

    async def test_a_new_connection_takes_the_place_of_the_longest_idle(self) -> None:
        """Not of the oldest: what counts is the last answer."""
        async with World(limits=Limits(connections_max=3)) as world, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(raw_client(world)) for _ in range(3)]
            for number in (1, 2, 0):
                assert (await clients[number].ask(get(world))).status == 200
            new = await stack.enter_async_context(raw_client(world))
            assert (await new.ask(get(world))).status == 200
            assert await clients[1].closed() == b""
            for client in (clients[2], clients[0], new):
                assert (await client.ask(get(world))).status == 200
            assert counted(world, CLOSED)["evicted"] == 1
            assert sum(counted(world, "rebate_http_connections").values()) == 3

    async def test_a_busy_connection_keeps_its_place(self) -> None:
        """Where all are busy a new one is 503 at once; once one is answered there is a place again."""
        async with World(limits=Limits(connections_max=2)) as world, AsyncExitStack() as stack:
            first, second = await busy(world, stack), await busy(world, stack, -10)  # in body, in head
            await until_busy(world, 2)
            for _ in range(5):
                new = await stack.enter_async_context(raw_client(world))
                answer = await new.ask(get(world))
                refused(answer, 503, "too-many-connections")
                assert answer.headers["retry-after"] == "1"
                assert await new.closed() == b""
            await first.send(b"}")
            assert (await first.answer()).status == 422
            new = await stack.enter_async_context(raw_client(world))
            assert (await new.ask(get(world))).status == 200
            assert await first.closed() == b""
            await second.send(post(world, b"{}")[-10:])
            assert (await second.answer()).status == 422
            assert counted(world, CLOSED)["too-many-connections"] == 5

    async def test_more_than_can_be_answered_are_reset(self) -> None:
        """Connections that get a 503 are bounded too."""
        limits = Limits(connections_max=1, turned_away_max=2)
        async with World(limits=limits) as world, AsyncExitStack() as stack:
            await busy(world, stack)
            await until_busy(world, 1)
            turned_away = [await stack.enter_async_context(raw_client(world)) for _ in range(2)]
            for client in turned_away:
                refused(await client.answer(), 503, "too-many-connections")
            third = await stack.enter_async_context(raw_client(world))
            assert await third.closed() == b""

    async def test_waits_beyond_the_limit_are_answered_at_once(self) -> None:
        """202 with `visible` false, without asking anybody; a wait that is over makes room."""
        async with World(limits=Limits(waits_max=1)) as world, AsyncExitStack() as stack:
            world.workers[0].sender.processes = False
            body = orjson.dumps(paid())
            waiting = post(world, body).replace(b"/v1/orders ", b"/v1/orders?wait_ms=2000 ")
            first, second = [await stack.enter_async_context(raw_client(world)) for _ in range(2)]
            await first.send(waiting)
            await until(world, "rebate_http_waits", "", 1)
            answer = await second.ask(waiting)
            assert (answer.status, answer.json["visible"]) == (202, False)
            assert counted(world, "rebate_http_waits_refused_total")[""] == 1
            world.stream.run()
            answer = await first.answer()
            assert (answer.status, answer.json["visible"]) == (202, True)
            assert (await second.ask(waiting.replace(b"wait_ms=2000", b"wait_ms=0"))).status == 202
            assert counted(world, "rebate_http_waits_refused_total")[""] == 1

    async def test_a_worker_stops_while_clients_dawdle(self) -> None:
        """Half a request does not hold up the end of a worker."""
        limits = Limits(shutdown_timeout_seconds=SHORT_S, connections_max=2)
        async with AsyncExitStack() as stack:
            async with World(limits=limits) as world:
                for _ in range(3):
                    await busy(world, stack)
                await until_busy(world, 2)
                began = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - began < 5
