"""One account on its way to Kafka: facts first, then the cursor, and nothing without the lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import pytest

from examples.simulators.network import Network, Switches
from examples.simulators.world import Line, Version, World
from rebate_app.cli.sources_actions import Polled
from rebate_app.settings import load_settings
from rebate_app.sources.account import AccountRun, Call, Reply
from rebate_app.sources.apis.api import JobSpec, load_api
from rebate_app.sources.app import AppRun
from rebate_app.sources.configuration import AccountConfiguration, AppConfiguration, SourcesConfiguration
from rebate_app.sources.cursors import AccountDecision, CursorTopic, NewestCursors, decided, with_backfill
from rebate_app.sources.facts import FactMaker
from rebate_app.sources.fetcher import Fetcher, FetchTopics
from rebate_app.sources.gauges import read_fetchers
from rebate_app.sources.job import JobCursor, JobRun, decode_cursor
from rebate_app.sources.poll import FetcherIdentity, poll_once, until_idle
from rebate_app.sources.scans import BACKFILL, RescanState, Scan
from rebate_app.sources.status import account_item
from rebate_app.streams.failures.dead_letter import WorkerInfo
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.wire.networks.adapter import load_adapter
from rebate_app.wire.topics import Topics
from tests.sources.runs import BEGIN, DAY, DESTINATION, SECRET, bug, new_network

TOPICS = FetchTopics("orders", "letters", "cursors")


class ListSender:
    """Keeps what is sent, in order; `away`: topics that the broker does not take."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.away: set[str] = set()

    async def send(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Sequence[Any] = ()
    ) -> list[tuple[int, int]]:
        """Take records, or be away."""
        if topic in self.away:
            raise BrokerAwayError(f"{topic} cannot be written.")
        self.sent += [(topic, *record) for record in records]
        return [(0, 0)] * len(records)

    def pipeline(self, topic: str) -> Any:
        """Return a pipeline that sends when it is left."""
        return _ListPipeline(self, topic)

    def topics(self) -> list[str]:
        """Return where records went, without repeats in a row."""
        names = [topic for topic, _, _ in self.sent]
        return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]


class _ListPipeline:
    def __init__(self, sender: ListSender, topic: str) -> None:
        self._sender, self._topic = sender, topic
        self._records: list[tuple[bytes, bytes]] = []

    async def put(self, key: bytes, value: bytes, headers: Sequence[Any] = ()) -> None:
        """Keep a record."""
        self._records.append((key, value))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sender.send(self._topic, self._records)


class SimulatedGateway:
    """Answers out of a simulator, whose clock goes with the local one."""

    def __init__(self, network: Network, begin: float) -> None:
        self.network = network
        self._offset = begin - time.monotonic()

    async def post(self, url: str, form: Mapping[str, str]) -> Reply:
        """Return the simulator's answer."""
        now = time.monotonic() + self._offset
        answer = self.network.handle(dict(form), now)
        return Reply(answer.status, answer.body, int(now))


