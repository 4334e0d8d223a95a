"""The parts of fetching, each alone: clocks, budgets, scans, windows, cursors, memory."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from rebate_app.sources.apis.api import ApiProblem, ErrorClass, JobSpec, OddRow, RowPage, load_api
from rebate_app.sources.app import AppRun
from rebate_app.sources.budget import DayBudget, Pace
from rebate_app.sources.configuration import AppConfiguration
from rebate_app.sources.cursors import AccountDecision, CursorTopic, encode_decision
from rebate_app.sources.facts import LETTER_BYTES_MAX, Destination, FactMaker, RowMemory
from rebate_app.sources.job import REFUSED_KEPT, JobCursor, JobRun, RefusedRows, decode_cursor, encode_cursor
from rebate_app.sources.network_clock import (
    NetworkClock,
    date_of,
    date_text,
    day_of_text,
    day_start,
    month_before,
    seconds_of_retry_after,
    shanghai_day,
)
from rebate_app.sources.scans import (
    BACKFILL,
    DAY,
    NIGHTLY,
    RECENT,
    SETTLEMENT,
    RescanState,
    Scan,
    begin_due,
    nightly_intervals,
    runnable,
)
from rebate_app.sources.window import WindowProgress, WindowRead
from rebate_app.streams.failures.dead_letter import WorkerInfo
from rebate_app.wire.moments import SECOND_US, parse_moment
from rebate_app.wire.networks.adapter import load_adapter
from rebate_app.wire.networks.pages import not_a_row
from rebate_app.wire.stages import RECORD_BYTES_MAX
from rebate_app.wire.truncation import VALUE_KEPT_BYTES
from tests.sources.runs import bug
from tests.wire.samples import taobao_row

NOON = parse_moment("2026-03-16T12:00:00+08:00") // SECOND_US
DAY_SECONDS = 86_400


class TestClock:
    """The network's time."""

    def test_it_follows_the_newest_date(self) -> None:
        """Local monotonic time plus an offset; the wall clock only before the first answer."""
        clock = NetworkClock()
        assert (clock.is_known, clock.now(5.0, 99.0)) == (False, 99.0)
        clock.learn(1_000, 5.0, 1_300.0)
        assert (clock.is_known, clock.now(7.5, 0.0), clock.skew_seconds) == (True, 1_002.5, 300.0)
        clock.learn(900, 10.0, 900.0)
        assert clock.now(11.0, 5e9) == 901.0

    def test_one_date_alone_is_in_doubt(self) -> None:
        """Its witness is the one before it, or the local clock; until then the earlier time is safe."""
        clock = NetworkClock()
        clock.learn(1_000, 5.0, 1_300.0)
        assert (clock.is_agreed, clock.least(5.0, 1_300.0)) == (False, 1_000.0)
        clock.learn(1_001, 6.0, 1_301.0)
        assert (clock.is_agreed, clock.least(6.0, 1_301.0)) == (True, 1_001.0)
        clock.learn(9_000, 7.0, 1_302.0)
        assert (clock.is_agreed, clock.now(8.0, 0.0), clock.least(8.0, 0.0)) == (False, 9_001.0, 1_003.0)
        clock.learn(1_302, 7.0, 1_302.0)
        assert clock.is_agreed
        clock = NetworkClock()
        clock.learn(9_000, 5.0, 1_000.0)
        assert (clock.is_agreed, clock.least(6.0, 1_001.0)) == (False, 1_001.0)

    @pytest.mark.parametrize("pace", [60, 1_000, 3_600])
    def test_a_network_of_another_pace_is_believed(self, pace: int) -> None:
        """From its fourth answer on, whatever is between two; a jump is in doubt there, too."""
        clock, rng, mono, date = NetworkClock(), random.Random(pace), 5.0, 1_768_015_500
        for number in range(100):
            clock.learn(date, mono, 0.0)
            assert number < 3 or clock.is_agreed, number
            passed = rng.choice((0.2, 1.5, 5.0, 60.0))
            mono, date = mono + passed, date + round(passed * pace)
        clock.learn(date + 10 * DAY_SECONDS * pace, mono, 0.0)
        assert not clock.is_agreed

    def test_dates_of_answers(self) -> None:
        """RFC 9110; a header without a zone is GMT, what cannot be read is none."""
        assert date_of("Sat, 10 Jan 2026 03:25:00 GMT") == 1_768_015_500
        assert date_of("Sat, 10 Jan 2026 03:25:00 -0000") == 1_768_015_500
        assert date_of(None) is None
        assert date_of("soon") is None

    def test_when_to_come_again(self) -> None:
        """`Retry-After` has seconds, or a moment of the network's clock; at most a day is waited."""
        at, text = 1_768_015_500, "Sat, 10 Jan 2026 03:25:00 GMT"
        found = [seconds_of_retry_after(each, at) for each in ("8", " 0 ", text, "9" * 5_000)]
        assert found == [8, 0, 0, DAY_SECONDS]
        assert seconds_of_retry_after(text, at - 7.5) == 8
        assert [seconds_of_retry_after(each, at) for each in (None, "", "soon", "-1", "٣")] == [None] * 5

    def test_shanghai_days(self) -> None:
        """They begin at 16:00 UTC."""
        day = shanghai_day(NOON)
        assert date_text(day) == "2026-03-16"
        assert day_of_text("2026-03-16") == day
        assert shanghai_day(day_start(day)) == day
        assert shanghai_day(day_start(day) - 1) == day - 1
        first, last, place = month_before(day)
        assert (date_text(first), date_text(last), place) == ("2026-02-01", "2026-02-28", 16)


