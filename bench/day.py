"""The row `day`: what a platform's day costs, as networks report it and as sources read it again.

Facts an order, in the steady state of a platform whose lines are paid, received and settled on different
days: three that are new, and 25 repeats, which a source sends because its memory has forgotten the row
(bench/rereads.py plays it: 28.0 with one account for 300,000 orders a day, the dearest case; 24.9 with
100,000 an account, 16.8 with 30,000, 13.7 with 10,000). Most repeats are of the 26 hours that are read again
every six, and of the nights.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain

from bench.facts import facts
from bench.orders import Row
from bench.place import Place, Run, new_run
from bench.reading import Measurements, begin, pour_orders
from bench.worker import OurWorker

ORDERS_A_DAY = 300_000
SECONDS_A_DAY = 86_400
NEW = 3
REPEATS = 25
#: What docs/performance.md sizes with: processor µs an event, and events an order.
SIZED_US, SIZED_EVENTS = 100.0, 4.5


def hot(lines: int) -> Iterator[Row]:
    """Yield a day's new facts: so many lines are paid, so many older ones received, so many settled."""
    steps = (facts(lines, first=(2 - step) * lines, step=step) for step in range(NEW))
    for together in zip(*steps, strict=True):
        yield from together


def again(lines: int) -> Iterator[Row]:
    """Yield the repeats: passes over what the day has told, in its order, as re-reads send them."""
    left = lines * REPEATS
    while left:
        for row in hot(lines):
            if not left:
                return
            left -= 1
            yield Row(row.key, row.value, (0,))


def before(lines: int) -> Iterator[Row]:
    """Yield what earlier days have told of the lines that the day receives and settles."""
    return chain(facts(2 * lines), facts(lines, step=1))


def day(where: Place, *, lines: int, store: str = "rocksdb") -> Measurements:
    """Measure the new facts and the repeats of so many orders, and scale them to a platform's day."""
    with new_run(where, "day") as run, OurWorker(run, store=store) as worker:
        begin(run)
        worker.wait_ready()
        fill_with(run, before(lines))
        worker.check()
        new_us, new_per_s = _cost(run, worker, hot(lines), NEW * lines)
        repeat_us, repeats_per_s = _cost(run, worker, again(lines), REPEATS * lines)
    return {"store": store, "lines": lines} | of_a_day(new_us, repeat_us, new_per_s, repeats_per_s)


def fill_with(run: Run, rows: Iterable[Row]) -> None:
    """Write rows, and return when they are in the balances."""
    pour_orders(run, rows)
    run.settle()


def of_a_day(new_us: float, repeat_us: float, new_per_s: float, repeats_per_s: float) -> Measurements:
    """Scale processor µs and rates of both kinds of facts to a day of ORDERS_A_DAY orders."""
    processor_s = ORDERS_A_DAY * (NEW * new_us + REPEATS * repeat_us) / 1e6
    busy_s = ORDERS_A_DAY * (NEW / new_per_s + REPEATS / repeats_per_s)
    facts_a_day = ORDERS_A_DAY * (NEW + REPEATS)
    return {
        "new_us": new_us,
        "repeat_us": repeat_us,
        "new_per_s": new_per_s,
        "repeats_per_s": repeats_per_s,
        "facts_an_order": NEW + REPEATS,
        "facts_a_day": facts_a_day,
        "mean_facts_per_s": facts_a_day / SECONDS_A_DAY,
        "facts_per_s": facts_a_day / busy_s,
        "processor_s_a_day": processor_s,
        "busy_s_a_day": busy_s,
        "cores": processor_s / SECONDS_A_DAY,
        "over_sizing": processor_s / (ORDERS_A_DAY * SIZED_EVENTS * SIZED_US / 1e6),
    }


def _cost(run: Run, worker: OurWorker, rows: Iterable[Row], count: int) -> tuple[float, float]:
    """Return processor µs an event and events a second, from the commit until all is in the balances."""
    began = (0.0, 0.0)

    def note() -> None:
        nonlocal began
        began = (worker.cpu_seconds(), time.monotonic())

    pour_orders(run, rows, note)
    run.settle()
    worker.check()
    spent, took = worker.cpu_seconds() - began[0], time.monotonic() - began[1]
    return spent / count * 1e6, count / took
