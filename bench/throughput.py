"""Throughput: orders a second from the moment all input is there until the last effect is committed.

Contenders take turns, round by round, on one broker; each figure is the median over the rounds, so
what drifts on the machine drifts for all of them. After each run the accounts have to be right.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from statistics import median
from typing import Any

from msgspec import Struct, to_builtins

from bench.contenders import Contender
from bench.job import Job, nothing
from bench.place import Place, Run, new_run
from bench.process import Process, cpu_seconds, resident_bytes

PRIMER = 2_000
FEWEST = 1_000
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


#: What goes on beside a contender while it is measured, given the contender's environment.
Beside = Callable[[Mapping[str, str]], AbstractContextManager[object]]


def measure(where: Place, contender: Contender, count: int, beside: Beside | None = None) -> Measured:
    """Run one contender once."""
    with new_run(where, contender.name) as run:
        contender.prepare(run)
        return asyncio.run(_measure(run, contender, count, beside))


async def _measure(run: Run, contender: Contender, count: int, beside: Beside | None) -> Measured:
    job = Job(run, contender.feed, contender.accounts(run))
    await job.prepare()
    command, environment = contender.command(run)
    with ExitStack() as ended_with, Process(command, run.folder / "contender.log", environment) as process:
        await job.fill(PRIMER, 0)
        async with job.watch(process.check):
            await job.done(START_SECONDS_MAX)
            if beside is not None:
                ended_with.enter_context(beside(environment))
            before = (0.0, 0.0)

            def note() -> None:
                nonlocal before
                before = (process.cpu_seconds(), cpu_seconds(run.place.broker_pid))

            if not contender.reads_committed:
                note()
            began = time.monotonic()
            committed_at = await job.fill(count, PRIMER, note if contender.reads_committed else nothing)
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


def shown(measured: Measured) -> str:
    """Return one line for people."""
    return (
        f"{measured.name:18} {measured.orders_per_s:9,.0f} orders/s   "
        f"CPU {measured.cpu_s_per_100k:6.2f} s/100k   broker {measured.broker_cpu_s_per_100k:5.2f}   "
        f"{measured.resident_mib:6.0f} MiB   ({measured.orders:,} in {measured.seconds:.2f} s)"
    )


def compare(
    where: Place, contenders: Sequence[Contender], count: int, rounds: int
) -> dict[str, dict[str, Any]]:
    """Run all contenders by turns; return medians by name, with every single run."""
    runs: dict[str, list[Measured]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            measured = measure(where, contender, max(FEWEST, int(count * contender.share)))
            print(shown(measured), flush=True)
            runs[contender.name].append(measured)
    return {
        contender.name: _medians(runs[contender.name])
        | {
            "title": contender.title,
            "store": contender.store,
            "feed": contender.feed,
            "exactly_once": contender.exactly_once,
            "runs": to_builtins(runs[contender.name]),
        }
        for contender in contenders
    }


def _medians(runs: Sequence[Measured]) -> dict[str, Any]:
    names = ("orders", "orders_per_s", "cpu_s_per_100k", "broker_cpu_s_per_100k", "resident_mib")
    return {name: median(getattr(run, name) for run in runs) for name in names}