class TestBudget:
    """Rate and day."""

    @pytest.mark.parametrize(("per_second", "share"), [(5, 1.0), (5, 0.5), (1, 1.0), (1, 0.5), (40, 1.0)])
    def test_at_most_eleven_seconds_worth_in_ten_seconds(self, per_second: float, share: float) -> None:
        """However greedy the caller is, and after any pause."""
        pace, now, calls = Pace(per_second, share, 0.0), 0.0, []
        for pause in (0.0, 60.0, 0.0):
            now += pause
            until = now + 12
            while now < until:
                wait = pace.wait_seconds(now)
                if wait > 0:
                    now += wait + 1e-6
                else:
                    pace.take(now)
                    calls.append(now)
        worst = max(sum(begin <= each < begin + 10 for each in calls) for begin in calls)
        assert worst <= 11 * per_second * share + 1e-6 or worst <= 1
        assert len(calls) > 24 * per_second * share * 0.7

    def test_low_priority_leaves_room(self) -> None:
        """Half of the bucket is for hot jobs."""
        pace = Pace(10, 1.0, 0.0)
        assert pace.wait_seconds(0.3) == 0
        assert pace.wait_seconds(0.3, low_priority=True) > 0

    def test_a_day(self) -> None:
        """Re-scans take 70 %; a new day begins anew; calls of a day that has not come yet are today's."""
        budget = DayBudget(100, 0.5)
        budget.count(rescan=False)
        budget.begin(7)
        assert (budget.calls, budget.left) == (1, 49)
        for _ in range(35):
            budget.count(rescan=True)
        assert (budget.has_room(rescan=True), budget.has_room(rescan=False)) == (False, True)
        budget.begin(6)
        assert budget.calls == 36
        budget.begin(8)
        assert (budget.calls, budget.rescan_calls) == (0, 0)

    def test_calls_of_before(self) -> None:
        """Those of the newest day count."""
        budget = DayBudget(100, 1.0)
        budget.restore(7, 10, 5)
        budget.restore(6, 50, 50)
        budget.restore(7, 3, 0)
        assert (budget.day, budget.calls, budget.rescan_calls) == (7, 13, 5)
        budget.recount([(7, 1, 1), (8, 2, 0)])
        assert (budget.day, budget.calls, budget.rescan_calls) == (8, 2, 0)
        budget.begin(7)  # the 8th has not come yet
        assert (budget.day, budget.calls, budget.rescan_calls) == (7, 3, 1)

    def test_calls_of_a_day_that_nobody_knows(self) -> None:
        """They count on the first that is known; those in doubt on the day that turns out to have begun."""
        budget = DayBudget(100, 1.0)
        budget.restore(0, 2, 0)
        budget.count(rescan=False, in_doubt=True)
        budget.restore(7, 10, 5)
        assert (budget.day, budget.calls) == (7, 13)
        budget.count(rescan=False)
        budget.count(rescan=False, in_doubt=True)
        budget.begin(8)
        assert (budget.day, budget.calls, budget.rescan_calls) == (8, 1, 0)
        budget.begin(9)
        assert budget.calls == 0


