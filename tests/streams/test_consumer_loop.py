"""The loop that delivers batches to agents, in place of Faust's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import ConsumerStoppedError

from rebate_app.streams.faust import consumer as module
from rebate_app.streams.faust.consumer import BatchConsumer
from rebate_app.streams.faust.consumer_thread import BatchConsumerThread

pytestmark = pytest.mark.asyncio
COUNT = 50
SECONDS_MAX = 60.0


class Consumer(BatchConsumer):
    """The loop alone: messages are numbers, and the end of them stops it."""

    def __init__(self, deliver: Callable[[int], Awaitable[None]], *, is_active: bool = True) -> None:
        self._stopped = asyncio.Event()
        self.suspend_flow = asyncio.Event()
        self.flow_active = True
        self.callback = deliver
        flow_control = SimpleNamespace(is_active=lambda: is_active)
        self.app = SimpleNamespace(flow_control=flow_control, should_stop=False)
        self.left = COUNT
        self.failure: BaseException | None = None

    async def _messages(self) -> AsyncIterator[tuple[Any, Any]]:
        for _ in range(10):
            self.left -= 1
            yield "tp", COUNT - self.left
        if self.left == 0:
            self._stopped.set()
        if self.failure is not None:
            raise self.failure

    async def wait_first(self, *coros: Any, timeout: Any = None) -> Any:  # noqa: ASYNC109 - mode's signature
        """Wait for the first one and cancel the other, as mode does."""
        tasks = [asyncio.ensure_future(each) for each in coros]
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def drain(consumer: Consumer) -> None:
    """Run the loop to its end."""
    async with asyncio.timeout(SECONDS_MAX):
        await consumer._drain_messages(SimpleNamespace(_stopped=asyncio.Event()))


async def test_each_is_delivered_in_order_without_a_task_of_its_own() -> None:
    """Two tasks a message are what made Faust's loop dear."""
    delivered: list[int] = []
    running = len(asyncio.all_tasks())

    async def deliver(number: int) -> None:
        assert len(asyncio.all_tasks()) == running
        delivered.append(number)

    await drain(Consumer(deliver))
    assert delivered == list(range(1, COUNT + 1))


async def test_a_delivery_that_waits_ends_when_the_flow_is_suspended() -> None:
    """A rebalance must not wait for one: its batch is dropped, and read again from the task's position."""
    begun: list[int] = []
    waits = asyncio.Event()

    async def deliver(number: int) -> None:
        begun.append(number)
        waits.set()
        await asyncio.Event().wait()

    consumer = Consumer(deliver, is_active=False)
    draining = asyncio.create_task(drain(consumer))
    async with asyncio.timeout(SECONDS_MAX):
        await waits.wait()
    assert begun == [1]
    consumer.suspend_flow.set()
    await draining
    assert len(begun) == COUNT


@pytest.mark.parametrize("failure", [ConsumerStoppedError(), asyncio.CancelledError()])
async def test_a_consumer_that_stops_is_no_failure_of_a_worker_that_stops(failure: BaseException) -> None:
    """Else it is one, and Faust ends the worker."""

    async def deliver(_: int) -> None:
        """Take it."""

    for should_stop in (True, False):
        consumer = Consumer(deliver)
        consumer.failure, consumer.app.should_stop = failure, should_stop
        if should_stop:
            await drain(consumer)
        else:
            with pytest.raises(type(failure)):
                await drain(consumer)


class TestLapsedLease:
    """A worker that was frozen has records at hand, and does not know yet whose they are."""

    def _consumer(self, holds: Callable[[], bool]) -> Consumer:
        async def deliver(_: int) -> None:
            """Take it."""

        consumer = Consumer(deliver)
        consumer.app.tasks = SimpleNamespace(lease_holds=holds)
        consumer._waits_for_heartbeat = True
        return consumer

    async def test_it_waits_for_a_heartbeat(self) -> None:
        """Until the lease holds again, and not at all while it holds."""
        answers = [False, False, True]
        consumer = self._consumer(lambda: answers.pop(0) if len(answers) > 1 else answers[0])
        async with asyncio.timeout(SECONDS_MAX):
            await consumer._wait_for_heartbeat()
            await consumer._wait_for_heartbeat()
        assert answers == [True]

    async def test_a_rebalance_ends_the_wait(self) -> None:
        """What was fetched is dropped then."""
        consumer = self._consumer(lambda: False)
        waiting = asyncio.create_task(consumer._wait_for_heartbeat())
        await asyncio.sleep(0)
        assert not waiting.done()
        consumer.flow_active = False
        async with asyncio.timeout(SECONDS_MAX):
            await waiting

    async def test_nobody_who_answers_heartbeats_is_waited_for_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the coordinator away it reads on, and waits again once the lease has held."""
        monkeypatch.setattr(module, "HEARTBEAT_WAIT_SECONDS_MAX", 0.1)
        held = [False]
        consumer = self._consumer(lambda: held[0])
        async with asyncio.timeout(SECONDS_MAX):
            await consumer._wait_for_heartbeat()
        assert not consumer._waits_for_heartbeat
        monkeypatch.setattr(module, "HEARTBEAT_WAIT_SECONDS_MAX", SECONDS_MAX)
        async with asyncio.timeout(SECONDS_MAX / 2):
            await consumer._wait_for_heartbeat()
        held[0] = True
        await consumer._wait_for_heartbeat()
        assert consumer._waits_for_heartbeat


async def test_a_worker_that_reads_is_not_idle() -> None:
    """Aiokafka leaves the group for a consumer that nobody polls, and nobody polls the group's own."""
    thread: Any = object.__new__(BatchConsumerThread)
    thread._consumer = None
    thread.note_fetch()
    subscription = SubscriptionState()
    thread._consumer = SimpleNamespace(_subscription=subscription)
    subscription._last_fetch_ended = time.monotonic() - 1_000.0
    assert subscription.fetcher_idle_time >= 1_000.0
    thread.note_fetch()
    assert subscription.fetcher_idle_time < SECONDS_MAX
