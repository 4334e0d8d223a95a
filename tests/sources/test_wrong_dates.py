"""Answers whose `Date` is wrong, or absent: nothing that is kept follows one of them alone."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from examples.simulators.network import Answer, Network
from rebate_app.sources.account import Call, Reply
from rebate_app.sources.configuration import AccountConfiguration, AppConfiguration
from rebate_app.sources.job import Stop, decode_cursor, encode_cursor
from rebate_app.sources.network_clock import shanghai_day
from rebate_app.sources.scans import DAY as LAST_DAY
from rebate_app.sources.scans import DOUBTED, NIGHTLY, RECENT
from rebate_app.sources.status import account_item
from tests.sources.runs import BEGIN, DAY, SECRET, SIMULATORS, Clock, Log, Worker, missing, new_network

START = BEGIN + 12 * 3_600
#: What is at most between two windows' ends, and what an answer takes.
LATE_SECONDS = 60 + 60 + 5
ACCOUNT = AccountConfiguration("account", "app", since=BEGIN, scenes=(1,))
KEY = {"taobao": b"account/orders-1", "jd": b"account/rows", "pdd": b"account/increment"}


def a_worker(name: str, network: Network, clock: Clock, log: Log, **app: Any) -> Worker:
    """Return a worker behind the kept cursors."""
    return Worker(
        name,
        network,
        clock,
        log,
        account=ACCOUNT,
        app=AppConfiguration("app", name, "https://x", "key", SECRET, **{"per_second": 20, **app}),
    )


def a_day_read(name: str, **clock: float) -> tuple[Network, Clock, Log]:
    """Return a network that was read up to START, and what was kept."""
    network, log, known = new_network(name, 600, 1, late=False), Log(), Clock(START, **clock)
    a_worker(name, network, known, log).until(START + 300)
    return network, known, log


def save(worker: Worker, log: Log) -> None:
    """Keep the cursors, as a worker that ends does."""
    for job in worker.run.jobs:
        key, value = encode_cursor("account", job.spec.name, job.cursor(0))
        log.cursors[key] = value


def check_not_ahead(worker: Worker) -> bool:
    """Check that nothing is kept of a time that has not come yet, and nothing asked for of one; go on."""
    now = worker.clock.now
    for job in worker.run.jobs:
        assert (job.watermark or 0) <= now - 58
        assert job.day <= shanghai_day(now)
        assert all(job.rescans[kind].at <= now + 2 for kind in (RECENT, LAST_DAY) if kind in job.rescans)
    assert worker.app.budget.day <= shanghai_day(now)
    assert all(each.query.end <= now for each in worker.asked if not each.is_learning)
    return False


@pytest.mark.parametrize("name", SIMULATORS)
class TestOneWrongDate:
    """A gateway's 502, once."""

    @pytest.mark.parametrize("error", [2 * DAY, -2 * DAY, 3_000, -3_000])
    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize("wall_error", [0.0, -300.0])
    def test_before_any_answer_of_a_poll(
        self, name: str, error: float, place: int, wall_error: float
    ) -> None:
        """Rows come as they did, calls are counted on the day on which they are made."""
        network, clock, log = a_day_read(name, wall_error=wall_error)
        clock.advance(400)
        before = network.calls_by_day.copy()
        worker = a_worker(name, network, clock, log)
        kept = worker.app.budget.calls
        worker.odd_answers = [*([0.0] * place), error]
        worker.until(clock.now + 15, lambda: check_not_ahead(worker))
        for job in worker.run.jobs:
            assert job.watermark is not None
            assert clock.now - job.watermark < LATE_SECONDS
        assert missing(name, network, log, clock.now - LATE_SECONDS) == []
        today = shanghai_day(clock.now)
        calls = network.calls_by_day[today] - before[today]
        assert worker.app.budget.calls == kept + calls
        item = account_item(worker.run, None, clock.mono, clock.wall)
        assert item["calls_today"] == kept + calls
        save(worker, log)
        assert decode_cursor(log.cursors[KEY[name]]).day == today

    @pytest.mark.parametrize("error", [2 * DAY, -2 * DAY])
    def test_in_the_middle_of_a_day(self, name: str, error: float) -> None:
        """Re-scans go on, and so does the last one that the answer belonged to."""
        network, clock, log = a_day_read(name)
        worker = a_worker(name, network, clock, log)
        for _ in range(12):
            worker.until(clock.now + 301)
            worker.odd_answers = [error]
            worker.until(clock.now + 15, lambda: check_not_ahead(worker))
        (*_, job) = worker.run.jobs
        assert clock.now - job.rescans[RECENT].at < 600
        assert missing(name, network, log, clock.now - LATE_SECONDS) == []

    @pytest.mark.parametrize("error", [2 * DAY, -2 * DAY])
    def test_a_page_of_a_re_scan_is_asked_for_once_more(self, name: str, error: float) -> None:
        """The same one, though no other re-scan goes on while the time is in doubt."""
        network, clock, log = a_day_read(name)
        clock.advance(600)
        worker = a_worker(name, network, clock, log)
        while True:
            step = worker.run.next(clock.mono, clock.wall)
            if not isinstance(step, Call):
                clock.advance(max(step, 0.01))
            elif step.is_rescan:
                break
            else:
                worker.call(step)
        reply = Reply(502, b"", int(clock.now + error))
        worker.run.answer(step, reply, clock.mono, clock.wall)
        clock.advance(1)
        again = worker.run.next(clock.mono, clock.wall)
        assert isinstance(again, Call)
        assert (again.is_rescan, again.query, again.job) == (True, step.query, step.job)
        assert again.signed_at == int(clock.now + error)


