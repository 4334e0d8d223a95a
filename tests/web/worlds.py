"""Workers on a stream made of lists: real Faust web servers, real stages, and no broker.

Each worker owns some partitions of one `TopologyDriver`; a test moves time, work and ownership by hand.
"""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import faust
import orjson
from aiohttp import web
from msgspec import Struct
from yarl import URL

from agents.money_out import DecisionPolicy
from rebate_app.domain.pricing.rules import RuleBook
from rebate_app.http_urls import parse_authorities
from rebate_app.metrics.minute_samples import MinuteSamples
from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.web.app import WebPorts, attach
from rebate_app.web.context import RequestContext
from rebate_app.web.routing.ports import Nobody, Remote
from rebate_app.web.server.limits import LIMITS, Limits
from tests.answer_check import check_answer
from tests.topology_driver import ACCOUNTS, LINES, USER_ID_FIELDS, TopologyDriver
from tests.web.facts import Document, rules
from tests.web.stream_ports import NOW, STAGES, Clock, GroupPlacement, StreamSender, StreamTrail

__all__ = ["NOW", "Reply", "Worker", "World", "hung_server", "problem", "walk"]


#: Members of `Api` that say who may ask, made anew for each worker.
Security = Callable[[Clock], Mapping[str, Any]]


class Reply(Struct, frozen=True):
    """What a worker answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body's value."""
        return orjson.loads(self.body)