class TestApp:
    """What accounts of an app share."""

    def app(self) -> AppRun:
        """Return an app whose clock is known."""
        run = AppRun(AppConfiguration("a", "jd", "https://x", "k", "s", per_second=10), 0.0)
        run.clock.learn(NOON, 0.0, NOON)
        return run

    def test_waits_of_a_method(self) -> None:
        """N + 1 s where the network says N, else doubling from 2 s to 60 s; an answer ends it."""
        app, limited = self.app(), ApiProblem(ErrorClass.WAIT, "429", "")
        app.limit_method("m", 10.0, ApiProblem(ErrorClass.WAIT, "7", "", wait_seconds=17))
        assert app.wait_seconds("m", 10.0, NOON, rescan=False) == 18
        assert app.wait_seconds("other", 10.0, NOON, rescan=False) == 0
        app = self.app()
        waits = []
        for _ in range(8):
            app.limit_method("m", 10.0, limited)
            waits.append(app.wait_seconds("m", 10.0, NOON, rescan=False))
        assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
        app.admit_method("m")
        assert app.wait_seconds("m", 70.0, NOON, rescan=False) == 0
        app.limit_method("m", 70.0, limited)
        assert app.wait_seconds("m", 70.0, NOON, rescan=False) == 2

    def test_a_ban_ends_by_time(self) -> None:
        """Not by the answer to a call that another account made before it, nor by a shorter one."""
        app = self.app()
        app.limit_method("m", 10.0, ApiProblem(ErrorClass.WAIT, "7", "", wait_seconds=8))
        app.admit_method("m")
        app.limit_method("m", 11.0, ApiProblem(ErrorClass.WAIT, "429", ""))
        assert app.wait_seconds("m", 11.0, NOON, rescan=False) == 8
        assert app.wait_seconds("m", 19.0, NOON, rescan=False) == 0

    def test_the_next_day(self) -> None:
        """Closed until midnight in Shanghai, by the network's clock."""
        app = self.app()
        app.close_for_today(NOON)
        assert app.wait_seconds("m", 10.0, NOON + 11 * 3_600, rescan=False) is None
        assert app.seconds_to_next_day(NOON) == 12 * 3_600
        assert app.wait_seconds("m", 10.0, NOON + 12 * 3_600, rescan=False) == 0


