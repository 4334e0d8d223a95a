"""How many calls an app may make: a rate in local seconds, and a number per Shanghai day of the network.

In any 10 s there are at most 10 s of the rate and one second's worth (docs/spec/sources.md#budget). Re-scans
take at most 70 % of a day.
"""

from __future__ import annotations

from collections import Counter

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
    """The calls of one Shanghai day; a new day begins with those that were made in doubt about the day.

    `day` 0: no answer and no cursor has told a day. Calls that were counted on a day that had not come yet
    are those of the day on which this is found out.
    """

    def __init__(self, per_day: int, share: float) -> None:
        self.per_day = int(per_day * share)
        self.day = 0
        self._calls: Counter[int] = Counter()  # by day
        self._rescan_calls: Counter[int] = Counter()
        self._doubted = 0

    @property
    def calls(self) -> int:
        """Return how many calls were made on the day."""
        return self._calls[self.day]

    @property
    def rescan_calls(self) -> int:
        """Return how many of them were made for re-scans."""
        return self._rescan_calls[self.day]

    def begin(self, day: int) -> None:
        """Go to a day that is known to be today's, whether it is a later or an earlier one."""
        if day > self.day > 0:
            self._calls[day] += self._doubted
        self._doubted = 0
        if day != self.day:
            self._calls = _from_day(self._calls, day)
            self._rescan_calls = _from_day(self._rescan_calls, day)
            self.day = day

    def restore(self, day: int, calls: int, rescan_calls: int) -> None:
        """Add the calls that were made on a day before this process began."""
        if self.day == 0 < day:
            self.begin(day)
        self.day = max(self.day, day)
        self._calls[day or self.day] += calls
        self._rescan_calls[day or self.day] += rescan_calls

    def recount(self, jobs: list[tuple[int, int, int]]) -> None:
        """Take the calls of jobs, each with its day, its calls, and those of them for re-scans."""
        self._calls.clear()
        self._rescan_calls.clear()
        for day, calls, rescan_calls in jobs:
            self.restore(day, calls, rescan_calls)

    def count(self, *, rescan: bool, in_doubt: bool = False) -> None:
        """Count a call; `in_doubt`: another day may have begun."""
        self._calls[self.day] += 1
        self._rescan_calls[self.day] += rescan
        self._doubted = self._doubted + 1 if in_doubt else 0

    def has_room(self, *, rescan: bool) -> bool:
        """Return whether a call may be made today."""
        if rescan and self.rescan_calls * 100 >= RESCAN_PERCENT * self.per_day:
            return False
        return self.calls < self.per_day

    @property
    def left(self) -> int:
        """Return how many calls are left today."""
        return max(0, self.per_day - self.calls)


def _from_day(counts: Counter[int], day: int) -> Counter[int]:
    """Return the counts of a day: its own, those of later ones, and those of an unknown one."""
    return Counter({day: sum(count for each, count in counts.items() if each == 0 or each >= day)})
