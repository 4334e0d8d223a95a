"""What callers of the consumer's thread meet when it stops under them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rebate_app.streams.faust.consumer_thread import BatchConsumerThread
from rebate_app.streams.kafka.aiokafka_clients import ClientCancelledError


class StoppingQueue:
    """The thread's queue: what runs is cancelled with the thread, and that is the call's result."""

    async def call(
        self, promise: asyncio.Future[Any], fun: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> asyncio.Future[Any]:
        """Answer as `MethodQueue` does when its worker is cancelled."""
        del fun, args, kwargs
        promise.get_loop().call_soon(promise.set_exception, asyncio.CancelledError())
        return promise


class Thread(BatchConsumerThread):
    """A consumer's thread that is stopping."""

    def __init__(self) -> None:
        self._method_queue = StoppingQueue()
        self.parent_loop = asyncio.get_running_loop()


def test_a_cancelled_call_is_an_error_of_the_client() -> None:
    """Nobody cancelled the caller's task, and a worker that stops must not take it for a crash."""

    async def work() -> None:
        with pytest.raises(ClientCancelledError):
            await Thread().call_thread(asyncio.sleep, 0)

    asyncio.run(work())


def test_the_callers_own_cancellation_remains_one() -> None:
    """Whoever cancels the caller ends it."""

    async def never(*_: Any, **__: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    async def work() -> None:
        thread = Thread()
        thread._method_queue.call = never  # type: ignore[method-assign]
        task = asyncio.create_task(thread.call_thread(asyncio.sleep, 0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