class TestScans:
    """Intervals and re-scans."""

    def test_windows_share_their_edge_and_leave_no_gap(self) -> None:
        """Whatever is halved in between."""
        scan, read = Scan("hot", [(0, 1_000)]), []
        while (window := scan.window(300, -5, 2_000)) is not None:
            if window[1] - window[0] > 200 and window[0] % 7 < 4:
                scan.halve()
                continue
            read.append(window)
            assert scan.complete() == window[1]
        assert scan.is_done
        assert read[0][0] == 0
        assert read[-1][1] == 1_000
        assert all(one[1] == other[0] for one, other in pairwise(read))

    def test_what_the_network_no_longer_shows_is_dropped(self) -> None:
        """The look-back moves on."""
        scan = Scan("nightly", [(0, 100), (100, 300)])
        assert scan.window(1_000, 150, 900) == (150, 300)
        assert Scan("nightly", [(0, 100)]).window(10, 100, 900) is None

    def test_windows_in_progress_are_clipped_on_both_sides(self) -> None:
        """What is lost is counted; nothing is left out between what was clipped and what comes next."""
        scan = Scan("hot", [(0, 800)])
        assert scan.window(800, 0, 900) == (0, 800)
        scan.halve()
        scan.halve()
        assert scan.windows == [(400, 800), (200, 400), (0, 200)]
        assert scan.window(800, 50, 900) == (50, 200)
        assert scan.window(800, 250, 900) == (250, 400)
        assert (scan.lost_seconds, scan.left) == (250, [(250, 800)])
        assert scan.window(800, 250, 300) == (250, 300)
        assert scan.complete() == 300
        assert scan.window(800, 250, 900) is None
        assert Scan("hot", [(0, 800)]).window(800, 0, 0) is None

    def test_a_re_scan_that_began_in_the_future_is_due(self) -> None:
        """Of every kind; a second or two are no matter."""
        night = shanghai_day(NOON)
        states = {RECENT: RescanState(NOON + 10), NIGHTLY: RescanState(night)}
        begin_due(states, NOON, 150, settles=False)
        assert list(runnable(states, NOON, 150)) == []
        states = {RECENT: RescanState(NOON + DAY_SECONDS), NIGHTLY: RescanState(night + 2)}
        begin_due(states, NOON, 150, settles=False)
        assert list(runnable(states, NOON, 150)) == [RECENT, NIGHTLY]
        assert (states[RECENT].at, states[NIGHTLY].at) == (NOON, night)
        begin = day_start(night) + 150 * 60
        states = {NIGHTLY: RescanState(night)}
        begin_due(states, begin - 2, 150, settles=False)
        assert states[NIGHTLY].left == []

    def test_a_shorter_limit_cuts_halves_that_were_made_before(self) -> None:
        """No call is spent on a window that is known to be too long."""
        scan = Scan("hot", [(0, 800)])
        assert scan.window(800, 0, 900) == (0, 800)
        scan.halve()
        assert scan.window(100, 0, 900) == (0, 100)

    def test_when_re_scans_begin(self) -> None:
        """Every 540 s, every 6 h, each night; not at the very start, which reads everything anyway."""
        states: dict[str, RescanState] = {}
        assert begin_due(states, NOON, 150, settles=True)  # is kept: the next ones are counted from it
        assert not begin_due(states, NOON + 539, 150, settles=True)
        assert list(runnable(states, NOON + 539, 150)) == []
        begin_due(states, NOON + 540, 150, settles=True)
        assert states[RECENT].left == [(NOON + 540 - 3_000, NOON + 480)]
        later = NOON + 6 * 3_600
        begin_due(states, later, 150, settles=True)
        assert states[DAY].left == [(later - 26 * 3_600, later - 60)]
        assert states[RECENT].at == NOON + 540  # still read
        night = NOON + 14 * 3_600 + 1_800
        begin_due(states, night - 1, 150, settles=True)
        assert states[NIGHTLY].left == []
        begin_due(states, night, 150, settles=True)
        assert len(states[NIGHTLY].left) == 6
        assert list(runnable(states, night, 150)) == [RECENT, DAY, NIGHTLY]

    def test_nights(self) -> None:
        """T-1, T-7, T-15, T-30, T-60, T-85, whole Shanghai days."""
        night = shanghai_day(NOON)
        days = [night - shanghai_day(start) for start, _ in nightly_intervals(night)]
        assert days == [1, 7, 15, 30, 60, 85]
        assert all(end - start == DAY_SECONDS for start, end in nightly_intervals(night))

    def test_what_a_night_leaves_goes_on_the_next(self) -> None:
        """And not in between, when the day's calls begin anew."""
        states = {NIGHTLY: RescanState(shanghai_day(NOON) - 1, [(5, 6)])}
        begin_due(states, NOON, 150, settles=False)
        assert states[NIGHTLY].left[0] == (5, 6)
        assert len(states[NIGHTLY].left) == 7
        after_midnight = NOON + 13 * 3_600
        begin_due(states, after_midnight, 150, settles=False)
        assert NIGHTLY in list(runnable(states, after_midnight, 150))
        old = {NIGHTLY: RescanState(shanghai_day(NOON) - 1, [(5, 6)]), BACKFILL: RescanState(1, [(1, 2)])}
        assert list(runnable(old, NOON, 150)) == [BACKFILL]

    def test_the_last_month_by_settlement(self) -> None:
        """On the 16th, 21st and 25th, of jobs that have it."""
        for settles, count in ((True, 1), (False, 0)):
            states = {SETTLEMENT: RescanState(shanghai_day(NOON) - 1)}
            begin_due(states, NOON, 150, settles=settles)
            assert len(states[SETTLEMENT].left) == count
        states = {SETTLEMENT: RescanState(shanghai_day(NOON))}
        begin_due(states, NOON + DAY_SECONDS, 150, settles=True)
        assert states[SETTLEMENT].left == []


def rows(*names: str) -> list[dict[str, Any]]:
    """Return rows with the ids of JD and PDD."""
    return [{"id": name, "order_sn": name} for name in names]


