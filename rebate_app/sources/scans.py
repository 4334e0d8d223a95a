"""What a job still has to read: the hot scan behind its watermark, and re-scans of the past.

A scan is a list of intervals in Unix seconds of the network, read from left to right in windows; neighbouring
windows share their edge second. Re-scans are read by update time again, since rows come late, and taobao's
last month by settlement time (docs/spec/sources.md#watermark).
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from .network_clock import DAY_SECONDS, SIGNED_SECONDS_MAX, day_start, month_before, shanghai_day

HOT, RECENT, DAY, NIGHTLY, SETTLEMENT, BACKFILL = "hot", "recent", "day", "nightly", "settlement", "backfill"
#: What a watermark had passed that turned out to be later than the network's time.
DOUBTED = "doubted"
#: In the order of their priority; the hot scan comes before all of them.
RESCANS = (RECENT, DAY, DOUBTED, NIGHTLY, SETTLEMENT, BACKFILL)
#: Rows younger than this may not be in the network's index yet.
LAG_SECONDS = 60
RECENT_EVERY_SECONDS, RECENT_SECONDS = 540, 3_000
DAY_EVERY_SECONDS, DAY_SPAN_SECONDS = 6 * 3_600, 26 * 3_600
NIGHTLY_DAYS = (1, 7, 15, 30, 60, 85)
SETTLEMENT_DAYS = (16, 21, 25)

Interval = tuple[int, int]


class Scan(Struct):
    """Intervals that are left to read, and the halved windows of the first one."""

    kind: str
    left: list[Interval]
    windows: list[Interval] = field(default_factory=list)
    lost_seconds: int = 0

    @property
    def by_settlement(self) -> bool:
        """Return whether rows are selected by settlement time."""
        return self.kind == SETTLEMENT

    @property
    def is_done(self) -> bool:
        """Return whether nothing is left."""
        return not self.left

    def has_rest(self, earliest: int, latest: int) -> bool:
        """Return whether something is left from `earliest` to `latest`; what is not is dropped.

        Windows that are begun are no exception: time may have passed, and now may turn out to be earlier.
        `lost_seconds` counts what the network no longer shows.
        """
        self.left[:] = _until(self.left, latest)
        self.windows[:] = _until(self.windows, latest)
        while self.left:
            start, end = self.windows[-1] if self.windows else self.left[0]
            if start >= earliest:
                return True
            self.lost_seconds += min(end, earliest) - start
            if earliest < end:
                self.left[0] = (earliest, self.left[0][1])
                self.windows[-1:] = [(earliest, end)] if self.windows else []
                return True
            if self.windows:
                self.complete()
            else:
                self.left.pop(0)
        return False

    def window(self, limit_seconds: int, earliest: int, latest: int) -> Interval | None:
        """Return the window to read now; None if nothing is left."""
        if not self.has_rest(earliest, latest):
            return None
        if not self.windows:
            start, end = self.left[0]
            self.windows.append((start, end))
        start, end = self.windows[-1]
        if end - start > limit_seconds:  # of a new interval, or of halves that were made before the limit
            self.windows[-1:] = [(start + limit_seconds, end), (start, start + limit_seconds)]
        return self.windows[-1]

    def halve(self) -> None:
        """Replace the window by its halves."""
        start, end = self.windows.pop()
        middle = (start + end) // 2
        self.windows += [(middle, end), (start, middle)]

    def complete(self) -> int:
        """Take the window as read; return its end, up to which the interval is read without a gap."""
        _, end = self.windows.pop()
        if not self.windows:
            self.left.pop(0)
        else:
            self.left[0] = (end, self.left[0][1])
        return end


def _until(intervals: list[Interval], latest: int) -> list[Interval]:
    return [(start, min(end, latest)) for start, end in intervals if start < latest]


class RescanState(Struct):
    """The re-scans of one kind of a job: when the last one began, and what is left of it.

    `at`: in Unix seconds of the network; of the nightly kinds the number of their night instead, of a
    backfill which request it is.
    """

    at: int = 0
    left: list[Interval] = field(default_factory=list)


def begin_due(states: dict[str, RescanState], now: int, nightly_minute: int, *, settles: bool) -> bool:
    """Begin the re-scans that are due at a network time; what is left of a night joins the next one.

    Return whether a state is another one than before and has to be kept: the first of a kind only says from
    when on the next one is counted, and without it none would ever be due after a restart.
    """
    before = {kind: state.at for kind, state in states.items()}
    _begin(states, RECENT, now, RECENT_EVERY_SECONDS, RECENT_SECONDS)
    _begin(states, DAY, now, DAY_EVERY_SECONDS, DAY_SPAN_SECONDS)
    night, soon = night_of(now, nightly_minute), night_of(now + SIGNED_SECONDS_MAX, nightly_minute)
    for kind, intervals in ((NIGHTLY, nightly_intervals(night)), (SETTLEMENT, settlement_intervals(night))):
        state = states.setdefault(kind, RescanState(at=night))
        if not night <= state.at <= soon:  # due, or begun on a night that has not come yet
            state.at = night
            if kind == NIGHTLY or settles:
                state.left += [each for each in intervals if each not in state.left]
    return before != {kind: state.at for kind, state in states.items()}


def _begin(states: dict[str, RescanState], kind: str, now: int, every: int, span: int) -> None:
    """Begin a re-scan that is due by its last start, unless that one is still read.

    One that began at a moment that has not come yet is due.
    """
    state = states.setdefault(kind, RescanState(at=now))
    is_due = now - state.at >= every or state.at - now > SIGNED_SECONDS_MAX
    if is_due and not state.left:
        state.at = now
        state.left = [(now - span, now - LAG_SECONDS)]


def night_of(now: float, nightly_minute: int) -> int:
    """Return the Shanghai day on which the newest night began."""
    return shanghai_day(now - nightly_minute * 60)


def nightly_intervals(night: int) -> list[Interval]:
    """Return the days that a night reads again."""
    return [(day_start(night - days), day_start(night - days) + DAY_SECONDS) for days in NIGHTLY_DAYS]


def settlement_intervals(night: int) -> list[Interval]:
    """Return the days of the last calendar month, on the nights on which it is read again."""
    first, last, day_of_month = month_before(night)
    return [(day_start(first), day_start(last + 1))] if day_of_month in SETTLEMENT_DAYS else []


def runnable(states: dict[str, RescanState], now: int, nightly_minute: int) -> Iterator[str]:
    """Return the kinds with something left to read now; a night's rest waits for the next night."""
    night = night_of(now, nightly_minute)
    for kind in RESCANS:
        state = states.get(kind)
        if state is not None and state.left and (kind not in (NIGHTLY, SETTLEMENT) or state.at == night):
            yield kind