class TestWhatIsKept:
    """Cursors of a time that has not come yet are brought back."""

    def ahead(self, name: str, days: int = 2) -> tuple[Network, Clock, Log]:
        """Return a network, and cursors that are days ahead."""
        network, clock, log = a_day_read(name)
        worker = a_worker(name, network, clock, log)
        for job in worker.run.jobs:
            job.watermark = START + days * DAY
            job.day += days
            job.rescans[RECENT].at = job.rescans[LAST_DAY].at = START + days * DAY
            job.rescans[NIGHTLY].at += days
        save(worker, log)
        clock.advance(900)
        return network, clock, log

    @pytest.mark.parametrize("name", SIMULATORS)
    @pytest.mark.parametrize("wall_error", [0.0, 300.0, 2.0 * DAY])
    def test_watermark_day_and_re_scans(self, name: str, wall_error: float) -> None:
        """And what had been passed over is read again, so that nothing is lost."""
        network, clock, log = self.ahead(name)
        clock.wall_error = wall_error
        worker = a_worker(name, network, clock, log)
        calls = decode_cursor(log.cursors[KEY[name]]).calls_today
        worker.until(clock.now + 120)
        job = worker.run.jobs[0]
        assert job.watermark is not None
        assert 0 < clock.now - job.watermark < 60 + 65
        assert (job.day, job.corrections) == (shanghai_day(clock.now), 1)
        assert job.calls_today > calls
        moment = clock.now - LATE_SECONDS
        worker.until(clock.now + 300)
        assert missing(name, network, log, moment) == []
        assert job.rescans[DOUBTED].left == []
        assert job.rescans[RECENT].at <= clock.now
        assert job.rescans[NIGHTLY].at == shanghai_day(clock.now)
        assert job.rescans[LAST_DAY].at <= clock.now

    def test_not_by_one_date_alone(self) -> None:
        """An answer that is days behind takes nothing back."""
        network, clock, log = a_day_read("jd", wall_error=-400.0)
        worker = a_worker("jd", network, clock, log)
        worker.odd_answers = [-30 * DAY, -20 * DAY, -9 * DAY]
        worker.until(clock.now + 30)
        assert worker.run.jobs[0].corrections == 0

    def test_a_window_of_the_future_that_was_asked_for(self) -> None:
        """The watermark follows it as far as its own answer says that time has come."""
        network, clock, log = a_day_read("jd")
        clock.advance(400)
        clock.wall_error = 2 * DAY
        network.TOLERANCE_SECONDS = 10 * DAY
        worker = a_worker("jd", network, clock, log)
        worker.odd_answers = [2 * DAY, 5 * DAY]
        marks = list[int]()

        def note() -> bool:
            marks.append(worker.run.jobs[0].watermark or 0)
            return len(worker.asked) > 3

        worker.until(clock.now + 30, note)
        assert any(each.query.end > clock.now for each in worker.asked if not each.is_learning)
        assert clock.now - 80 < max(marks) <= clock.now - 59

    def test_a_closed_day_of_the_future(self) -> None:
        """An app is closed for the rest of a day, whatever the answer says that closed it."""
        network, clock, log = a_day_read("pdd")
        worker = a_worker("pdd", network, clock, log)
        worker.until(clock.now + 5)
        call = worker.run.next(clock.mono + 61, clock.wall + 61)
        assert isinstance(call, Call)
        body = orjson.dumps({"error_response": {"error_code": 70036}})
        reply = Reply(200, body, int(clock.now + 5 * DAY))
        worker.run.answer(call, reply, clock.mono, clock.wall)
        call = worker.run.next(clock.mono + 61, clock.wall + 61)
        assert isinstance(call, Call)
        worker.run.answer(call, reply, clock.mono, clock.wall)
        assert worker.app.closed_until is not None
        assert worker.run.stops() == list[Stop]()
        worker.until(clock.now + DAY + 120)
        assert worker.app.closed_until is None
        assert missing("pdd", network, log, clock.now - LATE_SECONDS) == []


