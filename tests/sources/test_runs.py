"""Days of fetching against simulated networks: what the network shows arrives, whatever fails.

The law of docs/spec/sources.md#law, on a clock that goes as fast as the calls are computed.
"""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from examples.simulators.network import Network, Switches
from examples.simulators.taobao import Taobao
from rebate_app.metrics.catalogue import (
    SOURCE_BUDGET,
    SOURCE_BUDGET_LEFT,
    SOURCE_CLOCK_SKEW,
    SOURCE_STOPPED,
    SOURCE_WATERMARK_AGE,
)
from rebate_app.sources import account as account_module
from rebate_app.sources.account import AccountRun, Call, Fetched, Reply
from rebate_app.sources.apis import jd as jd_module
from rebate_app.sources.apis.api import ApiProblem, ErrorClass, RowPage, read_answer
from rebate_app.sources.configuration import AccountConfiguration, AppConfiguration
from rebate_app.sources.gauges import read_fetchers
from rebate_app.sources.job import JobRun
from rebate_app.sources.scans import BACKFILL, RescanState
from rebate_app.sources.status import Item, account_item
from rebate_app.sources.window import WindowProgress, WindowRead
from rebate_app.wire.json_values import parse_network
from rebate_app.wire.networks.adapter import Row, load_adapter
from tests.oracle import Oracle
from tests.sources.runs import (
    BEGIN,
    DAY,
    SECRET,
    SIMULATORS,
    Clock,
    KilledError,
    Log,
    Worker,
    missing,
    new_network,
)

#: `make sources-long` reads 100,000 versions within 30 days for each network.
IS_LONG = os.environ.get("REBATE_SOURCES_LONG") == "1"
ROWS, DAYS, BURST = (100_000, 30, 1_500) if IS_LONG else (5_000, 3, 250)
#: Rows that changed in the last minutes need not have arrived: up to 30 late, and 9 to the next re-read.
LATE_SECONDS = 45 * 60
#: The last dispute is decided a day and an hour after the last row changed; by then all of them have arrived.
SETTLING_DAYS = 1.2
ALERTS = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"
RULES = [path.read_text() for path in sorted((Path(__file__).parents[2] / "rules").glob("*.toml"))]
FAR = datetime(2027, 1, 1, tzinfo=UTC)
NETWORKS = tuple(SIMULATORS)
ACCOUNT = AccountConfiguration("account", "app", since=BEGIN, scenes=(1,), hot_seconds=240)
NO_OVERLAP = AccountConfiguration(
    "account", "app", since=BEGIN, scenes=(1,), hot_seconds=600, overlap_seconds=0
)
NO_RESCANS = AccountConfiguration(
    "account", "app", since=BEGIN, scenes=(1,), hot_seconds=600, overlap_seconds=3_600
)


def app_of(name: str, **more: Any) -> AppConfiguration:
    """Return an app that may call as often as the simulator lets it."""
    return AppConfiguration("app", name, "https://x", "key", SECRET, **{"per_second": 20, **more})


def a_worker(name: str, network: Network, clock: Clock, log: Log, **more: Any) -> Worker:
    """Return a worker with an account of one scene."""
    return Worker(name, network, clock, log, **{"account": ACCOUNT, "app": app_of(name), **more})


def truth(name: str, network: Network, now: float) -> list[dict[str, Any]]:
    """Return the facts of what the network shows, from its own rows."""
    rows: list[Row] = []
    simulator: Any = network
    for line, version in network.world.last_versions(now).items():
        scene = (1,) if name == "taobao" else ()
        rows.append(simulator.order_row(network.world.lines[line], version, *scene))
    if name == "taobao":
        for suit, version in simulator.refunds.last_versions(now).items():
            rows.append(simulator.refund_row(simulator.refunds.lines[suit], version))
    adapter = load_adapter(name)
    return [adapter.read_row(parse_network(orjson.dumps(row)), 0).document for row in rows]


