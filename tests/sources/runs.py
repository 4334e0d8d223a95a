"""Runs accounts against simulated networks with a clock that goes as fast as the calls are computed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from examples.simulators.jd import STATUSES as JD_STATUSES
from examples.simulators.jd import Jd
from examples.simulators.network import Answer, Network, Switches
from examples.simulators.pdd import STATUSES as PDD_STATUSES
from examples.simulators.pdd import Pdd
from examples.simulators.taobao import STATUSES as TAOBAO_STATUSES
from examples.simulators.taobao import Taobao
from examples.simulators.world import make_refunds, make_world
from rebate_app.sources.account import AccountRun, Call, Reply
from rebate_app.sources.apis.api import load_api
from rebate_app.sources.app import AppRun
from rebate_app.sources.configuration import AccountConfiguration, AppConfiguration
from rebate_app.sources.facts import Destination, FactBatch, FactMaker
from rebate_app.sources.job import decode_cursor, encode_cursor
from rebate_app.streams.failures.dead_letter import WorkerInfo
from rebate_app.wire.moments import SECOND_US, parse_moment
from rebate_app.wire.networks.adapter import load_adapter

BEGIN = parse_moment("2026-03-01T00:00:00+08:00") // SECOND_US
DAY = 86_400
SECRET = "secret"  # noqa: S105 - that of the simulators
TIME_OUT_SECONDS = 20.0
ANSWER_SECONDS = 0.05
SIMULATORS: dict[str, tuple[type[Network], list[Any]]] = {
    "taobao": (Taobao, TAOBAO_STATUSES),
    "jd": (Jd, JD_STATUSES),
    "pdd": (Pdd, PDD_STATUSES),
}
DESTINATION = Destination("order_topic", "order_topic-dlt", 8, "rebate", WorkerInfo())


@dataclass
class Clock:
    """Time at the network, the local monotonic clock, and a local wall clock that may be wrong.

    `pace`: seconds of the network a local second, as in a simulation.
    """

    now: float
    wall_error: float = 0.0
    mono: float = 1_000.0
    pace: float = 1.0

    @property
    def wall(self) -> float:
        """Return what the local clock shows."""
        return self.now + self.wall_error

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds * self.pace
        self.mono += seconds


@dataclass
class Log:
    """What reached `order_topic`, and what was kept of cursors: they outlive a worker."""

    facts: list[tuple[bytes, bytes]] = field(default_factory=list)
    letters: list[Any] = field(default_factory=list)
    cursors: dict[bytes, bytes] = field(default_factory=dict)

    def last(self) -> dict[str, dict[str, Any]]:
        """Return the newest fact of each line, or of each dispute, by the version order."""
        newest: dict[str, dict[str, Any]] = {}
        for key, value in self.facts:
            fact = orjson.loads(value)
            name = f"{key.decode()}/{fact.get('suit_id', '')}"
            at = fact.get("modified_at") or fact["seq"]["modified_at"]
            old = newest.get(name)
            if old is None or at >= (old.get("modified_at") or old["seq"]["modified_at"]):
                newest[name] = fact
        return newest


def new_network(
    name: str,
    rows: int,
    days: int,
    switches: Switches | None = None,
    *,
    seed: int = 7,
    burst: int = 0,
    late: bool = True,
) -> Network:
    """Return a network whose rows change within `days` after BEGIN."""
    kind, statuses = SIMULATORS[name]
    world = make_world(rows, BEGIN, days, statuses, seed, late=late, burst=burst)
    network = kind(world, SECRET, "key", switches)
    if isinstance(network, Taobao):
        network.refunds = make_refunds(world, seed)
    return network


def bug(*_: Any) -> Any:
    """Fail as our own code may: in place of a method."""
    raise KeyError("bug")


class KilledError(Exception):
    """The worker ends at once, between two of its steps."""


class Worker:
    """One worker with one account; a killed one loses all but the log.

    `crash`: called with the name of each step before it is done; it may raise KilledError.
    """

    crash: Callable[[str], None] = staticmethod(lambda _step: None)

    def __init__(
        self,
        name: str,
        network: Network,
        clock: Clock,
        log: Log,
        *,
        account: AccountConfiguration | None = None,
        app: AppConfiguration | None = None,
    ) -> None:
        self.network, self.clock, self.log, self.name = network, clock, log, name
        #: What comes in place of the next answers: a 502 whose `Date` is wrong by so much, or has none.
        self.odd_answers: list[float | None] = []
        self.asked: list[Call] = []
        api = load_api(name)
        self.app = AppRun(
            app or AppConfiguration("app", name, api.url, "key", SECRET, per_second=50), clock.mono
        )
        self.configuration = account or AccountConfiguration("account", "app", since=BEGIN, scenes=(1, 3))
        self.run = AccountRun(self.configuration, self.app, api, random.Random(3))
        self.maker = FactMaker(name, load_adapter(name), api, DESTINATION)
        for job in self.run.jobs:
            value = log.cursors.get(f"{self.configuration.id}/{job.spec.name}".encode())
            if value is not None:
                cursor = decode_cursor(value)
                job.restore(cursor)
                self.app.budget.restore(cursor.day, cursor.calls_today, cursor.rescan_calls_today)

    def until(self, end: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Run until a moment of the network's time, or until `stop` says so."""
        while self.clock.now < end and not stop():
            step = self.run.next(self.clock.mono, self.clock.wall)
            if isinstance(step, Call):
                self.call(step)
            else:
                self.clock.advance(max(step, 0.01))

    def call(self, call: Call) -> FactBatch | None:
        """Make one call, and send what it brings."""
        self.asked.append(call)
        answer, error = self.network.handle(call.form, self.clock.now), None
        self.clock.advance(ANSWER_SECONDS if answer.status else TIME_OUT_SECONDS)
        date = int(self.clock.now) if answer.status else None
        if self.odd_answers:
            error = self.odd_answers.pop(0)
            answer, date = Answer(502), None if error is None else int(self.clock.now + error)
        reply = Reply(answer.status, answer.body, date, "" if answer.status else "timed out")
        fetched = self.run.answer(call, reply, self.clock.mono, self.clock.wall)
        if fetched is None:
            return None
        now = self.app.clock.now(self.clock.mono, self.clock.wall)
        self.crash("send")
        batch = self.maker.batch(fetched.job.spec.name, fetched.rows, int(now * SECOND_US), 1)
        self.log.facts += batch.records
        self.log.letters += batch.letters
        self.maker.acknowledge(batch)
        self.crash("commit")
        self.run.commit(fetched, batch.counts)
        self.crash("save")
        key, value = encode_cursor(self.configuration.id, fetched.job.spec.name, fetched.job.cursor(int(now)))
        self.log.cursors[key] = value
        return batch


def expected(name: str, network: Network, now: float) -> dict[str, int]:
    """Return the modification time that the network shows last, of every row."""
    shown = {f"{name}:{line}/": version.at for line, version in network.world.last_versions(now).items()}
    if isinstance(network, Taobao):
        for suit, version in network.refunds.last_versions(now).items():
            shown[f"{name}:{version.fields['line']}/{suit}"] = version.at
    return shown


def missing(name: str, network: Network, log: Log, before: float) -> list[str]:
    """Return the rows whose newest version has not arrived, of those that were visible at a moment."""
    arrived = log.last()
    found = []
    for line, at in expected(name, network, before).items():
        fact = arrived.get(line)
        if fact is None:
            found.append(line)
            continue
        moment = fact.get("modified_at") or fact["seq"]["modified_at"]
        if parse_moment(moment) // SECOND_US < at:
            found.append(line)
    return found
