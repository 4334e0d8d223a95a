"""Progress of a restore, for `/readyz`, `/v1/workers`, metrics and the log.

Positions are changelog offsets; times are seconds of a monotonic clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

LOG_INTERVAL_SECONDS = 5.0

log = logging.getLogger(__name__)


class RestoreProgress:
    """Position and end of the changelog that is being read; both 0 before the restore begins."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.position = 0
        self.end = 0
        self._name = name
        self._clock = clock
        self._begun: tuple[int, float] | None = None
        self._logged_at = 0.0

    def begin(self) -> None:
        """Begin another restore."""
        self._begun = None

    def note(self, position: int, end: int) -> None:
        """Set position and end; log them every few seconds."""
        self.position, self.end = position, end
        now = self._clock()
        if self._begun is None:
            self._begun, self._logged_at = (position, now), now
        if now - self._logged_at >= LOG_INTERVAL_SECONDS and position < end:
            self._logged_at = now
            log.info("restoring %s", self)

    @property
    def remaining(self) -> int:
        """Return how many offsets are left."""
        return max(0, self.end - self.position)

    @property
    def seconds_left(self) -> float | None:
        """Return the time left at the rate so far, None while the rate is not known."""
        if self._begun is None:
            return None
        begin, begun_at = self._begun
        done = self.position - begin
        return None if done <= 0 else (self._clock() - begun_at) * self.remaining / done

    def __str__(self) -> str:
        left = self.seconds_left
        time_left = "" if left is None else f", {left:.0f} s left"
        return f"{self._name} at {self.position} of {self.end}{time_left}"
