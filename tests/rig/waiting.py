"""Bounded waits on conditions: the only kind of waiting that tests may do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02


def wait_for(condition: Callable[[], T | None], seconds_max: float, what: str) -> T:
    """Return the condition's first true value; AssertionError saying what was awaited when time is up."""
    deadline = time.monotonic() + seconds_max
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max} s: {what}")
        pause.wait(POLL_S)


async def until(condition: Callable[[], Awaitable[T | None]], seconds_max: float, what: str) -> T:
    """Return the same of a condition that has to be awaited, because somebody is asked for it."""
    deadline = time.monotonic() + seconds_max
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max} s: {what}")
        await asyncio.sleep(POLL_S)
