"""Bounded waits on conditions: the only kind of waiting that tests may do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02
#: Limits are written for a quiet machine. One that is shared takes several times as long, and a limit that
#: is not reached costs nothing.
PATIENCE = 4


def wait_for(condition: Callable[[], T | None], seconds_max: float, what: str) -> T:
    """Return the condition's first true value; AssertionError saying what was awaited when time is up.

    :param seconds_max: seconds on a quiet machine; `PATIENCE` times as many are waited.
    """
    deadline = time.monotonic() + PATIENCE * seconds_max
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE * seconds_max:g} s: {what}")
        pause.wait(POLL_S)


async def until(condition: Callable[[], Awaitable[T | None]], seconds_max: float, what: str) -> T:
    """Return the same of a condition that has to be awaited, because somebody is asked for it."""
    deadline = time.monotonic() + PATIENCE * seconds_max
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE * seconds_max:g} s: {what}")
        await asyncio.sleep(POLL_S)