def balances(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the oracle makes of facts, of every user and id, after everything is released."""
    oracle = Oracle(facts, [], RULES)
    users = {user: oracle.balance(user, FAR) for user in sorted(oracle.users())}
    return {name: {k: v for k, v in found.items() if k != "version"} for name, found in users.items()} | {
        each: oracle.attribution(each, FAR) for each in sorted(oracle.attribution_ids())
    }


def all_faults(name: str, **more: Any) -> Switches:
    """Return switches with every fault of a network, and rows that change between two pages."""
    chances = dict.fromkeys(SIMULATORS[name][0].FAULTS, 0.01)
    return Switches(chances=chances, changing=True, per_second=20, **more)


@pytest.mark.slow
class TestAllFaults:
    """Every fault of the table of simulators at once, and workers that are killed and frozen."""

    @pytest.mark.parametrize("name", NETWORKS)
    def test_every_last_version_arrives_and_balances_are_the_oracles(self, name: str) -> None:
        """Killed between any two steps, two at once for a while, with a clock that is five minutes wrong."""
        network = new_network(name, ROWS, DAYS, all_faults(name), burst=BURST)
        clock, log, chance = Clock(BEGIN + 600, wall_error=300), Log(), random.Random(5)
        frozen: Worker | None = None
        end = BEGIN + (DAYS + SETTLING_DAYS) * DAY
        while clock.now < end:
            worker = a_worker(name, network, clock, log)
            dies_at, step = (
                clock.now + chance.uniform(1, 6) * 3_600,
                chance.choice(("send", "commit", "save")),
            )

            def crash(name: str, dies_at: float = dies_at, step: str = step) -> None:
                if clock.now >= dies_at and name == step:
                    raise KilledError

            worker.crash = crash
            if frozen is not None:  # it awakes, and both run for some minutes
                frozen.until(clock.now + 300)
            try:
                worker.until(end)
            except KilledError:
                frozen = worker if chance.random() < 0.5 else None
                if frozen is not None:
                    frozen.crash = lambda _step: None
        assert missing(name, network, log, clock.now - LATE_SECONDS) == []
        assert network.over_budget == 0
        assert set(network.faults) == set(SIMULATORS[name][0].FAULTS)
        assert log.letters == []
        print(f"{name}: {len(network.calls)} calls, {len(log.facts)} facts, {len(network.world.lines)} lines")
        arrived = list(map(orjson.loads, {value for _, value in log.facts}))
        assert balances(arrived) == balances(truth(name, network, clock.now))


def run(name: str, switches: Switches | None = None, **more: Any) -> tuple[Network, Log, Worker, Clock]:
    """Fetch a small network for some hours, without re-scans, which would hide what a poller loses."""
    rows, hours = more.pop("rows", 600), more.pop("hours", 26)
    late, burst = more.pop("late", True), more.pop("burst", 0)
    network = new_network(name, rows, 1, switches, burst=burst, late=late)
    clock, log = Clock(BEGIN + 600, wall_error=more.pop("wall_error", 0.0)), Log()
    worker = a_worker(name, network, clock, log, **{"account": NO_RESCANS, **more})
    worker.run.rescans_enabled = False
    worker.until(BEGIN + hours * 3_600)
    return network, log, worker, clock


class ForwardOnce(WindowRead):
    """Reads pages from the first to the last, once."""

    def take(self, page: RowPage) -> WindowProgress:
        """Take the page, and go on to the next."""
        self.pages += 1
        self.rows += page.rows
        more = len(page.rows) >= self._api.page_rows if page.total is not None else page.more
        if not more:
            return WindowProgress.COMPLETE
        self._page, self._cursor = self._page + 1, page.cursor
        return WindowProgress.MORE_PAGES


class TestWrongPollers:
    """Tests of the tests: the simulators catch wrong pollers (docs/spec/sources.md#wrong-pollers)."""

    @pytest.mark.parametrize("name", NETWORKS)
    def test_paging_forward(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A row that changes between two pages takes another one with it."""
        more = {"burst": 350, "late": False, "account": NO_OVERLAP}
        network, log, _, clock = run(name, Switches(changing=True), **more)
        assert missing(name, network, log, clock.now - LATE_SECONDS) == []
        monkeypatch.setattr(account_module, "WindowRead", ForwardOnce)
        network, log, _, clock = run(name, Switches(changing=True), **more)
        assert missing(name, network, log, clock.now - LATE_SECONDS) != []

    def test_no_overlap(self) -> None:
        """A row that shows late has a time behind the watermark."""
        network, log, _, clock = run("jd", account=NO_RESCANS)
        assert missing("jd", network, log, clock.now - LATE_SECONDS) == []
        network, log, _, clock = run("jd", account=NO_OVERLAP)
        assert missing("jd", network, log, clock.now - LATE_SECONDS) != []

    def test_a_watermark_that_moves_on_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the failed window had is never read."""

        def fail(run: AccountRun, job: JobRun, *_: Any) -> None:
            if job.hot is not None and job.hot.windows:
                run.commit(Fetched(job, job.hot, [], job.hot.windows[-1][1]), {})
                job.reading = None

        monkeypatch.setattr(AccountRun, "_retry", fail)
        network, log, _, clock = run("jd", Switches(chances={"502": 0.3}), account=NO_OVERLAP)
        assert missing("jd", network, log, clock.now - LATE_SECONDS) != []

    def test_a_page_beyond_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """JD cuts silently what is more than 200 rows."""
        monkeypatch.setattr(jd_module, "PAGE_ROWS", 500)

        def fits(_: WindowRead, page: RowPage) -> bool:
            return len(page.rows) < 500

        monkeypatch.setattr(WindowRead, "_fits", fits)
        network, log, _, clock = run("jd", burst=450)
        assert missing("jd", network, log, clock.now - LATE_SECONDS) != []

    def test_an_error_taken_as_an_empty_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The watermark moves over rows that were not seen."""

        def read(*arguments: Any) -> RowPage | ApiProblem:
            found = read_answer(*arguments)
            return RowPage([], more=False) if isinstance(found, ApiProblem) else found

        monkeypatch.setattr(account_module, "read_answer", read)
        network, log, _, clock = run("jd", Switches(chances={"inner-500": 0.3}), account=NO_OVERLAP)
        assert missing("jd", network, log, clock.now - LATE_SECONDS) != []

    def test_the_right_one_survives_the_same(self) -> None:
        """With the same errors and no overlap nothing is lost but what shows late."""
        chances = {"inner-500": 0.3, "502": 0.1}
        network, log, _, clock = run("jd", Switches(chances=chances), account=NO_RESCANS)
        assert missing("jd", network, log, clock.now - LATE_SECONDS) == []


def seen(worker: Worker) -> tuple[Item, dict[str, float]]:
    """Return the account's item of `GET /v1/sources`, and the largest value of each gauge."""
    mono, wall = worker.clock.mono, worker.clock.wall
    gauges: dict[str, float] = {}
    for metric, _, value in read_fetchers([worker.run], mono, wall):
        gauges[metric.name] = max(abs(float(value)), gauges.get(metric.name, 0.0))
    return account_item(worker.run, "http://w", mono, wall), gauges


def alerts(worker: Worker) -> set[str]:
    """Return the alerts of deploy/prometheus/alerts.yml whose condition holds now."""
    _, gauges = seen(worker)
    conditions = {
        "RebateSourceBehind": gauges[SOURCE_WATERMARK_AGE.name] > 1_800,
        "RebateSourceStopped": gauges[SOURCE_STOPPED.name] == 1,
        "RebateSourceBudgetLow": gauges[SOURCE_BUDGET_LEFT.name] < 0.1 * gauges[SOURCE_BUDGET.name],
        "RebateSourceClockWrong": gauges.get(SOURCE_CLOCK_SKEW.name, 0.0) > 60,
    }
    return {name for name, holds in conditions.items() if holds}


class TestEachAlone:
    """One trouble at a time: what arrives, and what status, metrics and alerts say of it."""

    def test_the_conditions_are_those_of_the_alerts(self) -> None:
        """The bounds above are the file's."""
        text = ALERTS.read_text()
        for name, condition in (
            ("RebateSourceBehind", "(rebate_source_watermark_age_seconds) > 1800"),
            ("RebateSourceStopped", "(rebate_source_stopped) == 1"),
            (
                "RebateSourceBudgetLow",
                "(rebate_source_budget_left) < 0.1 * sum by (app)",
            ),
            ("RebateSourceClockWrong", "(abs(rebate_source_clock_skew_seconds)) > 60"),
        ):
            assert condition in text.partition(f"alert: {name}\n")[2].partition("alert:")[0], name

    def test_late_rows_arrive_within_ten_minutes_of_becoming_visible(self) -> None:
        """By the re-reads of the last 50 minutes, every 9 minutes."""
        network = new_network("pdd", 800, 1)
        clock, log = Clock(BEGIN + 600), Log()
        worker = a_worker("pdd", network, clock, log)
        late = [
            (line.id, version)
            for line in network.world.lines.values()
            for version in line.versions
            if version.visible > version.at and version.visible < BEGIN + DAY - 1_200
        ]
        assert len(late) > 20
        for moment in sorted(version.visible + 660 for _, version in late):
            worker.until(moment)
            assert missing("pdd", network, log, moment - 660) == []
        item, _ = seen(worker)
        assert (item["state"], alerts(worker)) == ("running", set())
        assert item["jobs"][0]["rows"]["repeated"] > 0

    @pytest.mark.parametrize("name", NETWORKS)
    def test_rows_change_between_two_pages(self, name: str) -> None:
        """Windows are halved, and one second is read until two passes agree."""
        network, log, worker, clock = run(name, Switches(changing=True), burst=350)
        assert missing(name, network, log, clock.now - LATE_SECONDS) == []
        item, _ = seen(worker)
        error = item["jobs"][0]["last_error"]
        assert (error or {"code": "unsettled"})["code"] == "unsettled"  # three passes, and again later
        assert (item["state"], alerts(worker)) == ("running", set())
        assert item["jobs"][0]["halvings"] > 5

    def test_disputes_change_between_two_pages(self) -> None:
        """More of them than a page has, within a minute."""
        network = new_network("taobao", 3_000, 1, Switches(changing=True), late=False)
        assert isinstance(network, Taobao)
        disputes = list(network.refunds.lines.values())
        for number, line in enumerate(disputes):
            del line.versions[1:]
            line.versions[0].at = line.versions[0].visible = BEGIN + 7_200 + number % 60
        network.refunds = type(network.refunds)(disputes)
        clock, log = Clock(BEGIN + 600), Log()
        worker = a_worker("taobao", network, clock, log)
        worker.run.rescans_enabled = False
        worker.until(BEGIN + 1.1 * DAY)
        assert len(disputes) > 110
        assert missing("taobao", network, log, clock.now - LATE_SECONDS) == []

    def test_ten_thousand_and_one_rows_in_a_window(self) -> None:
        """JD refuses a window with so many; its halves have fewer."""
        network = new_network("jd", 15_000, 1)
        lines = list(network.world.lines.values())[:10_001]
        assert len(lines) == 10_001
        for number, line in enumerate(lines):
            del line.versions[1:]
            line.versions[0].at = line.versions[0].visible = BEGIN + 7_200 + number % 400
        network.world = type(network.world)(lines)
        clock, log = Clock(BEGIN + 600), Log()
        worker = a_worker("jd", network, clock, log, account=replace(ACCOUNT, hot_seconds=3_600))
        worker.run.rescans_enabled = False
        worker.until(BEGIN + 5 * 3_600)
        assert any("2002452" in problem for problem in network.problems)
        assert missing("jd", network, log, clock.now) == []
        item, _ = seen(worker)
        (job,) = item["jobs"]
        assert (item["stopped"], job["stopped"], job["halvings"] > 5) == (None, None, True)
        assert (job["last_error"] or {"class": "halve"})["class"] == "halve"
        assert "RebateSourceStopped" not in alerts(worker)

    def test_one_second_with_more_rows_than_the_network_gives(self) -> None:
        """The job stops and says so; other jobs go on, and the watermark stays before the second."""
        network = new_network("taobao", 300, 1, burst=150)
        clock, log = Clock(BEGIN + 600), Log()
        worker = a_worker("taobao", network, clock, log)
        worker.run._api = worker.run._api._replace(pages_max=1)
        worker.until(BEGIN + DAY)
        orders, refunds = worker.run.jobs
        assert orders.stopped is not None
        assert orders.stopped.code == "too-many-rows"
        assert orders.watermark is not None
        assert orders.watermark <= BEGIN + 43_200
        assert refunds.stopped is None
        assert refunds.watermark is not None
        assert refunds.watermark > BEGIN + DAY - 600
        item, _ = seen(worker)
        assert [job["state"] for job in item["jobs"]] == ["stopped", "running"]
        assert {"RebateSourceStopped", "RebateSourceBehind"} <= alerts(worker)

    def test_the_quota_of_a_day_is_used_up(self) -> None:
        """The app waits for its next Shanghai day, and then catches up."""
        switches = Switches(quota=200)
        network = new_network("taobao", 500, 2, switches)
        clock, log = Clock(BEGIN + 600), Log()
        worker = a_worker("taobao", network, clock, log)
        worker.until(BEGIN + DAY - 60)
        day = (BEGIN + 8 * 3_600) // DAY
        assert network.calls_by_day[day] == 201
        assert worker.app.closed_until == BEGIN + DAY
        assert worker.run.stops() == []
        item, _ = seen(worker)
        assert (item["state"], item["stopped"], item["budget_left"]) == ("waiting", None, 0)
        assert [job["last_error"]["class"] for job in item["jobs"] if job["last_error"]] == ["tomorrow"]
        assert alerts(worker) == {"RebateSourceBudgetLow", "RebateSourceBehind"}
        switches.quota = 10**9
        worker.until(BEGIN + 2.5 * DAY)
        assert missing("taobao", network, log, clock.now - LATE_SECONDS) == []
        assert (seen(worker)[0]["state"], alerts(worker)) == ("running", set())

    @pytest.mark.parametrize("name", NETWORKS)
    def test_the_budget_of_a_day_is_never_exceeded(self, name: str) -> None:
        """Not by a worker that is killed all the time either, but for 5 s of calls each time."""
        network = new_network(name, 500, 2)
        clock, log = Clock(BEGIN + 600), Log()
        for hour in range(1, 40):
            worker = a_worker(name, network, clock, log, app=app_of(name, per_day=120))
            worker.until(BEGIN + hour * 3_600)
        assert max(network.calls_by_day.values()) <= 120 + 24

    def test_rescans_leave_room_for_the_hot_job(self) -> None:
        """They take at most 70 % of a day, and what is left over is kept for the next night."""
        network = new_network("jd", 300, 3)
        clock, log = Clock(BEGIN + 600), Log()
        account = AccountConfiguration("account", "app", since=BEGIN, hot_seconds=2_400)
        worker = a_worker("jd", network, clock, log, account=account, app=app_of("jd", per_day=200))
        (job,) = worker.run.jobs
        for day in (1, 2):
            worker.until(BEGIN + day * DAY - 60)
            assert job.watermark is not None
            assert job.watermark > BEGIN + day * DAY - 2_600
            assert 130 <= worker.app.budget.rescan_calls <= 140
        assert job.rescans["nightly"].left

    def test_a_credential_expires_and_is_renewed(self) -> None:
        """The account stops, says why, and goes on behind its watermark."""
        switches = Switches(expired=[(BEGIN + 6 * 3_600, BEGIN + 12 * 3_600)])
        network = new_network("taobao", 500, 1, switches)
        clock, log = Clock(BEGIN + 600), Log()
        worker = a_worker("taobao", network, clock, log)
        worker.until(BEGIN + 13 * 3_600)
        assert worker.run.stopped is not None
        assert worker.run.stopped.code == "27 isv.invalid-session"
        item, _ = seen(worker)
        assert (item["state"], item["stopped"]["code"]) == ("stopped", "27 isv.invalid-session")
        assert alerts(worker) == {"RebateSourceStopped", "RebateSourceBehind"}
        calls = len(network.calls)
        worker.until(BEGIN + 14 * 3_600)
        assert len(network.calls) == calls
        worker.run.resume()
        worker.until(BEGIN + 1.2 * DAY)
        assert (seen(worker)[0]["state"], alerts(worker)) == ("running", set())
        assert missing("taobao", network, log, clock.now - LATE_SECONDS) == []

    @pytest.mark.parametrize(("name", "reach"), [("taobao", "app"), ("jd", "app"), ("pdd", "app")])
    def test_a_wrong_secret_stops_all_accounts_of_the_app(self, name: str, reach: str) -> None:
        """One call finds it out, after the one that asks for the time."""
        network = new_network(name, 100, 1)
        clock = Clock(BEGIN + 3_600)
        worker = a_worker(name, network, clock, Log(), app=app_of(name, per_day=100))
        network.secret = "another"  # noqa: S105
        worker.until(BEGIN + 2 * 3_600)
        assert worker.app.stopped is not None
        assert len(network.calls) == 2

    def test_the_network_is_away_for_six_hours(self) -> None:
        """It is asked less and less often, and everything arrives when it is back."""
        switches = Switches(away=[(BEGIN + 6 * 3_600, BEGIN + 12 * 3_600)])
        network = new_network("pdd", 500, 1, switches)
        clock, log = Clock(BEGIN + 600), Log()
        worker = a_worker("pdd", network, clock, log)
        worker.until(BEGIN + 12 * 3_600)
        away = [now for now, _ in network.calls if now >= BEGIN + 6 * 3_600]
        assert 60 < len(away) < 180
        error = worker.run.jobs[0].last_error
        assert error is not None
        assert (error.error, error.code) == (ErrorClass.RETRY, "http-502")
        item, gauges = seen(worker)
        assert [(job["state"], job["last_error"]["code"]) for job in item["jobs"]] == [
            ("waiting", "http-502")
        ]
        assert gauges[SOURCE_WATERMARK_AGE.name] > 5.9 * 3_600
        assert alerts(worker) == {"RebateSourceBehind"}
        worker.until(BEGIN + 1.1 * DAY)
        assert missing("pdd", network, log, clock.now - LATE_SECONDS) == []
        assert alerts(worker) == set()

    @pytest.mark.parametrize("name", NETWORKS)
    @pytest.mark.parametrize("wall_error", [300.0, -300.0, 86_400.0])
    def test_the_local_clock_is_wrong(self, name: str, wall_error: float) -> None:
        """Nothing depends on it; the difference is known."""
        network, log, worker, clock = run(name, rows=300, wall_error=wall_error, account=NO_RESCANS)
        assert missing(name, network, log, clock.now - LATE_SECONDS) == []
        assert abs(worker.app.clock.skew_seconds - wall_error) < 2
        assert network.problems.total() <= 1  # of the first call
        assert abs(seen(worker)[0]["clock_skew_s"] - wall_error) < 2
        assert "RebateSourceClockWrong" in alerts(worker)

    def test_the_local_clock_is_put_right_while_it_runs(self) -> None:
        """The monotonic clock and the network's dates go on."""
        network = new_network("jd", 300, 1)
        clock, log = Clock(BEGIN + 600, wall_error=-300), Log()
        worker = a_worker("jd", network, clock, log)
        worker.until(BEGIN + 6 * 3_600)
        clock.wall_error = 0
        worker.until(BEGIN + 1.1 * DAY)
        assert missing("jd", network, log, clock.now - LATE_SECONDS) == []

    def test_shorter_windows_are_learned_for_the_day(self) -> None:
        """Taobao allows 20 minutes on some days: halved once, and remembered."""
        switches = Switches(short_days=[(BEGIN, BEGIN + DAY)])
        network = new_network("taobao", 300, 1, switches)
        clock, log = Clock(BEGIN + 12 * 3_600), Log()
        worker = a_worker("taobao", network, clock, log)
        worker.run.rescans_enabled = False
        worker.until(BEGIN + 13 * 3_600)
        orders = worker.run.jobs[0]
        assert orders.learned_limit is not None
        assert orders.learned_limit <= 1_200
        assert orders.halvings <= 5
        assert worker.run.stops() == []
        assert missing("taobao", network, log, BEGIN + 12 * 3_600 - LATE_SECONDS) == []

    @pytest.mark.parametrize("learning", [True, False])
    def test_the_network_says_how_long_to_wait(self, learning: bool) -> None:
        """N + 1 s by `Retry-After`, also where the first answer says so, for all accounts of the app."""
        clock = Clock(BEGIN + 12 * 3_600)
        worker = a_worker("jd", new_network("jd", 100, 1), clock, Log())
        if not learning:
            worker.until(clock.now + 60, lambda: worker.app.clock.is_known)
            clock.advance(1)
        call = worker.run.next(clock.mono + 1, clock.wall)
        assert isinstance(call, Call)
        assert call.is_learning == learning
        reply = Reply(429, b"", int(clock.now), retry_after="8")
        assert worker.run.answer(call, reply, clock.mono + 1, clock.wall) is None
        other = AccountRun(replace(ACCOUNT, id="other"), worker.app, worker.run._api)
        for run in (worker.run, other):
            assert run.next(clock.mono + 9.5, clock.wall) == pytest.approx(0.5)
            assert isinstance(run.next(clock.mono + 20, clock.wall), Call)

    def test_a_learned_limit_does_not_outlive_a_resume(self) -> None:
        """Windows are as long as the network's limit again."""
        network = new_network("taobao", 100, 1, Switches(short_days=[(BEGIN, BEGIN + DAY)]))
        clock = Clock(BEGIN + 12 * 3_600)
        worker = a_worker("taobao", network, clock, Log())
        orders = worker.run.jobs[0]
        worker.until(BEGIN + 13 * 3_600, lambda: orders.learned_limit is not None)
        assert orders.hot is not None
        assert len(orders.hot.windows) > 1
        worker.run.resume()
        assert orders.limit_seconds(3 * 3_600, clock.now) == 3 * 3_600
        call = worker.run.next(clock.mono + 60, clock.wall)
        assert isinstance(call, Call)
        assert call.query.end - call.query.start > 3_600

    def test_a_resume_while_a_call_is_under_way(self) -> None:
        """Its answer about a halved window that is no longer read stops nothing."""
        network = new_network("jd", 100, 1)
        clock = Clock(BEGIN + 12 * 3_600)
        worker = a_worker("jd", network, clock, Log())
        worker.until(clock.now + 60, lambda: len(network.calls) > 1)
        call = worker.run.next(clock.mono + 1, clock.wall)
        assert isinstance(call, Call)
        worker.run.resume()
        body = orjson.dumps({"r": {"code": "0", "queryResult": '{"code":2002453}'}})
        assert worker.run.answer(call, Reply(200, body, int(clock.now)), clock.mono, clock.wall) is None
        assert worker.run.stops() == []

    def test_a_backfill_beside_the_hot_job(self) -> None:
        """90 days are read again, and the hot job stays within two of its turns and a minute."""
        network = new_network("jd", 500, 1)
        clock, log = Clock(BEGIN + 600), Log()
        account = replace(ACCOUNT, hot_seconds=60)
        worker = a_worker("jd", network, clock, log, account=account, app=app_of("jd", per_second=2))
        worker.until(BEGIN + 3_600)
        (job,) = worker.run.jobs
        begun = clock.now
        job.rescans[BACKFILL] = RescanState(1, [(int(begun) - 90 * DAY + 300, int(begun))])
        ages = []

        def is_read() -> bool:
            ages.append(clock.now - (job.watermark or 0))
            return not job.rescans[BACKFILL].left

        worker.until(BEGIN + DAY, is_read)
        assert job.rescans[BACKFILL].left == []
        assert sum(now >= begun for now, _ in network.calls) > 90 * 24  # an hour is the longest window
        assert clock.now - begun > 900
        assert max(ages) - 60 <= 2 * account.hot_seconds + 60  # a window ends a minute before now
        assert alerts(worker) == set()
        worker.until(BEGIN + DAY)
        assert missing("jd", network, log, clock.now - LATE_SECONDS) == []