class TestWindows:
    """One window, page by page."""

    def jd(self, seconds: int = 1) -> WindowRead:
        """Return a window of JD."""
        return WindowRead(load_api("jd"), (0, seconds), "hot", backward=False)

    def pdd(self, seconds: int = 1) -> WindowRead:
        """Return a window of PDD."""
        return WindowRead(load_api("pdd"), (0, seconds), "hot", backward=True)

    def test_one_page(self) -> None:
        """It is complete at once, and halved otherwise."""
        assert self.jd(60).take(RowPage(rows("a"), more=False)) is WindowProgress.COMPLETE
        assert self.jd(60).take(RowPage(rows("a"), more=True)) is WindowProgress.TOO_MANY
        assert self.pdd(60).take(RowPage([], more=False, total=0)) is WindowProgress.COMPLETE
        assert self.pdd(60).take(RowPage([], more=False, total=3)) is WindowProgress.TOO_MANY

    def test_two_passes_have_to_agree(self) -> None:
        """Forward, from the first page each time."""
        window = self.jd()
        pages = [RowPage(rows("a"), more=True), RowPage(rows("b"), more=False)]
        taken = [(window.query.page, window.take(page)) for page in (*pages, *pages)]
        more, done = WindowProgress.MORE_PAGES, WindowProgress.COMPLETE
        assert taken == [(1, more), (2, more), (1, more), (2, done)]
        assert [row["id"] for row in window.rows] == ["a", "b", "a", "b"]

    def test_three_passes_without_two_that_agree(self) -> None:
        """The window is tried again later."""
        window, progress = self.jd(), WindowProgress.MORE_PAGES
        for number in range(3):
            window.take(RowPage(rows(f"a{number}"), more=True))
            progress = window.take(RowPage(rows(f"b{number}"), more=False))
        assert progress is WindowProgress.UNSETTLED

    def test_a_page_that_came_before_is_no_page(self) -> None:
        """A network that repeats a page has left one out: the pass counts for nothing."""
        window = self.jd()
        window.take(RowPage(rows("a"), more=True))
        assert window.take(RowPage(rows("a"), more=True)) is WindowProgress.MORE_PAGES
        assert window.query.page == 1

    def test_backward(self) -> None:
        """From the last page of the total to the first."""
        window, total = self.pdd(), 250
        window.take(RowPage(rows("x"), more=True, total=total))
        pages = []
        for name in ("c", "b", "a", "c", "b", "a"):
            pages.append(window.query.page)
            progress = window.take(RowPage(rows(name), more=True, total=total))
        assert pages == [3, 2, 1, 3, 2, 1]
        assert progress is WindowProgress.COMPLETE

    def test_too_many_pages(self) -> None:
        """The network gives no page beyond its last."""
        window = self.jd()
        for number in range(49):
            assert window.take(RowPage(rows(f"r{number}"), more=True)) is WindowProgress.MORE_PAGES
        assert window.take(RowPage(rows("last"), more=True)) is WindowProgress.OVERFULL
        assert self.pdd().take(RowPage([], more=True, total=10**7)) is WindowProgress.OVERFULL


GOOD_MEMBERS = b'"watermark":null,"at":"2026-01-01T00:00:00Z","day":"2026-01-01","calls_today":1'
BAD_REFUSED = [
    b'{%s,"refused":%s}' % (GOOD_MEMBERS, refused)
    for refused in (b"7", b"null", b'{"digests":[1]}', b'{"digests":["x"]}', b'{"night":[]}')
]


class TestCursors:
    """The records of rebate-fetch-cursors."""

    CURSOR = JobCursor(
        NOON,
        NOON + 5,
        shanghai_day(NOON),
        7,
        2,
        {"nightly": RescanState(3, [(1, 2)])},
        RefusedRows(20_000, [b"a" * 12, bytes(range(244, 256))]),
    )

    def test_a_cursor_is_read_as_it_was_written(self) -> None:
        """With the members of the contract, and those of re-scans."""
        key, value = encode_cursor("mm-1", "orders-1", self.CURSOR)
        assert key == b"mm-1/orders-1"
        assert decode_cursor(value) == self.CURSOR
        assert decode_cursor(encode_cursor("a", "b", JobCursor(None, 1, 2, 3))[1]).watermark is None

    @pytest.mark.parametrize(
        "value", [b"{", b"[]", b"{}", b'{"at":"x","day":"y","calls_today":1}', *BAD_REFUSED]
    )
    def test_other_values(self, value: bytes) -> None:
        """They are no cursors."""
        with pytest.raises(ValueError, match=r"cursor|JSON|moment|time|unexpected|base64"):
            decode_cursor(value)

    def record(self, key: bytes | None, value: bytes | None, offset: int = 0) -> Any:
        """Return a record as a consumer does."""
        members = {"key": key, "value": value, "topic": "t", "partition": 0, "offset": offset}
        return type("Record", (), members)()

    def test_the_later_decision_of_the_topic_holds(self) -> None:
        """By its place; one that cannot be read has none."""
        topic = CursorTopic("t")
        assert topic.place("mm") == 0
        topic.take(self.record(*encode_decision("mm", AccountDecision(paused=True, at=600)), offset=7))
        first = topic.place("mm")
        topic.take(self.record(*encode_decision("mm", AccountDecision(paused=False, at=5)), offset=9))
        topic.take(self.record(b"mm", b"{", offset=11))
        assert (topic.decision("mm"), topic.place("mm") > first) == (
            AccountDecision(paused=False, at=5),
            True,
        )
        assert topic.place("mm") == 10

    def test_the_topic(self) -> None:
        """A watermark does not go back, whoever writes; what cannot be read is passed over."""
        bad: list[Any] = []
        topic = CursorTopic("t", bad.append)
        newer = JobCursor(NOON + 60, NOON, 1, 1)
        for cursor in (self.CURSOR, newer, self.CURSOR):
            topic.take(self.record(*encode_cursor("mm", "rows", cursor)))
        assert topic.cursors("mm")["rows"].watermark == NOON + 60
        assert topic.cursors("mm")["rows"].calls_today == 7
        topic.take(self.record(*encode_decision("mm", AccountDecision(paused=True, at=5))))
        assert topic.decision("mm") == AccountDecision(paused=True, at=5)
        assert topic.decision("other") is None
        corrected = JobCursor(NOON - 60, NOON, 1, 3, corrections=1)
        for cursor in (corrected, newer):
            topic.take(self.record(*encode_cursor("mm", "rows", cursor)))
            assert topic.cursors("mm")["rows"].watermark == NOON - 60
            assert topic.cursors("mm")["rows"].corrections == 1
        for key, value in ((b"\xff", b""), (b"mm/x", b"{"), (b"mm", b"{"), (None, b"{}")):
            topic.take(self.record(key, value))
        assert len(bad) == 3
        topic.take(self.record(b"mm/rows", None))
        assert topic.cursors("mm") == {}


