"""How long a partition waits between two small batches while the worker's core is busy.

A transaction costs the worker about a millisecond and the broker more, however little is in it. A partition
that commits as soon as it can makes hundreds of them a second, of a few records each: the lowest latency as
long as the core has room, and no room for HTTP once it has none. So the busier the event loop's thread, the
longer a partition gathers records before it begins the next batch; with many at hand it never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

WINDOW_SECONDS = 0.1  # over which the load is measured
BUSY, ROOM = 0.8, 0.65  # shares of a core: above the first the pause grows, below the second it shrinks
PAUSE_MIN_SECONDS, PAUSE_MAX_SECONDS = 0.005, 0.2
STEP = 2.0
BUSY_FROM_SECONDS = 0.04  # of pause: for some tenths of a second, and not for a moment
WINDOWS_MAX = 20  # without a look: by then nothing is left of the longest pause
RECORDS_ENOUGH = 500  # the transaction's cost hardly counts beside theirs


class BatchPacer:
    """The pause of all partitions of a worker; used in the event loop's thread, whose load it measures.

    Each look at it takes the load up to now into account, so that nothing waits for the sake of a busy time
    that is over.
    """

    __slots__ = ("_at", "_clock", "_pause_seconds", "_used", "_used_clock")

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        used_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock = clock
        self._used_clock = used_clock
        self._at, self._used = clock(), used_clock()
        self._pause_seconds = 0.0

    @property
    def pause_seconds(self) -> float:
        """Return how long it is from the beginning of a batch to that of the partition's next one."""
        now = self._clock()
        if now - self._at >= WINDOW_SECONDS:
            self._adapt(now)
        return self._pause_seconds

    @property
    def is_busy(self) -> bool:
        """Whether fewer and larger fetches are wanted, which wait longer than a short pause."""
        return self.pause_seconds >= BUSY_FROM_SECONDS

    def wait_seconds(self, began_at: float, records: int) -> float:
        """Return how long the next batch still waits.

        `began_at`: reading of `clock` when the last one began; `records`: how many are at hand.
        """
        pause_seconds = self.pause_seconds
        if records >= RECORDS_ENOUGH:
            return 0.0
        return max(0.0, began_at + pause_seconds - self._clock())

    def _adapt(self, now: float) -> None:
        used = self._used_clock()
        share, windows = (used - self._used) / (now - self._at), (now - self._at) / WINDOW_SECONDS
        self._at, self._used = now, used
        if share > BUSY:
            self._pause_seconds = min(max(self._pause_seconds * STEP, PAUSE_MIN_SECONDS), PAUSE_MAX_SECONDS)
        elif share < ROOM:
            pause = self._pause_seconds / STEP ** min(windows, WINDOWS_MAX)
            self._pause_seconds = pause if pause >= PAUSE_MIN_SECONDS else 0.0
