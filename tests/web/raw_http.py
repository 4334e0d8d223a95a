"""An HTTP client of bytes: what it sends is what the test wrote, and it sees when the worker closes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from msgspec import Struct

from tests.answer_check import PROBLEM_TYPE, check_problem
from tests.web.worlds import World

WITHIN_S = 60.0  # far beyond every time-out that a test sets
POLL_S = 0.005


class RawAnswer(Struct, frozen=True):
    """One answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body's value."""
        return orjson.loads(self.body)


class RawClient:
    """One connection to a worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send bytes; an error of the connection is left to whoever reads."""
        try:
            self.writer.write(b"".join(pieces))
            await asyncio.wait_for(self.writer.drain(), WITHIN_S)
        except ConnectionError:
            pass

    async def answer(self) -> RawAnswer:
        """Read one answer whose length is stated."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        body = await asyncio.wait_for(self.reader.readexactly(length), WITHIN_S)
        answer = RawAnswer(int(first.split(" ")[1]), headers, body)
        if headers.get("content-type") == PROBLEM_TYPE:
            check_problem(first, answer.status, body)
        return answer

    async def ask(self, *pieces: bytes) -> RawAnswer:
        """Send bytes and read one answer."""
        await self.send(*pieces)
        return await self.answer()

    async def closed(self) -> bytes:
        """Wait until the worker has closed the connection; return what came before."""
        try:
            return await asyncio.wait_for(self.reader.read(), WITHIN_S)
        except ConnectionError:
            return b""


@asynccontextmanager
async def raw_client(world: World, worker: int = 0, receive_bytes: int = 0) -> AsyncIterator[RawClient]:
    """Connect to a worker; `receive_bytes` bounds what the kernel takes in unread."""
    host, port = host_of(world, worker).split(":")
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 20)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


def host_of(world: World, worker: int = 0) -> str:
    """Return host and port of a worker."""
    return world.workers[worker].url.removeprefix("http://")


def get(world: World, target: str = "/v1/users/u1/balance", *fields: str, worker: int = 0) -> bytes:
    """Return a GET request with the worker's own host."""
    return request("GET", target, f"Host: {host_of(world, worker)}", *fields)


def post(world: World, body: bytes, *fields: str) -> bytes:
    """Return a POST of order facts with the worker's own host."""
    own = (f"Host: {host_of(world)}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    return request("POST", "/v1/orders", *own, *fields) + body


def request(method: str, target: str, *fields: str) -> bytes:
    """Return the head of a request, with no fields but these."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", *fields, "", ""]).encode("latin-1")


def refused(answer: RawAnswer, status: int, code: str) -> None:
    """Assert that an answer is that problem, complete."""
    assert (answer.status, answer.json["code"]) == (status, code), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert answer.json["status"] == status


def counted(world: World, name: str, worker: int = 0) -> dict[str, float]:
    """Return the samples of a metric with one label, or none, by that label."""
    for family in world.workers[worker].metrics.families():
        if family.name == name.removesuffix("_total"):
            return {"".join(sample.labels.values()): sample.value for sample in family.samples}
    raise AssertionError(name)


async def until(world: World, name: str, label: str, count: int) -> None:
    """Wait until a metric has that value."""
    for _ in range(int(WITHIN_S / POLL_S)):
        if counted(world, name)[label] == count:
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError(counted(world, name))


async def until_busy(world: World, count: int) -> None:
    """Wait until that many connections are busy."""
    await until(world, "rebate_http_connections", "busy", count)
