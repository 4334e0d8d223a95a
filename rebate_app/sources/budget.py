"""How many calls an app may make: a rate in local seconds, and a number per Shanghai day of the network.

In any 10 s there are at most 10 s of the rate and one second's worth (docs/spec/sources.md#budget). Re-scans
take at most 70 % of a day.
"""

from __future__ import annotations

RESCAN_PERCENT = 70
SPAN_SECONDS = 10


class Pace:
    """A token bucket over local seconds. It begins empty: the process before may just have called."""

    def __init__(self, per_second: float, share: float, mono: float) -> None:
        allowed = per_second * share
        self._capacity = max(1.0, allowed)
        spare = ((SPAN_SECONDS + 1) * allowed - self._capacity) / SPAN_SECONDS
        self._per_second = min(allowed, max(spare, allowed / SPAN_SECONDS))
        self._tokens = 0.0
        self._at = mono

    def wait_seconds(self, mono: float, *, low_priority: bool = False) -> float:
        """Return how long until a call may be made; one of low priority leaves half of the bucket."""
        self._fill(mono)
        needed = max(1.0, self._capacity / 2) if low_priority else 1.0
        return max(0.0, (needed - self._tokens) / self._per_second)

    def take(self, mono: float) -> None:
        """Count a call."""
        self._fill(mono)
        self._tokens -= 1.0

    def _fill(self, mono: float) -> None:
        self._tokens = min(self._capacity, self._tokens + max(0.0, mono - self._at) * self._per_second)
        self._at = mono


class DayBudget:
    """The calls of one Shanghai day; a new day begins with none."""

    def __init__(self, per_day: int, share: float) -> None:
        self.per_day = int(per_day * share)
        self.day = 0
        self.calls = 0
        self.rescan_calls = 0

    def begin(self, day: int) -> None:
        """Go to a day, if it is a later one; calls before the first day is known count on it."""
        if self.day == 0:
            self.day = day
        elif day > self.day:
            self.day, self.calls, self.rescan_calls = day, 0, 0

    def restore(self, day: int, calls: int, rescan_calls: int) -> None:
        """Add the calls that were made on a day before this process began."""
        if day > self.day:
            self.day, self.calls, self.rescan_calls = day, 0, 0
        if day == self.day:
            self.calls += calls
            self.rescan_calls += rescan_calls

    def recount(self, jobs: list[tuple[int, int, int]]) -> None:
        """Take the calls of jobs, each with its day, its calls, and those of them for re-scans."""
        self.day = max([self.day, *(day for day, _, _ in jobs)])
        self.calls = sum(calls for day, calls, _ in jobs if day == self.day)
        self.rescan_calls = sum(rescans for day, _, rescans in jobs if day == self.day)

    def count(self, *, rescan: bool) -> None:
        """Count a call."""
        self.calls += 1
        self.rescan_calls += rescan

    def has_room(self, *, rescan: bool) -> bool:
        """Return whether a call may be made today."""
        if rescan and self.rescan_calls * 100 >= RESCAN_PERCENT * self.per_day:
            return False
        return self.calls < self.per_day

    @property
    def left(self) -> int:
        """Return how many calls are left today."""
        return max(0, self.per_day - self.calls)