def fetcher_of(
    network: Network, sender: ListSender, *, may_write: Callable[[], bool] = lambda: True, **more: Any
) -> tuple[Fetcher, list[tuple[str, str]]]:
    """Return a fetcher of JD's simulator, and where its calls are noted."""
    api, outcomes = load_api("jd"), list[tuple[str, str]]()
    app = AppRun(AppConfiguration("app", "jd", api.url, "key", SECRET, per_second=1_000), time.monotonic())
    account = AccountConfiguration("a", "app", since=BEGIN, **more)

    def observe(call: Call, outcome: str) -> None:
        outcomes.append((call.job.spec.name, outcome))

    maker = FactMaker("jd", load_adapter("jd"), api, DESTINATION)
    gateway = SimulatedGateway(network, BEGIN + DAY)
    fetcher = Fetcher(
        AccountRun(account, app, api), maker, gateway, sender, TOPICS, may_write=may_write, observe=observe
    )
    return fetcher, outcomes


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once: the length of waits is the subject of other tests."""
    monkeypatch.setattr("rebate_app.sources.account.RETRY_FIRST_SECONDS", 0.001)


class TestOrder:
    """Facts are acknowledged before the watermark moves."""

    def test_facts_then_cursor(self) -> None:
        """Window by window; the last cursor is the job's watermark."""
        sender = ListSender()
        fetcher, outcomes = fetcher_of(new_network("jd", 100, 1), sender)
        asyncio.run(until_idle(fetcher))
        names = sender.topics()
        assert names[:2] == ["orders", "cursors"] or names[0] == "cursors"
        assert set(names) == {"orders", "cursors"}
        key, value = next((key, value) for topic, key, value in reversed(sender.sent) if topic == "cursors")
        cursor = decode_cursor(value)
        assert (key, cursor.watermark) == (b"a/rows", fetcher.run.jobs[0].watermark)
        assert cursor.calls_today == len(outcomes)
        assert {outcome for _, outcome in outcomes} == {"ok"}

    def test_a_broker_that_is_away(self) -> None:
        """No cursor is written over facts that were not taken, and the window is read again."""
        sender = ListSender()
        sender.away = {"orders"}
        fetcher, _ = fetcher_of(new_network("jd", 200, 1), sender)
        asyncio.run(until_idle(fetcher))
        (job,) = fetcher.run.jobs
        assert job.unsent == 5
        watermarks = [decode_cursor(value).watermark for topic, _, value in sender.sent if topic == "cursors"]
        assert max([mark or BEGIN for mark in watermarks]) < BEGIN + DAY - 3_600
        assert job.last_error is not None
        assert job.last_error.code == "not-sent"
        sender.away = set()
        job.failures = 0
        asyncio.run(until_idle(fetcher))
        keys = {key.decode() for topic, key, _ in sender.sent if topic == "orders"}
        shown = fetcher._gateway.network.world.last_versions(BEGIN + DAY - 2_000)  # type: ignore[attr-defined]
        assert {f"jd:{line}" for line in shown} <= keys

    def test_without_the_lease_nothing_is_written(self) -> None:
        """A worker that was frozen has lost the account without knowing."""
        sender = ListSender()
        fetcher, _ = fetcher_of(new_network("jd", 100, 1), sender, may_write=lambda: False)
        asyncio.run(until_idle(fetcher))
        assert sender.sent == []
        assert fetcher.run.jobs[0].watermark is None

    def test_refused_rows_are_dead_letters(self) -> None:
        """With their headers."""
        network, sender = new_network("jd", 50, 1), ListSender()
        next(iter(network.world.lines.values())).versions[0].fields["amount"] = 10**13
        fetcher, _ = fetcher_of(network, sender)
        asyncio.run(until_idle(fetcher))
        assert [topic for topic, _, _ in sender.sent].count("letters") <= 1


class PollEvery:
    """Polls one account again and again, each time with what the poll before has kept only."""

    def __init__(self, network: Network, now: float) -> None:
        self.sender, self.network, self.now = ListSender(), network, now

    def poll(self) -> list[str]:
        """Poll once; return which lines arrived."""
        begin = len(self.sender.sent)
        fetcher, _ = fetcher_of(self.network, self.sender)
        fetcher._gateway = SimulatedGateway(self.network, self.now)
        kept = {key: value for topic, key, value in self.sender.sent if topic == "cursors"}
        if b"a/rows" in kept:
            fetcher.restore({"rows": decode_cursor(kept[b"a/rows"])})
        asyncio.run(until_idle(fetcher))
        return [key.decode() for topic, key, _ in self.sender.sent[begin:] if topic == "orders"]


