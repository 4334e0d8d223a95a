"""Back-off with jitter and a deadline for what fails, and detection of work without progress.

Opening a partition and committing a batch use the same back-off, so neither retries in a hot loop.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from ..errors import BrokerGoneError

BACKOFF_FIRST_SECONDS, BACKOFF_SECONDS_MAX = 0.1, 10.0


class Backoff:
    """Counts consecutive failures of one operation; call `restart` after each success."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._since: float | None = None
        self._delay_seconds = BACKOFF_FIRST_SECONDS

    def restart(self) -> None:
        """Begin anew: the operation succeeded."""
        self._since = None
        self._delay_seconds = BACKOFF_FIRST_SECONDS

    async def wait(self, error: BaseException) -> None:
        """Wait before the next try; BrokerGoneError once failures have lasted longer than the limit."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > self._limit_seconds:
            raise BrokerGoneError(
                f"the broker has been failing for {self._limit_seconds:.0f} s: {error!r}"
            ) from error
        await asyncio.sleep(self._delay_seconds * random.uniform(0.5, 1.5))
        self._delay_seconds = min(self._delay_seconds * 2, BACKOFF_SECONDS_MAX)


class StallDetector:
    """Measures for how long there has been work without progress."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: object = None
        self._moved_at = clock()

    def seconds(self, progress: object, *, has_work: bool) -> float:
        """Record the progress, and return for how long it has not changed; 0 without work."""
        now = self._clock()
        if not has_work or progress != self._seen:
            self._seen, self._moved_at = progress, now
        return now - self._moved_at
