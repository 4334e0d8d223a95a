"""Throughput: orders a second from the moment all input is there until the last effect is committed.

Law: contenders take turns, round by round, on one broker; each figure is the median over the rounds, so
what drifts on the machine drifts for all of them. After each run the accounts have to be right.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable

from msgspec import Struct, to_builtins

from .contenders import Contender
from .facts import facts, people
from .gate import pour
from .orders import PARTITIONS, Row, orders
from .place import Place, Run, new_run
from .process import Process, cpu_seconds, resident_bytes
from .watch import AccountSums, LineRecords, Watch

PRIMER = 2_000
START_SECONDS_MAX = 120.0
SLOWEST_ORDERS_PER_S = 100.0


class Measured(Struct, frozen=True):
    """One run: orders, seconds, processor seconds of the contender and of the broker, resident MiB."""

    name: str
    orders: int
    seconds: float
    orders_per_s: float
    cpu_s_per_100k: float
    broker_cpu_s_per_100k: float
    resident_mib: float


def measure(where: Place, contender: Contender, count: int) -> Measured:
    """Run one contender once."""
    with new_run(where, contender.name) as run:
        contender.prepare(run)
        return asyncio.run(_measure(run, contender, count))


async def _measure(run: Run, contender: Contender, count: int) -> Measured:
    job = Job(run, contender)
    await job.prepare()
    command, environment = contender.command(run)
    with Process(command, run.folder / "contender.log", environment) as process:
        await job.fill(PRIMER, 0)
        async with job.watch(process.check):
            await job.done(START_SECONDS_MAX)
            before = (0.0, 0.0)

            def note() -> None:
                nonlocal before
                before = (process.cpu_seconds(), cpu_seconds(run.place.broker_pid))

            if not contender.reads_committed:
                note()
            began = time.monotonic()
            committed_at = await job.fill(count, PRIMER, note if contender.reads_committed else _nothing)
            began = committed_at if contender.reads_committed else began
            ended = await job.done(START_SECONDS_MAX + count / SLOWEST_ORDERS_PER_S)
            spent = (process.cpu_seconds() - before[0], cpu_seconds(run.place.broker_pid) - before[1])
        seconds = ended - began
        return Measured(
            contender.name,
            count,
            seconds,
            count / seconds,
            spent[0] / count * 1e5,
            spent[1] / count * 1e5,
            resident_bytes(process.pid) / 2**20,
        )


def _nothing() -> None:
    """Do nothing."""


class Job:
    """A feed, and how it is known that all of it is done: by what the changelog of accounts holds."""

    def __init__(self, run: Run, contender: Contender) -> None:
        self._run = run
        self._real = contender.real
        tally = LineRecords() if contender.real else AccountSums()
        self._watch = Watch(run.place.broker, contender.accounts(run), tally)
        self._wanted: tuple[int, ...] = (0,) if contender.real else (0, 0, 0)
        self._check: Callable[[], None] = _nothing

    async def prepare(self) -> None:
        """For the real domain, write the profiles: who invited whom is known before the first order."""
        if self._real:
            await pour(self._run.place.broker, self._run.topics.user_log, PARTITIONS, people())

    def watch(self, check: Callable[[], None]) -> Watch:
        """Return what has to be open meanwhile; `check` raises when the contender has died."""
        self._check = check
        return self._watch

    async def fill(self, count: int, first: int, before_commit: Callable[[], None] = _nothing) -> float:
        """Write orders; return the moment of their commit."""
        found: tuple[int, ...] = (0,) if self._real else (0, 0, 0)

        def counted() -> Iterable[Row]:
            nonlocal found
            for row in facts(count, first=first) if self._real else orders(count, first=first):
                found = tuple(map(sum, zip(found, row.raises, strict=True)))
                yield row

        run = self._run
        at = await pour(run.place.broker, run.topics.orders, PARTITIONS, counted(), before_commit)
        self._wanted = tuple(map(sum, zip(self._wanted, found, strict=True)))
        return at

    async def done(self, seconds_max: float) -> float:
        """Return the moment at which all of it was done."""
        await self._watch.appear(seconds_max, self._check)
        return await self._watch.done_at(self._wanted, seconds_max, self._check)


def shown(measured: Measured) -> str:
    """Return one line for people."""
    return (
        f"{measured.name:18} {measured.orders_per_s:9,.0f} orders/s   "
        f"CPU {measured.cpu_s_per_100k:6.2f} s/100k   broker {measured.broker_cpu_s_per_100k:5.2f}   "
        f"{measured.resident_mib:6.0f} MiB   ({measured.orders:,} in {measured.seconds:.2f} s)"
    )


def as_json(measured: Measured) -> str:
    """Return the figures as one line of JSON."""
    return json.dumps(to_builtins(measured))