class Worker:
    """One worker's web server on a free port of this machine."""

    def __init__(
        self,
        stream: TopologyDriver,
        book: RuleBook,
        clock: Clock,
        port: int = 0,
        *,
        limits: Limits = LIMITS,
        allowed_hosts: str = "",
        security: Security | None = None,
    ) -> None:
        self.placement = GroupPlacement(stream)
        self.sender = StreamSender(stream, clock)
        self.trail = StreamTrail(self.sender, clock)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._app = faust.App(
            "web-test",
            broker="kafka://127.0.0.1:1",
            autodiscover=False,
            web_router_enabled=False,
            web_tables_enabled=False,
            web_graph_enabled=False,
            web_stats_enabled=False,
            web_metrics_enabled=False,
        )
        metrics = MetricsRegistry()
        samples = MinuteSamples(metrics, clock, LINES, ACCOUNTS)
        api = WebPorts(
            placement=self.placement,
            sender=self.sender,
            trail=self.trail,
            clock=clock,
            topics=stream.topics,
            rules=stream.catalogue,
            user_id_fields=USER_ID_FIELDS,
            own_url=self.url,
            metrics=metrics,
            samples=samples,
            instance=f"instance-of-{self.url}",
            limits=limits,
            allowed_hosts=parse_authorities(allowed_hosts),
            **({} if security is None else security(clock)),
        )
        self.metrics, self.samples = metrics, samples
        self.context: RequestContext = attach(self._app, api)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        await self._app.web.wsgi()
        self._runner = self._app.web._runner
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()

    async def stop(self) -> None:
        """Stop listening; connections are refused from then on."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        self._socket.close()


class World:
    """A stream, its workers, and a client."""

    def __init__(
        self,
        workers: int = 1,
        partitions: int = 4,
        book: RuleBook | None = None,
        *,
        limits: Limits = LIMITS,
        allowed_hosts: str = "",
        security: Security | None = None,
        decides: bool = False,
    ) -> None:
        book = rules() if book is None else book
        self._book = book
        self.clock = Clock()
        self.stream = TopologyDriver(partitions, book, deciding=_deciding(self.clock) if decides else None)
        self.workers = [
            Worker(
                self.stream, book, self.clock, limits=limits, allowed_hosts=allowed_hosts, security=security
            )
            for _ in range(workers)
        ]
        self._client: aiohttp.ClientSession | None = None
        self.share_out()

    def share_out(self) -> None:
        """Give partition 0 to the first worker, 1 to the second, and so on; every worker knows."""
        for table in STAGES:
            for partition in range(self.stream.partitions):
                self.give(table, partition, partition % len(self.workers))

    def give(self, table: str, partition: int, owner: int | None) -> None:
        """Give a partition to one worker, or to nobody."""
        for number, worker in enumerate(self.workers):
            place: Remote | Nobody | None = Nobody("it is being restored", 3)
            if owner is not None:
                place = None if number == owner else Remote(self.workers[owner].url)
            if place is None:
                worker.placement.elsewhere.pop((table, partition), None)
            else:
                worker.placement.elsewhere[table, partition] = place

    def remote(self, number: int) -> Remote:
        """Return the place of what that worker owns."""
        return Remote(self.workers[number].url)

    async def restart(self, number: int) -> None:
        """Close every connection of a worker, and let another one take over its address and partitions."""
        old = self.workers[number]
        await old.stop()
        new = Worker(self.stream, self._book, self.clock, int(old.url.rpartition(":")[2]))
        new.placement.elsewhere = old.placement.elsewhere
        self.workers[number] = new
        await new.start()

    def point(self, table: str, partition: int, url: str) -> None:
        """Let every worker believe that the partition is at that address."""
        for worker in self.workers:
            worker.placement.elsewhere[table, partition] = Remote(url)

    def owner_of(self, key: str, table: str = "accounts") -> int:
        """Return the number of the worker that has the key's partition."""
        partition = self.stream.partition_of(key)
        return next(
            number
            for number, worker in enumerate(self.workers)
            if (table, partition) not in worker.placement.elsewhere
        )

    def orders(self, *documents: Document) -> None:
        """Send order facts one after another, and process everything that follows from each."""
        for document in documents:
            self.stream.send_order(document, self.clock())
            self.stream.run()

    def users(self, *documents: Document) -> None:
        """Send user facts one after another, and process everything that follows from each."""
        for document in documents:
            self.stream.send_user(document, self.clock())
            self.stream.run()

    async def ask(
        self,
        method: str,
        target: str,
        *,
        worker: int = 0,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Send one request, the target as it is."""
        if self._client is None:
            self._client = aiohttp.ClientSession(auto_decompress=False)
        url = URL(self.workers[worker].url + target, encoded=True)
        data = None if body is None else io.BytesIO(body)
        async with self._client.request(method, url, headers=headers, data=data) as response:
            reply = Reply(response.status, response.headers, await response.read())
        check_answer(method, target, reply.status, reply.headers, reply.body)
        return reply

    async def get(self, target: str, worker: int = 0, **headers: str) -> Reply:
        """Read; a header's name with _ for -."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return await self.ask("GET", target, worker=worker, headers=named)

    async def read(self, target: str, worker: int = 0) -> Any:
        """Read what has to be there, as a value."""
        reply = await self.get(target, worker)
        assert reply.status == 200, reply.body
        return reply.json

    async def send(self, method: str, target: str, value: Any, worker: int = 0) -> Reply:
        """Write a JSON value."""
        headers = {"Content-Type": "application/json"}
        return await self.ask(method, target, worker=worker, headers=headers, body=orjson.dumps(value))

    async def __aenter__(self) -> Self:
        for worker in self.workers:
            await worker.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()
        for worker in self.workers:
            await worker.stop()


def _deciding(clock: Clock) -> DecisionPolicy:
    """Return the policy of an app that decides withdrawals, by the world's clock."""
    return DecisionPolicy(
        is_active=lambda: True,
        topic_id=lambda: "log-1",
        activation=lambda: "first",
        clock_ms=lambda: clock() // 1_000,
    )


async def walk(world: World, path: str, limit: int, worker: int = 0) -> list[dict[str, Any]]:
    """Return a whole list, page by page; every page but the last has a cursor."""
    items: list[dict[str, Any]] = []
    join = "&" if "?" in path else "?"
    target = f"{path}{join}limit={limit}"
    while True:
        page = await world.read(target, worker)
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        target = f"{path}{join}limit={limit}&cursor={page['next_cursor']}"


@asynccontextmanager
async def hung_server() -> AsyncIterator[str]:
    """Give the address of something that takes every request and never answers."""
    connections: list[asyncio.StreamWriter] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in connections:
            writer.close()
        await server.wait_closed()


def problem(reply: Reply, status: int, code: str) -> Any:
    """Assert that a reply is that problem, complete; return it."""
    answer = reply.json
    assert (reply.status, answer["code"]) == (status, code), reply.body
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert answer["status"] == status
    assert all(isinstance(answer[name], str) and answer[name] for name in ("type", "title", "detail"))
    assert answer["request_id"] == reply.headers["X-Request-Id"]
    return answer
