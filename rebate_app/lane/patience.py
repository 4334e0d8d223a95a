"""How long a failure is borne: back-off with jitter, a deadline, and how long nothing has moved.

It is separate because opening a partition and committing a chunk are borne alike, and a chunk that the
broker refuses again and again must not be done again in a hot loop.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from .failures import BrokerGoneError

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.1, 10.0


class Patience:
    """Failures in a row of one thing; `restart` after each success."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: float | None = None
        self._backoff = BACKOFF_FIRST_S

    def restart(self) -> None:
        """Forget the failures: it has worked."""
        self._since = None
        self._backoff = BACKOFF_FIRST_S

    async def bear(self, error: BaseException) -> None:
        """Wait before the next try; BrokerGoneError when it has been failing for longer than the limit."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > self._limit_s:
            raise BrokerGoneError(f"the broker has failed us for {self._limit_s:.0f} s: {error!r}") from error
        await asyncio.sleep(self._backoff * random.uniform(0.5, 1.5))
        self._backoff = min(self._backoff * 2, BACKOFF_MAX_S)


class Standstill:
    """For how long there has been work to do and no progress in it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: object = None
        self._moved_at = clock()

    def seconds(self, progress: object, *, has_work: bool) -> float:
        """Note how far the work is, and return for how long it has been there; 0 without work."""
        now = self._clock()
        if not has_work or progress != self._seen:
            self._seen, self._moved_at = progress, now
        return now - self._moved_at
