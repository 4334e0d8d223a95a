"""The network's time of one app, by the `Date` header of its newest answer.

Nothing that concerns the network depends on the local wall clock: it only signs the first call, whose answer
tells the time (docs/spec/sources.md#network-time). Times are seconds; local ones are of the monotonic clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import ceil

#: A call whose signed time differs from `Date` by more is repeated with the right time.
SIGNED_SECONDS_MAX = 30
#: How far an advance may be from what the pace lets expect, as a part of it.
PACE_DEVIATION_MAX = 0.5
#: So many in a row have to keep a pace until it is believed.
STEADY_MIN = 2
BEIJING_SECONDS = 8 * 3_600
DAY_SECONDS = 86_400
RETRY_AFTER_DIGITS_MAX = 9


class NetworkClock:
    """Network time as local monotonic time plus an offset; `wall_seconds` is the local clock's Unix time.

    `is_agreed`: the newest `Date` has a witness, the one before it or the local clock, or goes on at the pace
    of those before it, as that of a simulated network does. Until then it is in doubt: calls are signed with
    it, and nothing that is kept follows it alone.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._before = 0.0  # that of the answer before, or of the local clock
        self.skew_seconds = 0.0
        self.is_agreed = False
        self._newest: tuple[int, float] | None = None  # the newest `Date`, and when it came
        self._pace = 0.0  # in seconds of the network a local second
        self._steady = 0  # how many in a row have kept it

    @property
    def is_known(self) -> bool:
        """Return whether an answer has told the time."""
        return self._offset is not None

    def learn(self, date: int, mono: float, wall_seconds: float) -> None:
        """Take the `Date` of an answer that came at the local time `mono`."""
        offset, local = date - mono, wall_seconds - mono
        self._before = local if self._offset is None else self._offset
        self._offset = offset
        is_near = min(abs(offset - self._before), abs(offset - local)) <= SIGNED_SECONDS_MAX
        self.is_agreed = self._keeps_pace(date, mono) or is_near
        self.skew_seconds = wall_seconds - date

    def _keeps_pace(self, date: int, mono: float) -> bool:
        """Note a `Date`; return whether it and those before it keep a pace."""
        (before, then), self._newest = self._newest or (date, mono), (date, mono)
        advance, passed, expected = date - before, mono - then, self._pace * (mono - then)
        if passed > 0:
            self._pace = advance / passed
        deviation = max(SIGNED_SECONDS_MAX, advance * PACE_DEVIATION_MAX)
        keeps = advance > 0 and expected > 0 and abs(advance - expected) <= deviation
        self._steady = self._steady + 1 if keeps else 0
        return self._steady >= STEADY_MIN

    def now(self, mono: float, wall_seconds: float) -> float:
        """Return the network's time in Unix seconds; the local wall clock's before the first answer."""
        return wall_seconds if self._offset is None else mono + self._offset

    def least(self, mono: float, wall_seconds: float) -> float:
        """Return the network's time; while it is in doubt, the earlier one of what two witnesses tell."""
        if self._offset is None or self.is_agreed:
            return self.now(mono, wall_seconds)
        return mono + min(self._offset, self._before)


def date_of(header: str | None) -> int | None:
    """Return a `Date` header in Unix seconds, None for none that can be read."""
    if header is None:
        return None
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def seconds_of_retry_after(header: str | None, now: float) -> int | None:
    """Return the seconds of a `Retry-After` header, None for none; `now`: the network's time."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:RETRY_AFTER_DIGITS_MAX]), DAY_SECONDS)
    moment = date_of(text)
    return None if moment is None else min(max(0, ceil(moment - now)), DAY_SECONDS)


def shanghai_day(seconds: float) -> int:
    """Return the number of the Shanghai day of Unix seconds, counted from 1970-01-01."""
    return int(seconds + BEIJING_SECONDS) // DAY_SECONDS


def day_start(day: int) -> int:
    """Return the first second of a Shanghai day."""
    return day * DAY_SECONDS - BEIJING_SECONDS


def date_text(day: int) -> str:
    """Return a Shanghai day as `YYYY-MM-DD`."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y-%m-%d")


def day_of_text(text: str) -> int:
    """Return the number of a day `YYYY-MM-DD`; ValueError."""
    return (datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days


def month_before(day: int) -> tuple[int, int, int]:
    """Return first and last day of the calendar month before a day's, and the day's place in its month."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moment = epoch + timedelta(days=day)
    last = moment.replace(day=1) - timedelta(days=1)
    return (last.replace(day=1) - epoch).days, (last - epoch).days, moment.day
