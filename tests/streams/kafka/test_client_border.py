"""The border with aiokafka: its own cancellations are errors, stops are bounded, and nobody goes round it."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer as Bare
from aiokafka.errors import NodeNotReadyError

from rebate_app.streams.kafka import aiokafka_clients
from rebate_app.streams.kafka.aiokafka_clients import (
    AIOKafkaAdminClient,
    AIOKafkaClient,
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ClientCancelledError,
    stop_within,
    translated,
    translating,
)
from rebate_app.streams.kafka.clients import discard, with_retries
from tests.kafka_fixture import CHECKOUT
from tests.source_trees import tree_of

CLIENTS = {"AIOKafkaProducer", "AIOKafkaConsumer", "AIOKafkaAdminClient", "AIOKafkaClient"}
BORDER = "rebate_app/streams/kafka/aiokafka_clients.py"
SOON_S = 5.0


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield the name and the tree of each module of the product."""
    for room in ("rebate_app", "agents", "tables"):
        for path in sorted((CHECKOUT / room).rglob("*.py")):
            yield str(path.relative_to(CHECKOUT)), tree_of(path)


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of each import from a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def attributes(tree: ast.Module) -> set[str]:
    """Return the names of all attributes that a module uses of the package `aiokafka`."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "aiokafka"}


class TestNobodyGoesRoundIt:
    """Each client of the product is one of ours; each future of a producer is awaited under `translated`."""

    def test_client_classes_come_from_the_border(self) -> None:
        """No other module imports them from aiokafka, or takes them from its package."""
        for name, tree in modules():
            if name == BORDER:
                continue
            bare = {
                what
                for where, what in imported(tree)
                if where.split(".")[0] == "aiokafka" and what in CLIENTS
            }
            assert not bare | (attributes(tree) & CLIENTS), f"{name} has to import from {BORDER}"

    def test_futures_of_producers_are_translated(self) -> None:
        """Whoever keeps what `send` of a producer returns, or connects by itself, knows `translated`."""
        for name, tree in modules():
            calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
            named = [call for call in calls if isinstance(call, ast.Attribute)]
            sends = [
                call
                for call in named
                if call.attr == "send_batch"
                or (call.attr == "send" and "producer" in ast.unparse(call.value))
            ]
            bare = {what for where, what in imported(tree) if where == "aiokafka.conn"}
            if (sends or "create_conn" in bare) and name != BORDER:
                assert "translated" in {what for _, what in imported(tree)}, name

    @pytest.mark.parametrize("cls", [AIOKafkaProducer, AIOKafkaConsumer, AIOKafkaAdminClient, AIOKafkaClient])
    def test_every_coroutine_of_a_client_is_translated(self, cls: type[Any]) -> None:
        """Whatever a new version of aiokafka adds."""
        for name, method in inspect.getmembers(cls, inspect.iscoroutinefunction):
            if not name.startswith("_"):
                assert hasattr(method, "__wrapped__"), name


def run(work: Any) -> Any:
    """Run it in a loop of its own, within a bound."""

    async def whole() -> Any:
        async with asyncio.timeout(4 * SOON_S):
            return await work()

    return asyncio.run(whole())


async def cancelled_by_nobody() -> None:
    """Await what somebody else has cancelled."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


class TestTranslated:
    """Whose cancellation it is."""

    def test_the_clients_own_is_a_retryable_error(self) -> None:
        """Nobody called `cancel` on the task."""

        async def work() -> None:
            with pytest.raises(ClientCancelledError) as caught:
                await translating(cancelled_by_nobody)()
            assert caught.value.retriable
            with pytest.raises(ClientCancelledError), translated():
                await cancelled_by_nobody()

        run(work)

    def test_ours_stays_what_it_is(self) -> None:
        """`cancel` on the task, and a time-out around it."""

        async def wait() -> None:
            with translated():
                await translating(asyncio.Event().wait)()

        async def work() -> None:
            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await wait()

        run(work)

    def test_it_is_tried_again_like_any_error_that_passes(self) -> None:
        """`with_retries` takes it for one."""

        class Client:
            async def force_metadata_update(self) -> None:
                """Do nothing."""

        tries: list[int] = []

        async def request() -> int:
            tries.append(1)
            if len(tries) == 1:
                await cancelled_by_nobody()
            return len(tries)

        client: Any = Client()
        assert run(lambda: with_retries(client, request)) == 2


class Inner:
    """An AIOKafkaClient with one connection, whose close ends or hangs."""

    def __init__(self) -> None:
        self.aborted = False
        self._writer = self
        self.transport = self
        self._conns = {0: self}
        self._sync_task = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def abort(self) -> None:
        """Break the connection."""
        self.aborted = True
        self.closed.set_result(None)

    def close(self, reason: object) -> asyncio.Future[None]:
        """Return what ends once all is sent."""
        del reason
        return self.closed


class TestStop:
    """A client that is ended while a node does not answer."""

    @pytest.mark.parametrize("stop", [cancelled_by_nobody, asyncio.Event().wait])
    def test_it_ends_in_time_and_leaves_no_connection(self, stop: Any) -> None:
        """Whether its stop raises a CancelledError of its own, or never comes to an end."""

        async def work() -> bool:
            inner = Inner()
            await stop_within(stop, inner, 0.05)
            return inner.aborted

        assert run(work)

    def test_who_discards_a_producer_is_not_cancelled_by_it(self, kafka: str) -> None:
        """The sender's request in flight is cancelled at the second try to end it: nobody hears of that."""

        async def work() -> None:
            producer = Bare(bootstrap_servers=kafka)
            await producer.start()
            producer._sender._sender_task.cancel()
            await asyncio.wait([producer._sender._sender_task])
            producer._sender._sender_task = asyncio.ensure_future(in_flight())
            await asyncio.sleep(0)
            await discard(producer)
            assert asyncio.current_task() is not None

        run(work)

    def test_a_cluster_that_names_no_node_is_asked_again(self, kafka: str) -> None:
        """An error that passes, where aiokafka has an assertion."""

        async def work() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=kafka)
            with pytest.raises(NodeNotReadyError):
                await producer.client.coordinator_lookup(0, "group")
            await producer.stop()

        run(work)


async def in_flight() -> None:
    """Wait for a request that is not answered, as aiokafka's sender does: the second cancel ends it."""
    request = asyncio.get_running_loop().create_future()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await request


def test_the_border_is_where_the_tests_look() -> None:
    """The module has the classes that the checks above speak of."""
    assert set(vars(aiokafka_clients)) >= CLIENTS
    assert (Path(CHECKOUT) / BORDER).exists()