class TestRescansAcrossPolls:
    """Something else calls `poll --once` every five minutes, and nothing runs in between."""

    def test_a_late_row_arrives_within_ten_minutes(self) -> None:
        """It becomes visible 30 minutes after its time, when the watermark is far behind it."""
        network, begin = new_network("jd", 50, 1, late=False), BEGIN + 2 * DAY
        lines = list(network.world.lines.values())
        late = Line("777", begin, [Version(begin, begin + 1_810, dict(lines[0].versions[0].fields))])
        network.world = World([*lines, late])
        polls = PollEvery(network, begin)
        arrived = []
        for minute in range(0, 50, 5):
            polls.now = begin + minute * 60
            arrived += [minute] if "jd:777" in polls.poll() else []
        assert 30 < arrived[0] <= 40

    def test_a_refused_row_is_one_dead_letter(self) -> None:
        """Polls that read it again know it by its cursor."""
        network = new_network("jd", 50, 1, late=False)
        fields = dict(next(iter(network.world.lines.values())).versions[0].fields) | {"amount": 10**13}
        bad = Line("778", BEGIN + DAY - 70, [Version(BEGIN + DAY - 70, BEGIN, fields)])
        network.world = World([*network.world.lines.values(), bad])
        polls = PollEvery(network, BEGIN + DAY)
        for _ in range(3):
            polls.poll()
            polls.now += 10
        assert [topic for topic, _, _ in polls.sender.sent].count("letters") == 1

    def test_days_and_nights_come_too(self) -> None:
        """Every six hours the last 26, each night six days; once each, however often it is polled."""
        polls = PollEvery(new_network("jd", 50, 1), BEGIN + DAY + 3 * 3_600)
        states = []
        for _ in range(9):
            polls.poll()
            value = next(value for topic, _, value in reversed(polls.sender.sent) if topic == "cursors")
            states.append({kind: state.at for kind, state in decode_cursor(value).rescans.items()})
            polls.now += 3 * 3_600
        assert len({state["day"] for state in states}) == 5
        assert len({state["nightly"] for state in states}) == 2