class TestRefusedRows:
    """What a cursor remembers of dead letters."""

    def test_the_newest_of_the_newest_night(self) -> None:
        """Bounded, whatever a network sends."""
        rows = RefusedRows()
        rows.add(5, [b"x"])
        rows.add(6, [bytes([number % 256, number // 256]) for number in range(REFUSED_KEPT)])
        rows.add(6, [b"last"])
        rows.add(5, [b"late"])
        assert (rows.night, len(rows.digests)) == (6, REFUSED_KEPT)
        assert (rows.digests[0], rows.digests[-1]) == (b"\x01\x00", b"last")


class TestJobs:
    """The state of a job."""

    def test_calls_of_a_day(self) -> None:
        """Counted by the network's Shanghai day."""
        job = JobRun(spec=JobSpec("rows", "m"))
        job.count_call(rescan=False, in_doubt=True)
        job.begin_day(7)  # the first that is known
        job.count_call(rescan=True, in_doubt=False)
        assert (job.day, job.calls_today, job.rescan_calls_today, job.is_unsaved) == (7, 2, 1, True)
        job.count_call(rescan=False, in_doubt=True)
        job.begin_day(8)
        assert (job.day, job.calls_today, job.rescan_calls_today) == (8, 1, 0)
        job.is_unsaved = False
        job.begin_day(7)  # the 8th has not come yet
        assert (job.day, job.calls_today, job.is_unsaved) == (7, 1, True)

    def test_a_limit_is_remembered_for_the_day(self) -> None:
        """The next day has the network's own again."""
        job = JobRun(spec=JobSpec("rows", "m"), learned_day=shanghai_day(NOON), learned_limit=600)
        assert (job.limit_seconds(3_600, NOON), job.limit_seconds(3_600, NOON + DAY_SECONDS)) == (600, 3_600)


def nested(depth: int) -> Any:
    """Return arrays within arrays."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


class TestFacts:
    """Rows become facts once."""

    def maker(self) -> FactMaker:
        """Return a maker of taobao's facts."""
        where = Destination("order_topic", "order_topic-dlt", 3, "rebate", WorkerInfo())
        return FactMaker("taobao", load_adapter("taobao"), load_api("taobao"), where)

    def test_repeats(self) -> None:
        """By content, after they are acknowledged; a change back is one, whichever job shows it."""
        maker, row, now = self.maker(), taobao_row(), (NOON + 10**7) * SECOND_US
        first = maker.batch("orders-1", [row, row], now, 1)
        assert first.counts == {"read": 2, "new": 1, "repeated": 1}
        assert maker.batch("orders-1", [row], now, 1).counts["new"] == 1  # nothing was acknowledged
        maker.acknowledge(first)
        assert maker.batch("orders-1", [row], now, 1).records == []
        other = maker.batch("orders-3", [row], now, 1)
        assert (other.counts, other.records) == ({"read": 1, "repeated": 1}, [])
        maker.acknowledge(other)
        changed = maker.batch("orders-1", [{**row, "relation_id": 7}], now, 1)
        assert changed.counts == {"read": 1, "changed": 1}
        maker.acknowledge(changed)
        assert maker.batch("orders-3", [row], now, 1).counts["changed"] == 1
        assert maker.batch("orders-1", [row], now, 1).counts["changed"] == 1

    def test_scenes_that_say_different_things(self) -> None:
        """Each is sent once, however often both are read again; a third scene repeats one of them."""
        maker, now = self.maker(), (NOON + 10**7) * SECOND_US
        said = {"orders-1": 1, "orders-2": 2, "orders-3": 1}
        found = []
        for _ in range(3):
            for job, relation in said.items():
                batch = maker.batch(job, [taobao_row(relation_id=relation)], now, 1)
                maker.acknowledge(batch)
                found.append(len(batch.records))
        assert found == [1, 1, 0, 0, 0, 0, 0, 0, 0]

    def test_refused_rows(self) -> None:
        """A dead letter once per content and night, in the partition of its line."""
        maker, row, now = self.maker(), taobao_row(pub_share_pre_fee="much"), (NOON + 10**7) * SECOND_US
        first = maker.batch("orders-1", [row], now, 1)
        assert (first.counts, first.records, len(first.letters)) == ({"read": 1, "refused": 1}, [], 1)
        maker.acknowledge(first)
        assert maker.batch("orders-1", [row], now, 1).letters == []
        assert len(maker.batch("orders-1", [row], now, 2).letters) == 1
        assert maker.batch("orders-3", [row], now, 1).letters == []
        started = self.maker()
        started.remember_refused(first.refused)
        assert started.batch("orders-1", [row], now, 1).letters == []
        headers = dict(first.letters[0].headers)
        assert headers["rebate-error-topic"] == b"order_topic"
        assert len(headers["rebate-error-offset"]) == 18

    @pytest.mark.parametrize(
        "odd",
        ["cut emoji \ud83d", 10**21, -(2**63) - 1, Decimal("1" * 5_000), Decimal("NaN"), [300], [900], [{}]],
        ids=range(8),
    )
    def test_an_odd_value_costs_no_row(self, odd: Any) -> None:
        """A fact where the member decides nothing, else a dead letter; neither twice."""
        odd = nested(odd[0]) if odd in ([300], [900]) else odd
        maker, now = self.maker(), (NOON + 10**7) * SECOND_US
        good = maker.batch("orders-1", [taobao_row(item_title=odd), taobao_row(unknown_member=odd)], now, 1)
        assert good.counts == {"read": 2, "new": 1, "changed": 1}
        assert all(orjson.loads(value)["platform"] == "taobao" for _, value in good.records[1:])
        maker.acknowledge(good)
        assert maker.batch("orders-1", [taobao_row(unknown_member=odd)], now, 1).counts["repeated"] == 1
        for name in ("pub_share_pre_fee", "trade_id", "modified_time"):
            refused = maker.batch("orders-1", [taobao_row(**{name: odd})], now, 1)
            if (name, odd) == ("trade_id", 10**21):  # as good an id as any
                continue
            assert refused.counts == {"read": 1, "refused": 1}
            assert (refused.letters[0].value or b"").startswith(b"{")

    def test_a_refused_row_beyond_a_record_is_cut(self) -> None:
        """Its letter fits into a record, and says how long the row was."""
        maker, now = self.maker(), (NOON + 10**7) * SECOND_US
        row = taobao_row(pub_share_pre_fee="much", item_title="x" * 1_200_000)
        (letter,) = maker.batch("orders-1", [row], now, 1).letters
        headers = dict(letter.headers)
        assert int(headers["rebate-error-truncated"] or b"0") > 1_200_000
        assert len(letter.value or b"") == VALUE_KEPT_BYTES
        long = maker.batch("orders-1", [taobao_row(trade_id="1" * 2_000_000)], now, 1).letters[0]
        assert len(long.key or b"") + len(long.value or b"") < RECORD_BYTES_MAX
        fitting = taobao_row(pub_share_pre_fee="much", item_title="x" * (LETTER_BYTES_MAX - 10_000))
        assert "rebate-error-truncated" not in dict(maker.batch("o", [fitting], now, 1).letters[0].headers)

    def test_refused_rows_without_an_id(self) -> None:
        """They are known by their content: those of one second do not push each other out."""
        maker, now = self.maker(), (NOON + 10**7) * SECOND_US
        rows = [taobao_row(trade_id=None, item_title=title) for title in ("one", "other")]
        letters = []
        for _ in range(3):
            batch = maker.batch("orders-1", rows, now, 1)
            maker.acknowledge(batch)
            letters.append(len(batch.letters))
            assert batch.counts == {"read": 2, "refused": 2}
        assert letters == [2, 0, 0]

    @pytest.mark.parametrize("value", [None, 7, "\ud83d", [1], 10**21])
    def test_what_is_no_row_is_a_dead_letter(self, value: Any) -> None:
        """With the value itself and the reason; each of them once."""
        rows = [OddRow(not_a_row(value)), taobao_row(), OddRow(not_a_row("other"))]
        batch = self.maker().batch("orders-1", rows, (NOON + 10**7) * SECOND_US, 1)
        assert batch.counts == {"read": 3, "refused": 2, "new": 1}
        assert json.loads(batch.letters[0].value or b"") == value
        assert dict(batch.letters[0].headers)["rebate-error-reason"] == b"undecodable"

    def test_a_fact_beyond_a_record_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The window goes on: a sender would refuse it with all its neighbours."""
        monkeypatch.setattr("rebate_app.sources.facts.RECORD_BYTES_MAX", 100)
        batch = self.maker().batch("orders-1", [taobao_row()], (NOON + 10**7) * SECOND_US, 1)
        assert (batch.counts, batch.records) == ({"read": 1, "refused": 1}, [])
        assert dict(batch.letters[0].headers)["rebate-error-reason"] == b"limit-fact"

    def test_our_own_bug_costs_its_row_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A dead letter names the place; the row beside it is sent."""
        maker, now, fact = self.maker(), (NOON + 10**7) * SECOND_US, FactMaker._fact

        def failing(self: FactMaker, row: dict[str, Any], now_us: int) -> Any:
            return bug() if row["item_title"] == "bad" else fact(self, row, now_us)

        monkeypatch.setattr(FactMaker, "_fact", failing)
        batch = maker.batch("orders-1", [taobao_row(item_title="bad"), taobao_row()], now, 1)
        assert batch.counts == {"read": 2, "refused": 1, "new": 1}
        headers = dict(batch.letters[0].headers)
        assert headers["rebate-error-reason"] == b"internal-error"
        assert b"KeyError at" in (headers["rebate-error-detail"] or b"")

    def test_memory_is_bounded(self) -> None:
        """Two generations; what is asked for rarely is forgotten, and sent again."""
        memory = RowMemory[tuple[str, str], bytes](2)
        for number in range(5):
            memory.put(("j", str(number)), b"x")
        assert [memory.get(("j", str(number))) is not None for number in range(5)] == [
            *(False, False, True, True, True)
        ]


class TestForeignPage:
    """A page that answers another question: a gateway repeats the answer before."""

    @pytest.mark.parametrize(
        "moments",
        [
            ["2026-03-01 00:00:00"],
            ["2026-03-01 00:00:00", "2026-03-01 02:00:02"],
            ["2026-03-01 01:00:00", "2026-03-01 00:59:58"],  # of the window before, which shares an edge
            ["soon", "2026-03-01 02:00:02"],
        ],
    )
    def test_it_is_asked_for_again_and_believed_in_the_end(self, moments: list[str]) -> None:
        """Three times: a network that selects by another time than its rows show has to be read too."""
        start = 1_772_298_000  # 2026-03-01 01:00:00 in Beijing
        reading = WindowRead(load_api("jd"), (start, start + 3_600), "hot", backward=True)
        rows = [{"id": str(number), "modifyTime": moment} for number, moment in enumerate(moments)]
        page = RowPage(rows, False, None)
        assert [reading.take(page) for _ in range(4)] == [
            *[WindowProgress.FOREIGN] * 3,
            WindowProgress.COMPLETE,
        ]

    @pytest.mark.parametrize("moment", ["2026-03-01 01:30:00", "1772299800", "1772299800000", "soon", ""])
    def test_one_whose_rows_all_lie_in_the_window_is_not(self, moment: str) -> None:
        """Up to a second beyond its edges; nor one whose rows have no readable time, nor one without rows."""
        start = 1_772_298_000
        edges = [
            {"id": "2", "modifyTime": "2026-03-01 00:59:59"},
            {"id": "3", "modifyTime": "2026-03-01 02:00:01"},
        ]
        for rows in ([], [{"id": "1", "modifyTime": moment}, *edges]):
            reading = WindowRead(load_api("jd"), (start, start + 3_600), "hot", backward=True)
            assert reading.take(RowPage(rows, False, None)) is WindowProgress.COMPLETE
