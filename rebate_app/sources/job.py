"""The state of one job: its watermark, what it reads, and what holds it back. It decides nothing."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from msgspec import Struct, field

from rebate_app.wire.moments import SECOND_US, format_moment, parse_moment

from .apis.api import ApiProblem, JobSpec
from .network_clock import date_text, day_of_text, shanghai_day
from .scans import DOUBTED, Interval, RescanState, Scan
from .window import WindowRead

REFUSED_KEPT = 200
ROW_OUTCOMES = ("read", "new", "changed", "repeated", "refused")


class Stop(Struct, frozen=True):
    """Why something is stopped until the configuration changes or it is resumed; `since` in Unix seconds."""

    code: str
    message: str
    since: int
    error: str = "stop"


class RefusedRows(Struct):
    """Digests of the dead letters of the newest night, so that a restart does not write them again.

    The newest `REFUSED_KEPT` are kept: a cursor is small.
    """

    night: int = 0
    digests: list[bytes] = field(default_factory=list)

    def add(self, night: int, digests: Iterable[bytes]) -> None:
        """Remember letters of a night."""
        if night > self.night:
            self.night, self.digests = night, []
        if night == self.night:
            self.digests = [*self.digests, *digests][-REFUSED_KEPT:]


class JobCursor(Struct, frozen=True):
    """What is kept of a job: the record of `rebate-fetch-cursors`. Moments are Unix seconds.

    `rescans`: what is left of each kind of re-scan. `corrections`: how often the watermark was taken back,
    because it was later than the network's time.
    """

    watermark: int | None
    at: int
    day: int
    calls_today: int
    rescan_calls_today: int = 0
    rescans: Mapping[str, RescanState] = {}
    refused: RefusedRows = field(default_factory=RefusedRows)
    corrections: int = 0


class JobRun(Struct, kw_only=True):
    """One job of one account while it runs. `mono` times are local seconds, all others network time."""

    spec: JobSpec
    watermark: int | None = None
    hot: Scan | None = None
    hot_started: float = float("-inf")  # mono
    rescans: dict[str, RescanState] = field(default_factory=dict)
    scan: Scan | None = None
    reading: WindowRead | None = None
    retry_at: float = float("-inf")  # mono
    failures: int = 0
    unsent: int = 0  # windows in a row whose facts were not taken
    unknown_codes: int = 0
    last_error: ApiProblem | None = None
    last_error_at: int | None = None
    stopped: Stop | None = None
    learned_day: int = 0
    learned_limit: int | None = None
    repeats: bool = False
    day: int = 0
    calls_today: int = 0
    rescan_calls_today: int = 0
    doubted_calls: int = 0  # the last of them, made while another day may have begun
    hot_until: int = 0  # the end of the hot scan as it was meant
    hot_in_doubt: bool = False  # whether the time was in doubt when it began or was cut
    corrections: int = 0
    pages: int = 0
    halvings: int = 0
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROW_OUTCOMES, 0))
    last_call: float = float("-inf")  # mono
    is_unsaved: bool = False
    refused: RefusedRows = field(default_factory=RefusedRows)

    def restore(self, cursor: JobCursor) -> None:
        """Go on from what was kept."""
        self.watermark = cursor.watermark
        self.day, self.calls_today = cursor.day, cursor.calls_today
        self.rescan_calls_today = cursor.rescan_calls_today
        self.corrections = cursor.corrections
        self.rescans = {
            kind: RescanState(state.at, list(state.left)) for kind, state in cursor.rescans.items()
        }
        self.refused = RefusedRows(cursor.refused.night, list(cursor.refused.digests))

    def take_watermark(self, kept: JobCursor | None) -> None:
        """Take the watermark of another process that has come further, or has brought it back since."""
        if kept is None or kept.watermark is None or kept.corrections < self.corrections:
            return
        if kept.corrections > self.corrections:
            self.watermark, self.corrections = kept.watermark, kept.corrections
        else:
            self.watermark = max(kept.watermark, self.watermark or kept.watermark)

    def cursor(self, now: int) -> JobCursor:
        """Return what is to be kept now."""
        rescans = {kind: RescanState(state.at, list(state.left)) for kind, state in self.rescans.items()}
        refused = RefusedRows(self.refused.night, list(self.refused.digests))
        counts = (self.day, self.calls_today, self.rescan_calls_today)
        return JobCursor(self.watermark, now, *counts, rescans, refused, self.corrections)

    def begin_day(self, day: int) -> None:
        """Go to a day that is known to be today's; calls of a day that has not come yet are today's."""
        if day > self.day > 0:
            self.calls_today, self.rescan_calls_today = self.doubted_calls, 0
        self.is_unsaved = self.is_unsaved or day < self.day
        self.day, self.doubted_calls = day, 0

    def count_call(self, *, rescan: bool, in_doubt: bool) -> None:
        """Count a call on the day of the last `begin_day`; `in_doubt`: another one may have begun."""
        self.calls_today += 1
        self.rescan_calls_today += rescan
        self.doubted_calls = self.doubted_calls + 1 if in_doubt else 0
        self.is_unsaved = True

    def take_back(self, latest: int, earliest: int) -> None:
        """Go back to a moment from a watermark that is later than it can be, and read again what is in doubt.

        Nobody knows when the windows before it were read, so all that the network shows is read again at low
        priority.
        """
        self.watermark = latest
        self.corrections += 1
        self.hot = self.reading = None
        self.hot_started = float("-inf")
        self.rescans.setdefault(DOUBTED, RescanState()).left = [(earliest, latest)]
        self.is_unsaved = True

    def begin_anew(self) -> None:
        """Forget what is halved and half read: the scans begin again with whole windows."""
        self.hot = self.scan = self.reading = None
        self.hot_started = float("-inf")

    def limit_seconds(self, network_limit: int, now: float) -> int:
        """Return the longest window of today: the network's limit, or a shorter one that was learned."""
        if self.learned_limit is None or self.learned_day != shanghai_day(now):
            return network_limit
        return min(network_limit, self.learned_limit)


