"""Which call of an account is next, and what its answer means: pure decisions, time is an argument.

`AccountRun.next` returns a call or how long to wait; `answer` takes the answer and returns rows where a
window is complete; after their facts are acknowledged, `commit` moves the watermark. One call of an account
is under way at a time, and a watermark never goes back by itself (docs/spec/sources.md#watermark).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rebate_app.domain.reasons import INTERNAL_ERROR
from rebate_app.wire.networks.adapter import Row

from .apis.api import LOOK_BACK_SECONDS, ApiClient, ApiProblem, ErrorClass, Query, RowPage, read_answer
from .app import AppRun
from .configuration import AccountConfiguration
from .job import JobRun, Stop
from .network_clock import SIGNED_SECONDS_MAX, seconds_of_retry_after, shanghai_day
from .scans import HOT, LAG_SECONDS, Scan, begin_due, runnable
from .window import WindowProgress, WindowRead

RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, MAINTENANCE_SECONDS = 1.0, 300.0, 60.0
#: The network counts its look-back from the moment of the call, so the oldest minutes are left to it.
LOOK_BACK_MARGIN_SECONDS = 300
#: How long an account without anything to do is left alone: pauses and new jobs are noticed in between.
IDLE_SECONDS = 1.0
#: What waits for longer than any back-off waits for another day.
SOON_SECONDS = 2 * RETRY_MAX_SECONDS
#: How often a job asks for the network's time again while it is in doubt.
DOUBT_SECONDS = 5
#: Less than that is the time that a first scan takes.
LOST_SECONDS_MIN = 60

log = logging.getLogger(__name__)


class Call(Struct, frozen=True):
    """One call to make: a signed form for a URL. `signed_at`: the time in it, Unix seconds.

    `in_doubt`: made while no two witnesses told that time.
    """

    job: JobRun
    url: str
    form: dict[str, str]
    query: Query
    signed_at: int
    is_rescan: bool
    is_learning: bool
    in_doubt: bool = False


class Reply(Struct, frozen=True):
    """An HTTP answer, or none: `status` 0 and the reason in `failure`.

    `date`: its `Date`, Unix seconds; `retry_after`: that header as it came.
    """

    status: int = 0
    body: bytes = b""
    date: int | None = None
    failure: str = ""
    retry_after: str = ""


class Fetched(Struct, frozen=True):
    """The rows of a window that was read completely. Its facts have to be acknowledged before `commit`."""

    job: JobRun
    scan: Scan
    rows: list[Row]
    end: int


class AccountRun:
    """One account. `only`: kinds of scans that are run, None for all that are due."""

    def __init__(
        self,
        configuration: AccountConfiguration,
        app: AppRun,
        api: ApiClient,
        jitter: random.Random | None = None,
    ) -> None:
        self.configuration = configuration
        self.app = app
        self.paused = False
        self.stopped: Stop | None = None
        self.jobs = [JobRun(spec=spec) for spec in api.jobs(configuration)]
        self.rescans_enabled = True
        self._api = api
        self._backward = api.is_backward(configuration)
        self._jitter = jitter or random.Random()

    # -- what is next

    def next(self, mono: float, wall_seconds: float) -> Call | float:
        """Return the call to make now, or the seconds after which to ask again."""
        if self.paused or self.stopped is not None or self.app.stopped is not None:
            return IDLE_SECONDS
        now = self.app.clock.now(mono, wall_seconds)
        if self.app.needs_time(now):
            return self._learning_call(mono, now)
        self._correct(now)
        waits = [self._seconds_to_hot(job, mono) for job in self.jobs if job.stopped is None]
        jobs = sorted((job for job in self.jobs if job.stopped is None), key=lambda job: job.last_call)
        for rescan in (False, True):
            for job in jobs:
                wait = self._wait_seconds(job, mono, now, rescan=rescan)
                if wait is not None and wait <= 0:
                    return self._call(job, mono, now, rescan=rescan)
                if wait is not None:
                    waits.append(wait)
        return min(waits, default=IDLE_SECONDS)

    def _correct(self, now: float) -> None:
        """Bring back what is kept of a time that has not come yet, once now is known to be earlier."""
        self._know_day(now)
        if not self.app.clock.is_agreed:
            return
        latest = int(now) - LAG_SECONDS
        for job in self.jobs:
            if job.watermark is not None and job.watermark > latest + SIGNED_SECONDS_MAX:
                name = f"{self.configuration.id}/{job.spec.name}"
                log.warning("source %s: the watermark was %d s ahead", name, job.watermark - latest)
                job.take_back(latest, min(latest, self._begin(now)))

    def _know_day(self, now: float) -> None:
        self.app.know_day(now)
        for job in self.jobs:
            if self.app.clock.is_agreed or (self.app.clock.is_known and not job.day):
                job.begin_day(self.app.budget.day)

    def _seconds_to_hot(self, job: JobRun, mono: float) -> float:
        """Return when the job looks for new rows again; re-scans are begun then, too."""
        return max(IDLE_SECONDS, self._next_hot(job) - mono)

    def is_idle(self, mono: float, wall_seconds: float) -> bool:
        """Return whether no job has anything to read before long, or everything that has is stopped."""
        if self.paused or self.stopped is not None or self.app.stopped is not None:
            return True
        now = self.app.clock.now(mono, wall_seconds)
        if self.app.needs_time(now):
            wait = self.app.seconds_to_learning_call(self.jobs[0].spec.method, mono, now)
            return wait is None or wait > SOON_SECONDS
        waits = [
            self._wait_seconds(job, mono, now, rescan=rescan)
            for job in self.jobs
            if job.stopped is None
            for rescan in (False, True)
        ]
        return all(wait is None or wait > SOON_SECONDS for wait in waits)

    @property
    def is_behind(self) -> bool:
        """Return whether rows are left to read that cannot be read soon."""
        jobs = [job for job in self.jobs if job.stopped is None and not self.paused]
        if not self.app.clock.is_known:
            return bool(jobs)
        return any(job.watermark is None or (job.hot is not None and not job.hot.is_done) for job in jobs)

    def _learning_call(self, mono: float, now: float) -> Call | float:
        """Return the first call of an app, whose answer only tells the time."""
        job = self.jobs[0]
        wait = self.app.seconds_to_learning_call(job.spec.method, mono, now)
        if wait is None:
            return IDLE_SECONDS
        wait = max(wait, job.retry_at - mono)
        if wait > 0:
            return wait
        self.app.count_learning_call(mono, now)
        end = int(now) - LAG_SECONDS
        query = Query(end - LAG_SECONDS, end)
        return self._made(job, query, mono, now, rescan=False, learning=True)

    def _wait_seconds(self, job: JobRun, mono: float, now: float, *, rescan: bool) -> float | None:
        """Return how long a job has to wait with a scan of a kind, None if it has none to read."""
        if rescan and job.hot is not None and not job.hot.is_done:
            return None
        if self._scan_of(job, mono, now, rescan=rescan) is None:
            return None
        wait = self.app.wait_seconds(job.spec.method, mono, now, rescan=rescan)
        if wait is None:
            return self.app.seconds_to_next_day(now)
        return max(wait, job.retry_at - mono)

    def _scan_of(self, job: JobRun, mono: float, now: float, *, rescan: bool) -> Scan | None:
        """Return what a job reads next, the hot scan or a re-scan; None for nothing."""
        if not rescan:
            return self._hot_scan(job, mono, now)
        if not self.rescans_enabled or job.watermark is None:
            return None
        if not self.app.clock.is_agreed:
            return job.scan if self._repeats_rescan(job) else None
        minute = self.configuration.nightly_minute
        if begin_due(job.rescans, int(now), minute, settles=job.spec.settles_monthly):
            job.is_unsaved = True
        for kind in runnable(job.rescans, int(now), minute):
            if job.scan is None or job.scan.kind != kind or job.scan.is_done:
                job.scan = Scan(kind, job.rescans[kind].left)
            if job.scan.has_rest(*self._bounds(mono, now, rescan=True)):
                return job.scan
        return None

    @staticmethod
    def _repeats_rescan(job: JobRun) -> bool:
        """Return whether the page that is made once more is one of a re-scan."""
        scan, reading = job.scan, job.reading
        return job.repeats and scan is not None and reading is not None and reading.scan_kind == scan.kind

    def _hot_scan(self, job: JobRun, mono: float, now: float) -> Scan | None:
        """Return the hot scan under way, or a new one if it is due.

        While the newest time is in doubt a minute is read in any case: its answer tells the time again.
        """
        earliest, latest = self._bounds(mono, now, rescan=False)
        if job.hot is not None and not job.hot.is_done:
            if latest < job.hot_until:
                job.hot_until, job.hot_in_doubt = latest, True
            if job.hot.has_rest(earliest, latest):
                return job.hot
        if mono < self._next_hot(job) and not self._was_mistaken(job, mono, now):
            return None
        start = self._begin(latest + LAG_SECONDS)
        if job.watermark is not None:
            start = max(earliest, job.watermark - self.configuration.overlap_seconds)
        if not self.app.clock.is_agreed:
            start = min(start, latest - LAG_SECONDS)
        elif job.watermark is not None and latest <= job.watermark:
            return None
        if latest <= start:
            return None
        job.hot, job.hot_started, job.hot_until = Scan(HOT, [(start, latest)]), mono, latest
        job.hot_in_doubt = not self.app.clock.is_agreed
        return job.hot

    def _next_hot(self, job: JobRun) -> float:
        """Return when (mono) the next hot scan is due: soon while the network's time is in doubt."""
        if self.app.clock.is_agreed:
            return job.hot_started + self.configuration.hot_seconds
        every = min(self.configuration.hot_seconds, DOUBT_SECONDS)
        is_owed = job.repeats and not self._repeats_rescan(job)
        return job.hot_started + (0.0 if is_owed else every)

    def _was_mistaken(self, job: JobRun, mono: float, now: float) -> bool:
        """Return whether the last hot scan began with a time in doubt that is known to have been wrong."""
        if job.hot is None or not job.hot_in_doubt or not self.app.clock.is_agreed:
            return False
        until = job.hot_started - mono + now - LAG_SECONDS
        return abs(until - job.hot_until) > SIGNED_SECONDS_MAX

    def _bounds(self, mono: float, now: float, *, rescan: bool) -> tuple[int, int]:
        """Return from where to where rows may be asked for; nobody but the hot scan is kept from the last."""
        if rescan:
            return self._earliest(now), int(now)
        least = self.app.clock.least(mono, now)
        return self._earliest(least), int(least) - LAG_SECONDS

    @staticmethod
    def _earliest(now: float) -> int:
        return int(now) - LOOK_BACK_SECONDS + LOOK_BACK_MARGIN_SECONDS

    def _begin(self, now: float) -> int:
        """Return where an account without a watermark begins."""
        return max(self._earliest(now), self.configuration.since or 0)

    def _call(self, job: JobRun, mono: float, now: float, *, rescan: bool) -> Call | float:
        if rescan and not self.app.clock.is_agreed and job.reading is not None:
            return self._made(job, job.reading.query, mono, now, rescan=True, learning=False)
        scan = self._scan_of(job, mono, now, rescan=rescan)
        limit = job.limit_seconds(self._api.limit_seconds, now)
        window = None if scan is None else scan.window(limit, *self._bounds(mono, now, rescan=rescan))
        if scan is None or window is None:
            return 0.0
        self._note_lost(job, scan)
        if job.reading is None or job.reading.scan_kind != scan.kind or job.reading.window != window:
            job.reading = WindowRead(
                self._api, window, scan.kind, backward=self._backward, by_settlement=scan.by_settlement
            )
        return self._made(job, job.reading.query, mono, now, rescan=rescan, learning=False)

    def _made(
        self, job: JobRun, query: Query, mono: float, now: float, *, rescan: bool, learning: bool
    ) -> Call:
        """Return a call and count it."""
        app = self.app.configuration
        in_doubt = not self.app.clock.is_agreed
        job.last_call = mono
        job.count_call(rescan=rescan, in_doubt=in_doubt)
        self.app.count_call(mono, rescan=rescan)
        form = self._api.form(app, self.configuration, job.spec, query, int(now))
        return Call(job, app.url, form, query, int(now), rescan, learning, in_doubt)

    def _note_lost(self, job: JobRun, scan: Scan) -> None:
        """Tell which seconds of a window had left the look-back before they were read."""
        if scan.lost_seconds >= LOST_SECONDS_MIN:
            name = f"{self.configuration.id}/{job.spec.name}"
            log.warning(
                "source %s: the network no longer shows %d s that were to be read", name, scan.lost_seconds
            )
            scan.lost_seconds = 0

    # -- what an answer means

    def answer(self, call: Call, reply: Reply, mono: float, wall_seconds: float) -> Fetched | None:
        """Take the answer of a call; return the rows of a window that it completed."""
        job = call.job
        if reply.date is not None:
            self.app.clock.learn(reply.date, mono, wall_seconds)
        now = self.app.clock.now(mono, wall_seconds)
        self._know_day(now)
        if call.is_learning:
            self._learned(call, reply, mono, now)
            return None
        wrong_time = reply.date is not None and abs(reply.date - call.signed_at) > SIGNED_SECONDS_MAX
        if wrong_time and not job.repeats:
            job.repeats = True  # the same page once more, with the right time
            return None
        job.repeats = False
        if not reply.status:
            problem = ApiProblem(ErrorClass.RETRY, "no-answer", reply.failure)
            self._retry(job, mono, now, problem)
            return None
        page = self._read(call, reply, now)
        if isinstance(page, ApiProblem):
            self._fail(job, call, page, mono, now)
            return None
        job.failures = job.unknown_codes = 0
        self.app.admit_method(job.spec.method)
        job.pages += 1
        reading = job.reading
        scan = job.scan if call.is_rescan else job.hot
        if reading is None or scan is None:
            return None
        fetched = self._progress(job, scan, reading, reading.take(page), mono, now)
        if fetched is None:
            return None
        _, latest = self._bounds(mono, now, rescan=call.is_rescan)
        return replace(fetched, end=min(fetched.end, latest))

    def _read(self, call: Call, reply: Reply, now: float) -> RowPage | ApiProblem:
        wait_seconds = seconds_of_retry_after(reply.retry_after, now)
        return read_answer(self._api, call.job.spec, call.query, reply.status, reply.body, wait_seconds)

    def _learned(self, call: Call, reply: Reply, mono: float, now: float) -> None:
        """Take the answer of a call that asks for the time: of all else only limits count."""
        page = self._read(call, reply, now) if reply.status else None
        if isinstance(page, ApiProblem) and page.error in (ErrorClass.WAIT, ErrorClass.TOMORROW):
            self._fail(call.job, call, page, mono, now)
        elif reply.date is None:
            detail = reply.failure or "no Date"
            self._retry(call.job, mono, now, ApiProblem(ErrorClass.RETRY, "no-date", detail))

    def _progress(
        self, job: JobRun, scan: Scan, reading: WindowRead, progress: WindowProgress, mono: float, now: float
    ) -> Fetched | None:
        """Go on as a page says."""
        if progress is WindowProgress.MORE_PAGES:
            return None
        if progress is WindowProgress.FOREIGN:
            detail = "no row of the page lies in the window that was asked for"
            self._retry(job, mono, now, ApiProblem(ErrorClass.RETRY, "foreign-page", detail))
            return None
        job.reading = None
        if progress is WindowProgress.COMPLETE:
            return Fetched(job, scan, reading.rows, reading.window[1])
        if progress is WindowProgress.TOO_MANY:
            scan.halve()
            job.halvings += 1
        elif progress is WindowProgress.UNSETTLED:
            detail = "the rows of one second changed from pass to pass"
            self._retry(job, mono, now, ApiProblem(ErrorClass.RETRY, "unsettled", detail))
        else:
            self._stop(job, "too-many-rows", "one second has more rows than the network gives", "job", now)
        return None

    def commit(self, fetched: Fetched, counts: Mapping[str, int]) -> None:
        """Take a window as read: its facts are acknowledged. The watermark follows the hot scan.

        `counts`: its rows by outcome.
        """
        job, scan = fetched.job, fetched.scan
        for outcome, count in counts.items():
            job.rows[outcome] += count
        scan.complete()
        job.unsent = 0
        if scan.kind == HOT:
            job.watermark = fetched.end if job.watermark is None else max(job.watermark, fetched.end)
        job.is_unsaved = True

    def abandon(self, fetched: Fetched, mono: float, now: float, detail: str) -> None:
        """Read a window again later: its facts could not be sent."""
        self._read_again(fetched.job, mono, now, ApiProblem(ErrorClass.RETRY, "not-sent", detail))

    def stumble(self, job: JobRun | None, mono: float, now: float, detail: str) -> None:
        """Read a job's window again later, or all jobs' without one: our own code failed on it."""
        for each in self.jobs if job is None else [job]:
            self._read_again(each, mono, now, ApiProblem(ErrorClass.RETRY, INTERNAL_ERROR, detail))

    def _read_again(self, job: JobRun, mono: float, now: float, problem: ApiProblem) -> None:
        job.reading = None
        job.failures = job.unsent  # the answers in between were good
        job.unsent += 1
        self._retry(job, mono, now, problem)

    # -- what an error does

    def _fail(self, job: JobRun, call: Call, problem: ApiProblem, mono: float, now: float) -> None:
        """Do what the class of a problem says; one about a window that was in doubt is no word about it."""
        self._note(job, problem, now)
        is_about_window = problem.error in (ErrorClass.HALVE, ErrorClass.STOP) and problem.reach == "job"
        if problem.error is ErrorClass.RETRY or (call.in_doubt and is_about_window):
            self._retry(job, mono, now, problem)
        elif problem.error is ErrorClass.WAIT:
            self.app.limit_method(job.spec.method, mono, problem)
        elif problem.error is ErrorClass.TOMORROW:
            self.app.close_for_today(self.app.clock.least(mono, now))
        elif problem.error is ErrorClass.HALVE:
            self._halve(job, call, problem, now)
        else:
            self._stop(job, problem.code, problem.message, problem.reach, now)

    def _halve(self, job: JobRun, call: Call, problem: ApiProblem, now: float) -> None:
        """Halve the window, and remember for the day how long one may be; one second stops the job."""
        scan = job.scan if call.is_rescan else job.hot
        seconds = call.query.end - call.query.start
        if scan is None:  # resumed while the call was under way
            return
        if seconds <= 1:
            self._stop(job, problem.code, problem.message, "job", now)
            return
        if problem.is_length:
            job.learned_day, job.learned_limit = shanghai_day(now), max(1, seconds // 2)
        job.reading = None
        job.halvings += 1
        scan.halve()

    def _retry(self, job: JobRun, mono: float, now: float, problem: ApiProblem) -> None:
        """Try again later, after twice as long as the last time."""
        self._note(job, problem, now)
        job.unknown_codes = 0 if problem.is_known else job.unknown_codes + 1
        seconds = min(RETRY_MAX_SECONDS, RETRY_FIRST_SECONDS * 2.0 ** min(job.failures, 16))
        job.failures += 1
        seconds *= self._jitter.uniform(0.5, 1.0)
        job.retry_at = mono + max(seconds, MAINTENANCE_SECONDS if problem.is_maintenance else 0.0)

    def _stop(self, job: JobRun, code: str, message: str, reach: str, now: float) -> None:
        """Stop what a problem reaches, until it is resumed."""
        stop = Stop(code, message, int(now))
        if reach == "app":
            self.app.stopped = stop
        elif reach == "account":
            self.stopped = stop
        else:
            job.stopped = stop

    @staticmethod
    def _note(job: JobRun, problem: ApiProblem, now: float) -> None:
        job.last_error, job.last_error_at = problem, int(now)

    # -- what is asked from outside

    def resume(self) -> None:
        """Try again what is stopped, with windows as long as the network allows."""
        self.stopped = self.app.stopped = None
        for job in self.jobs:
            job.stopped = None
            job.failures, job.retry_at = 0, float("-inf")
            job.learned_limit = None
            job.begin_anew()

    def read_until(self, job: JobRun, now: float) -> int:
        """Return up to where a job is read: its watermark, or where it begins."""
        if job.watermark is not None:
            return job.watermark
        return self._begin(now)

    def stops(self) -> Sequence[Stop]:
        """Return everything that is stopped of this account."""
        found = [self.app.stopped, self.stopped, *(job.stopped for job in self.jobs)]
        return [stop for stop in found if stop is not None]