class TestBugs:
    """Our own code fails: nobody else waits, and it is seen."""

    def test_a_worker_goes_on_and_shows_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The window is tried again, less and less often; once the code is mended, it is read."""
        sender, batch = ListSender(), FactMaker.batch
        fetcher, _ = fetcher_of(new_network("jd", 50, 1), sender)
        monkeypatch.setattr(FactMaker, "batch", bug)
        asyncio.run(until_idle(fetcher))
        (job,) = fetcher.run.jobs
        assert (job.failures, job.watermark) == (5, None)
        item = account_item(fetcher.run, "http://w", time.monotonic(), time.time())
        error = item["jobs"][0]["last_error"]
        assert (error["class"], error["code"]) == ("retry", "internal-error")
        assert "KeyError at" in error["message"]
        monkeypatch.setattr(FactMaker, "batch", batch)
        job.failures = 0
        asyncio.run(until_idle(fetcher))
        assert job.watermark is not None
        assert "KeyError at" in fetcher.bug

    def test_one_before_any_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every job of the account shows it."""
        fetcher, _ = fetcher_of(new_network("jd", 50, 1), ListSender())
        monkeypatch.setattr(AccountRun, "next", bug)
        asyncio.run(fetcher.step())
        assert [job.last_error is not None for job in fetcher.run.jobs] == [True]

    @pytest.mark.parametrize("place", ["batch", "is_idle"])
    def test_a_poll_of_another_account_goes_on(self, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        """It reads everything, and the exit code is that of a bug."""
        network, sender = new_network("jd", 50, 1), ListSender()
        app = AppConfiguration("app", "jd", "https://x", "key", SECRET, per_second=1_000)
        accounts = {name: AccountConfiguration(name, "app", since=BEGIN) for name in ("a", "b")}
        kind: Any = FactMaker if place == "batch" else AccountRun
        method, first = getattr(kind, place), list[Any]()

        def failing(self: Any, *arguments: Any) -> Any:
            first.append(self)
            return bug() if self is first[0] else method(self, *arguments)

        monkeypatch.setattr(kind, place, failing)
        fetchers = asyncio.run(
            poll_once(
                SourcesConfiguration({"app": app}, accounts),
                list(accounts.values()),
                CursorTopic("cursors"),
                SimulatedGateway(network, BEGIN + DAY),
                sender,
                Topics.of(load_settings({})),
                FetcherIdentity("rebate", 8, WorkerInfo()),
            )
        )
        assert sorted(fetcher.bug != "" for fetcher in fetchers) == [False, True]
        read = [fetcher.run.jobs[0].watermark for fetcher in fetchers if not fetcher.bug]
        assert read[0] is not None
        items = [account_item(fetcher.run, None, time.monotonic(), time.time()) for fetcher in fetchers]
        assert Polled(items, False, {}, {"a": "x"}).exit_code == 70
        assert Polled(items, False).exit_code == 0


class TestTwoPolls:
    """Another poll has come further while this one was frozen."""

    def test_the_kept_watermark_does_not_go_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The topic keeps one record of a job, so the last one written has to be the greatest."""
        topic, reads = CursorTopic("cursors"), list[int]()

        async def read_on() -> None:
            reads.append(1)
            topic.entries["a/rows"] = JobCursor(BEGIN + 10 * DAY, BEGIN, 1, 1)

        sender = ListSender()
        fetcher, _ = fetcher_of(new_network("jd", 50, 1), sender)
        fetcher._newest = NewestCursors(topic, read_on)
        asyncio.run(until_idle(fetcher))
        assert reads == []  # it looked a moment ago
        monkeypatch.setattr("rebate_app.sources.cursors.LOOK_SECONDS", -1.0)
        fetcher.run.jobs[0].is_unsaved = True
        asyncio.run(fetcher.save())
        assert decode_cursor(sender.sent[-1][2]).watermark == BEGIN + 10 * DAY
        assert reads == [1]

    def test_the_greater_of_both(self) -> None:
        """Whoever wrote it."""
        job = JobRun(spec=JobSpec("rows", "m"), watermark=7)
        for kept, watermark in ((None, 7), (JobCursor(None, 1, 1, 1), 7), (JobCursor(5, 1, 1, 1), 7)):
            job.take_watermark(kept)
            assert job.watermark == watermark
        job.take_watermark(JobCursor(9, 1, 1, 1))
        assert job.watermark == 9
        fresh = JobRun(spec=JobSpec("rows", "m"))
        fresh.take_watermark(JobCursor(9, 1, 1, 1))
        assert fresh.watermark == 9


class TestDecisions:
    """What operators decide."""

    def test_pause_and_resume(self) -> None:
        """The one that stands last in the topic holds, whatever the clocks of those who made them say."""
        fetcher, _ = fetcher_of(new_network("jd", 50, 1), ListSender())
        fetcher.decide(AccountDecision(paused=True, at=600), 5, resumes=True)
        assert fetcher.run.paused
        fetcher.decide(AccountDecision(paused=False, at=700), 4, resumes=True)
        assert fetcher.run.paused
        asyncio.run(until_idle(fetcher))
        assert fetcher.run.app.budget.calls == 0
        fetcher.decide(AccountDecision(paused=False, at=6), 6, resumes=True)
        assert not fetcher.run.paused
        fetcher.decide(None, 0, resumes=True)

    def test_a_backfill_after_one_of_a_clock_that_was_ahead(self) -> None:
        """It is another request, so it is read; the one before it is dropped where it stands."""
        fetcher, _ = fetcher_of(new_network("jd", 50, 1), ListSender())
        first = with_backfill(None, 600, "x", BEGIN, BEGIN + 7_200)
        fetcher.decide(first, 1, resumes=False)
        job = fetcher.run.jobs[0]
        job.scan = Scan(BACKFILL, job.rescans[BACKFILL].left)
        second = with_backfill(first, 5, "x", BEGIN + 7_200, BEGIN + 10_800)
        fetcher.decide(second, 2, resumes=False)
        assert job.rescans[BACKFILL] == RescanState(second.request, [(BEGIN + 7_200, BEGIN + 10_800)])
        assert job.scan is None
        asyncio.run(until_idle(fetcher))
        assert job.rescans[BACKFILL].left == []
        resumed = decided(second, 3, "x", paused=False)
        fetcher.decide(resumed, 3, resumes=False)
        assert job.rescans[BACKFILL].left == []  # the same request: it is not read again

    def test_a_resumption_keeps_a_backfill_that_nobody_took(self) -> None:
        """The topic keeps one decision of an account."""
        asked = with_backfill(AccountDecision(paused=True, at=9), 7, "x", BEGIN, BEGIN + 7_200)
        assert (asked.paused, asked.request) == (True, 10)
        resumed = decided(decided(asked, 8, "y", paused=True), 9, "z", paused=False)
        assert resumed == AccountDecision(False, 9, "z", BEGIN, BEGIN + 7_200, 10)
        assert decided(AccountDecision(True, 5), 6, "z", paused=False) == AccountDecision(False, 6, "z")
        fetcher, _ = fetcher_of(new_network("jd", 50, 1), ListSender())
        fetcher.decide(resumed, 4, resumes=False)
        assert fetcher.run.jobs[0].rescans[BACKFILL].left == [(BEGIN, BEGIN + 7_200)]

    def test_a_backfill_is_taken_once(self) -> None:
        """And read at low priority."""
        network, sender = new_network("jd", 50, 1), ListSender()
        fetcher, _ = fetcher_of(network, sender)
        decision = AccountDecision(paused=False, at=7, backfill_from=BEGIN, backfill_to=BEGIN + 7_200)
        fetcher.decide(decision, 1, resumes=False)
        asyncio.run(until_idle(fetcher))
        (job,) = fetcher.run.jobs
        assert (job.rescans["backfill"].at, job.rescans["backfill"].left) == (7, [])
        assert job.rescan_calls_today == 2
        fetcher.backfill(7, BEGIN, BEGIN + 7_200)
        assert job.rescans["backfill"].left == []
        fetcher.backfill(3, BEGIN, BEGIN + 60)  # of a topic that was made anew, or of another clock
        assert job.rescans["backfill"].left == [(BEGIN, BEGIN + 60)]

    def test_what_stopped_is_seen_and_resumed(self) -> None:
        """State, code, gauges; a call that is refused stops the app."""
        network = new_network("jd", 50, 1)
        fetcher, outcomes = fetcher_of(network, ListSender())
        network.secret = "another"  # noqa: S105
        asyncio.run(until_idle(fetcher))
        item = account_item(fetcher.run, "http://w", time.monotonic(), time.time())
        assert (item["state"], item["stopped"]["class"], item["stopped"]["code"]) == ("stopped", "stop", "12")
        assert outcomes[-1] == ("rows", "stop")
        samples = {
            (metric.name, *labels): value
            for metric, labels, value in read_fetchers([fetcher.run], time.monotonic(), time.time())
        }
        assert samples["rebate_source_stopped", "a"]
        assert samples["rebate_source_budget_left", "app"] == 200_000 - 2
        assert samples["rebate_source_watermark_age_seconds", "a", "rows"] > DAY - 100
        network.secret = SECRET
        fetcher.decide(AccountDecision(paused=False, at=9), 1, resumes=True)
        asyncio.run(until_idle(fetcher))
        assert account_item(fetcher.run, None, time.monotonic(), time.time())["state"] == "running"

    def test_errors_that_do_not_pass_end_a_poll(self) -> None:
        """After five in a row; rows are left to read."""
        network = new_network("jd", 50, 1, Switches(chances={"502": 1.0}))
        fetcher, _ = fetcher_of(network, ListSender())
        asyncio.run(until_idle(fetcher))
        assert len(network.calls) == 6  # the first only asks for the time
        assert fetcher.run.is_behind

    def test_cursors_are_saved_between_windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So that a crash forgets few calls; a broker that is away is no failure of the account."""
        monkeypatch.setattr("rebate_app.sources.fetcher.SAVE_SECONDS", 0.0)
        sender, network = ListSender(), new_network("jd", 50, 1, Switches(chances={"502": 1.0}))
        fetcher, _ = fetcher_of(network, sender)
        asyncio.run(until_idle(fetcher))
        assert [decode_cursor(value).calls_today for _, _, value in sender.sent] == [1, 2, 3, 4, 5, 6]
        sender.away = {"cursors"}
        fetcher.run.jobs[0].is_unsaved = True
        asyncio.run(fetcher.save())
        assert fetcher.run.jobs[0].is_unsaved