class TestLookBack:
    """The network's look-back goes on while a window is tried again and again."""

    @pytest.mark.parametrize("name", SIMULATORS)
    @pytest.mark.parametrize("jump", [400.0, 0.0])
    def test_the_first_window_is_clipped_and_read(self, name: str, jump: float) -> None:
        """A wait of minutes, or an app that waits for its next day: nothing is stopped."""
        network = new_network(name, 100, 1, late=False)
        clock, log = Clock(BEGIN + DAY), Log()
        worker = a_worker(name, network, clock, log)
        worker.run.configuration = replace(ACCOUNT, since=None)
        worker.run.rescans_enabled = False
        handle, refused = network.handle, list[float]()

        def strict(form: Any, now: float) -> Any:
            answer = handle(form, now)
            if worker.asked[-1].query.start < now - 90 * DAY:
                refused.append(now)
                return refusal(name)
            return answer

        network.handle = strict  # type: ignore[method-assign]
        worker.odd_answers = [0.0] * (3 if jump else 9)  # 9 take more than 300 s
        worker.until(clock.now + 3_600, lambda: not worker.odd_answers)
        clock.now += jump  # the machine slept
        worker.odd_answers = [0.0] * (jump > 0)
        worker.until(clock.now + 3_600)
        assert worker.run.stops() == []
        assert len(refused) <= len(worker.run.jobs)
        assert all(job.watermark is not None for job in worker.run.jobs)
        assert missing(name, network, log, clock.now - LATE_SECONDS) == []


def refusal(name: str) -> Any:
    """Return what a network says to a window that begins before its look-back."""
    bodies: dict[str, Any] = {
        "taobao": {
            "error_response": {
                "code": 15,
                "sub_code": "isv.invalid-parameter",
                "sub_msg": "只能查询90天内的订单",
            }
        },
        "jd": {"r": {"code": "0", "queryResult": '{"code":400,"message":"90"}'}},
        "pdd": {"error_response": {"error_code": 10001, "error_msg": "查询时间跨度不能超过90天"}},
    }
    return Answer(200, orjson.dumps(bodies[name]))


