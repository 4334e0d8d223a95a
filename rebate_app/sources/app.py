"""What the accounts of one app share: the network's time, the rate, the calls of a day, and stops.

Times are seconds: `mono` of the local monotonic clock, all others Unix time of the network.
"""

from __future__ import annotations

from .apis.api import ApiProblem
from .budget import DayBudget, Pace
from .configuration import AppConfiguration
from .job import Stop
from .network_clock import NetworkClock, day_start, shanghai_day

WAIT_FIRST_SECONDS, WAIT_MAX_SECONDS = 2.0, 60.0


class AppRun:
    """One app while its accounts run here. `share`: the part of its accounts that this process runs."""

    def __init__(self, configuration: AppConfiguration, mono: float, share: float = 1.0) -> None:
        self.configuration = configuration
        self.clock = NetworkClock()
        self.pace = Pace(configuration.per_second, share, mono)
        self.budget = DayBudget(configuration.per_day, share)
        self.stopped: Stop | None = None
        self.closed_until: int | None = None
        self._waits: dict[str, tuple[float, float]] = {}  # by method: until (mono), the next wait

    def share(self, share: float, mono: float) -> None:
        """Take another part of the app's rate and day, from now on."""
        self.pace = Pace(self.configuration.per_second, share, mono)
        self.budget.per_day = int(self.configuration.per_day * share)

    @property
    def calls_left(self) -> int:
        """Return how many calls may be made today: none once the network says that the day's are used up."""
        return 0 if self.closed_until is not None else self.budget.left

    def wait_seconds(self, method: str, mono: float, now: float, *, rescan: bool) -> float | None:
        """Return how long a call of a method has to wait, None until the network's next day."""
        if self.clock.is_known:
            self.budget.begin(shanghai_day(now))
            if self.closed_until is not None and now >= self.closed_until:
                self.closed_until = None
            if self.closed_until is not None or not self.budget.has_room(rescan=rescan):
                return None
        until, _ = self._waits.get(method, (mono, 0.0))
        return max(until - mono, self.pace.wait_seconds(mono, low_priority=rescan))

    def seconds_to_next_day(self, now: float) -> float:
        """Return the seconds until the network's next Shanghai day."""
        return day_start(shanghai_day(now) + 1) - now

    def count_call(self, mono: float, *, rescan: bool) -> None:
        """Count a call that is made now."""
        self.pace.take(mono)
        self.budget.count(rescan=rescan)

    def limit_method(self, method: str, mono: float, problem: ApiProblem) -> None:
        """Wait with a method: as long as the network says and a second, else twice the last wait."""
        until, last = self._waits.get(method, (mono, 0.0))
        if problem.wait_seconds is not None:
            wait = problem.wait_seconds + 1.0
        else:
            wait = last = min(WAIT_MAX_SECONDS, 2 * last) if last else WAIT_FIRST_SECONDS
        self._waits[method] = (max(until, mono + wait), last)

    def admit_method(self, method: str) -> None:
        """Take a method as admitted again: it answered. A wait ends by time all the same.

        The call of another account may have been under way when the limit was told.
        """
        until, _ = self._waits.get(method, (float("-inf"), 0.0))
        self._waits[method] = (until, 0.0)

    def close_for_today(self, now: float) -> None:
        """Make no more calls on this Shanghai day."""
        self.closed_until = day_start(shanghai_day(now) + 1)