def encode_cursor(account: str, job: str, cursor: JobCursor) -> tuple[bytes, bytes]:
    """Return the record of a cursor."""
    value: dict[str, Any] = {
        "watermark": None if cursor.watermark is None else format_moment(cursor.watermark * SECOND_US),
        "at": format_moment(cursor.at * SECOND_US),
        "calls_today": cursor.calls_today,
        "day": date_text(cursor.day),
        "rescan_calls_today": cursor.rescan_calls_today,
        "rescans": {kind: {"at": each.at, "left": each.left} for kind, each in cursor.rescans.items()},
        "corrections": cursor.corrections,
    }
    if cursor.refused.digests:
        digests = [b64encode(digest).decode() for digest in cursor.refused.digests]
        value["refused"] = {"night": cursor.refused.night, "digests": digests}
    return f"{account}/{job}".encode(), orjson.dumps(value)


def decode_cursor(value: bytes) -> JobCursor:
    """Return the cursor of a record; ValueError for anything else. Members that are absent have no effect."""
    try:
        members = orjson.loads(value)
        watermark = members.get("watermark")
        return JobCursor(
            None if watermark is None else parse_moment(watermark) // SECOND_US,
            parse_moment(members["at"]) // SECOND_US,
            day_of_text(members["day"]),
            int(members["calls_today"]),
            int(members.get("rescan_calls_today", 0)),
            {kind: _rescan(each) for kind, each in members.get("rescans", {}).items()},
            _refused(members.get("refused", {})),
            int(members.get("corrections", 0)),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no cursor: {error}") from None


def _refused(members: dict[str, Any]) -> RefusedRows:
    digests = [b64decode(text) for text in members.get("digests", ())]
    return RefusedRows(int(members.get("night", 0)), digests[-REFUSED_KEPT:])


def _rescan(members: dict[str, Any]) -> RescanState:
    intervals: list[Interval] = [(int(start), int(end)) for start, end in members["left"]]
    return RescanState(int(members["at"]), intervals)