class TestBudgetWithoutTime:
    """The calls that ask for the time count, too."""

    def used_up(self, per_day: int) -> tuple[Network, Clock, Log]:
        """Return cursors of a day whose calls are used up."""
        network, clock, log = a_day_read("jd")
        worker = a_worker("jd", network, clock, log)
        (job,) = worker.run.jobs
        job.calls_today = per_day
        save(worker, log)
        return network, clock, log

    def test_answers_without_a_date_begin_no_day(self) -> None:
        """By a clock that is three days ahead the day would be used up for three days."""
        network, clock, log = new_network("jd", 100, 1, late=False), Clock(START, 3 * DAY), Log()
        worker = a_worker("jd", network, clock, log, per_day=300)
        worker.odd_answers = [None, None]
        worker.until(clock.now + 2, lambda: not worker.odd_answers)
        save(worker, log)
        assert decode_cursor(log.cursors[KEY["jd"]]).day == 0
        assert decode_cursor(log.cursors[KEY["jd"]]).calls_today == 2
        worker = a_worker("jd", network, clock, log, per_day=300)
        worker.until(clock.now + 300)
        (job,) = worker.run.jobs
        assert job.day == worker.app.budget.day == shanghai_day(clock.now)
        assert job.calls_today == worker.app.budget.calls == network.calls_by_day.total()

    @pytest.mark.parametrize("wall_error", [0.0, 300.0])
    def test_no_call_is_left_for_the_time(self, wall_error: float) -> None:
        """On the day of the cursor, by our clock, however often it is tried."""
        network, clock, log = self.used_up(12)
        clock.wall_error = wall_error
        calls = len(network.calls)
        for _ in range(3):
            worker = a_worker("jd", network, clock, log, per_day=12)
            assert worker.run.is_idle(clock.mono, clock.wall)
            assert worker.run.is_behind
            worker.until(clock.now + 60)
        assert len(network.calls) == calls

    def test_one_call_asks_whether_the_day_has_changed(self) -> None:
        """Where our clock shows another day: one, and no more on the same day."""
        network, clock, log = self.used_up(12)
        clock.wall_error = 3 * DAY
        calls = len(network.calls)
        worker = a_worker("jd", network, clock, log, per_day=12)
        assert not worker.run.is_idle(clock.mono, clock.wall)
        worker.until(clock.now + 900)
        assert len(network.calls) == calls + 1
        assert worker.run.is_idle(clock.mono, clock.wall)

    def test_an_answer_without_a_date_is_asked_for_again_after_a_while(self) -> None:
        """Our clock may be wrong, and all these calls too many."""
        network, clock, log = self.used_up(12)
        clock.wall_error = DAY
        calls = len(network.calls)
        worker = a_worker("jd", network, clock, log, per_day=12)
        worker.odd_answers = [None] * 100
        worker.until(clock.now + 1_000)
        assert len(network.calls) - calls == 4

    @pytest.mark.parametrize("wall_error", [0.0, 400.0, 3.0 * DAY])
    def test_the_next_day_goes_on(self, wall_error: float) -> None:
        """Whether our clock is right or not; what asked for the time counts on the new day."""
        network, clock, log = self.used_up(60)
        clock.advance(BEGIN + DAY + 600 - clock.now)
        clock.wall_error = wall_error
        worker = a_worker("jd", network, clock, log, per_day=60)
        worker.until(clock.now + 20)
        assert worker.app.budget.day == shanghai_day(clock.now)
        assert network.calls_by_day[shanghai_day(clock.now)] == worker.app.budget.calls
        assert worker.run.jobs[0].calls_today == worker.app.budget.calls
        worker.until(BEGIN + 2 * DAY - 10)
        assert network.calls_by_day[shanghai_day(clock.now)] == 60

    def test_a_day_without_any_answer(self) -> None:
        """The calls that may be made are made, and no more; on our clock's next day the time is asked for."""
        network, clock, log = new_network("jd", 100, 1, late=False), Clock(START), Log()
        worker = a_worker("jd", network, clock, log, per_day=5)
        worker.odd_answers = [None] * 100
        worker.until(BEGIN + DAY - 60)
        assert len(network.calls) == 5
        worker.odd_answers = []
        worker.until(BEGIN + DAY + 600)
        assert worker.app.clock.is_known


class TestOtherPace:
    """A simulated network, whose days pass in minutes."""

    @pytest.mark.parametrize("name", SIMULATORS)
    @pytest.mark.parametrize("pace", [60.0, 600.0, 3_600.0])
    def test_days_go_on(self, name: str, pace: float) -> None:
        """Everything is fetched, days begin and re-reads are made, as on a network of our pace."""
        network, log, clock = new_network(name, 300, 3, late=False), Log(), Clock(BEGIN, pace=pace)
        worker = a_worker(name, network, clock, log)
        worker.until(BEGIN + 4 * DAY)
        assert missing(name, network, log, clock.now - 3_600 - 120 * pace) == []
        for job in worker.run.jobs:
            assert job.day >= shanghai_day(clock.now - 600 - 120 * pace)
            assert job.rescans[LAST_DAY].at > BEGIN
        assert len(worker.asked) < 1_500, "it does not ask in a hot loop"
