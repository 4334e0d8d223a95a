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
#: So long after a learning call comes the next, while no calls of the last known day are left.
LEARN_AGAIN_SECONDS = 300.0


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
        self._learning_calls: dict[bool, float] = {}  # the last one (mono), by whether the time was known
        self._learning_day = 0  # our clock's day then

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
        self.know_day(now)
        if self.closed_until is not None or not self.budget.has_room(rescan=rescan):
            return None
        return self._wait_of(method, mono, rescan=rescan)

    def _wait_of(self, method: str, mono: float, *, rescan: bool) -> float:
        until, _ = self._waits.get(method, (mono, 0.0))
        return max(until - mono, self.pace.wait_seconds(mono, low_priority=rescan))

    def know_day(self, now: float) -> None:
        """Take the network's day as today's, once two witnesses tell it; end a closed day that is over."""
        if self.clock.is_known and (self.clock.is_agreed or not self.budget.day):
            self.budget.begin(shanghai_day(now))
        if self.closed_until is None:
            return
        if self.clock.is_agreed:
            self.closed_until = min(self.closed_until, day_start(shanghai_day(now) + 1))
        if self.clock.is_known and now >= self.closed_until:
            self.closed_until = None

    def needs_time(self, now: float) -> bool:
        """Return whether the next call only learns the time.

        That is the first one, and where the calls of the last known day are used up and one answer alone says
        that this day is over, the one that has to confirm it.
        """
        if not self.clock.is_known:
            return True
        is_other_day = shanghai_day(now) != self.budget.day
        return not self.clock.is_agreed and is_other_day and not self.budget.has_room(rescan=False)

    def seconds_to_learning_call(self, method: str, mono: float, now: float) -> float | None:
        """Return how long a call that learns the time has to wait, None for no time that is known.

        `now`: by our clock while the network's is not known. Where no calls of the last known day are left,
        it has to show another day, and the call is made once in a while.
        """
        self.know_day(now)
        if self.closed_until is not None:
            return None
        if not self.budget.has_room(rescan=False):
            last = self._learning_calls.get(self.clock.is_known, float("-inf"))
            is_other_day = shanghai_day(now) != (self.budget.day or self._learning_day)
            if not is_other_day or mono - last < LEARN_AGAIN_SECONDS:
                return None
        return self._wait_of(method, mono, rescan=False)

    def count_learning_call(self, mono: float, now: float) -> None:
        """Note that a learning call is made."""
        self._learning_calls[self.clock.is_known] = mono
        self._learning_day = shanghai_day(now)

    def seconds_to_next_day(self, now: float) -> float:
        """Return the seconds until the network's next Shanghai day."""
        return day_start(shanghai_day(now) + 1) - now

    def count_call(self, mono: float, *, rescan: bool) -> None:
        """Count a call that is made now."""
        self.pace.take(mono)
        self.budget.count(rescan=rescan, in_doubt=not self.clock.is_agreed)

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
