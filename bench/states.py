"""Rows about state: restoring it, what a line of it weighs, and whether more of it costs more.

Costs are processor seconds of the worker, which another program on the machine does not falsify as it
falsifies seconds of the wall clock; sizes are resident memory, after the same feed twice, so that buffers
and arenas, which do not grow with the state, are in both and fall out of the difference.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from statistics import median

from bench.contenders import OURS, PRODUCT
from bench.facts import POSTINGS, fact, facts
from bench.job import FEEDS
from bench.orders import DRAWN, PARTITIONS, Row
from bench.place import Place, Run, new_run
from bench.process import resident_bytes
from bench.reading import Measurements, begin, fill, pour_orders
from bench.toy_stages import toy_stages
from bench.worker import OurWorker
from rebate_app.streams.state.folder import StoreFolder
from rebate_app.streams.state.restore import restore
from rebate_app.streams.state.store import MemoryStore, Store
from rebate_app.streams.task.stage import Stage


def restoring(where: Place, *, lines: int) -> Measurements:
    """Measure how fast a worker's changelog is read into new stores, and how soon a worker is ready again.

    The rate is of the product's own `restore`, all partitions of the table of lines at once, as a worker
    does it. `ready_*`: from the start of the process, its imports and the group's rebalance included.
    """
    with new_run(where, "restore") as run:
        with OurWorker(run, app=OURS, store="rocksdb") as worker:
            found: Measurements = {"ready_empty_s": worker.wait_ready()}
            fill(run, worker, lines, feed="toy")
        found["lines"] = lines
        with OurWorker(run, app=OURS, store="rocksdb") as worker:
            found["ready_rocksdb_s"] = worker.wait_ready()
        with OurWorker(run, app=OURS, number=1) as worker:
            found["ready_memory_s"] = worker.wait_ready()
        for store in ("memory", "rocksdb"):
            found[f"{store}_per_s"] = asyncio.run(_restored_per_s(run, store))
        return found


async def _restored_per_s(run: Run, kind: str) -> float:
    """Restore all partitions of the lines' changelog at once; return records a second."""
    stage: Stage = toy_stages(run.settings)[0]
    options = {"bootstrap_servers": run.place.broker}
    folder = None
    if kind == "rocksdb":
        folder = StoreFolder(run.settings.model_copy(update={"datadir": run.folder / "restored"}))
        await folder.prepare(options, [stage.changelog])
    stores: list[Store] = [
        MemoryStore() if folder is None else folder(stage, number) for number in range(PARTITIONS)
    ]
    began = time.perf_counter()
    done = await asyncio.gather(
        *(
            restore(options, stage.changelog, number, store, lambda *_: None)
            for number, store in enumerate(stores)
        )
    )
    took = time.perf_counter() - began
    for store in stores:
        store.close()
    if folder is not None:
        folder.close()
    return sum(each.records for each in done) / took


def memory(where: Place, *, lines: int) -> Measurements:
    """Measure what a line weighs in a worker: the toy's, and the real one with five postings."""
    found: Measurements = {"lines": lines}
    for name, app, feed, store, parts in (
        ("toy_memory", OURS, "toy", "memory", 3),
        ("real_memory", PRODUCT, "five", "memory", 3),
        ("real_rocksdb", PRODUCT, "five", "rocksdb", 5),  # its caches take a while to be full
    ):
        with new_run(where, "memory") as run, OurWorker(run, app=app, store=store) as worker:
            worker.wait_ready()
            count = lines if feed == "toy" else lines * POSTINGS
            sizes = []
            for part in range(parts):
                first = part * lines
                fill(run, worker, count, first=first, feed=feed)
                sizes.append(resident_bytes(worker.pid))
            found[f"{name}_bytes_per_line"] = (sizes[-1] - sizes[-3]) / (2 * lines)
            found[f"{name}_mib"] = [round(size / 2**20) for size in sizes]
    return found


def worker_cost(run: Run, worker: OurWorker, rows: Iterable[Row], count: int) -> float:
    """Return the worker's processor µs an event, from their commit until all is in the balances."""
    before = 0.0

    def note() -> None:
        nonlocal before
        before = worker.cpu_seconds()

    pour_orders(run, rows, note)
    run.settle()
    return (worker.cpu_seconds() - before) / count * 1e6


def heavy_user(where: Place, *, lines: int, events: int, rounds: int) -> Measurements:
    """Compare events for one user with so many lines with events for users with ten lines each."""
    with new_run(where, "heavy") as run, OurWorker(run) as worker:
        worker.wait_ready()
        owners: dict[str, Callable[[int], str]] = {
            "heavy": lambda _: "h25",
            "light": lambda number: f"l{(number // 10) * 100 + 25}",
        }
        bases = {"heavy": 0, "light": 10_000_000}
        for name, owner in owners.items():
            rows = [_step(bases[name] + n, owner(n), 0) for n in range(lines)]
            worker_cost(run, worker, rows, lines)
        costs: dict[str, list[float]] = {name: [] for name in owners}
        for turn in range(rounds):
            for name, owner in owners.items():
                first = turn * events % lines
                rows = [_step(bases[name] + n, owner(n), 1) for n in range(first, first + events)]
                costs[name].append(worker_cost(run, worker, rows, events))
        found: Measurements = {f"{name}_us": median(each) for name, each in costs.items()}
        return found | {"lines": lines, "ratio": found["heavy_us"] / found["light_us"]}


def _step(number: int, user: str, step: int) -> Row:
    status, code = (("paid", "12"), ("received", "14"))[step]
    return fact(number, user, 1_000 + number % 977, status, code, step)


def two_workers(where: Place, *, events: int, rounds: int, feed: str = "life") -> Measurements:
    """Compare the processor time an order of one worker with that of two together, by turns."""
    costs: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count, measured in costs.items():
            with new_run(where, "workers") as run:
                measured.append(_cost_of(run, count, events, feed))
    one, two = median(costs[1]), median(costs[2])
    return {"one_us": one, "two_us": two, "ratio": two / one, "events": events}


def _cost_of(run: Run, count: int, events: int, feed: str) -> float:
    with ExitStack() as stack:
        workers = [stack.enter_context(OurWorker(run, number=number)) for number in range(count)]
        begin(run)
        for worker in workers:
            worker.wait_ready()
        fill(run, workers[0], DRAWN)
        before = 0.0

        def note() -> None:
            nonlocal before
            before = sum(worker.cpu_seconds() for worker in workers)

        rows = FEEDS[feed](events, first=DRAWN)
        pour_orders(run, rows, note)
        run.settle()
        return (sum(worker.cpu_seconds() for worker in workers) - before) / events * 1e6


def growth(where: Place, *, lines: int, events: int, rounds: int, store: str = "memory") -> Measurements:
    """Compare the cost of an event at a state and at ten times that state: new lines, and known ones."""
    with new_run(where, "growth") as run, OurWorker(run, store=store) as worker:
        begin(run)
        worker.wait_ready()
        found: Measurements = {"store": store, "lines": lines}
        at = 0
        for name, upto in (("small", lines), ("large", 10 * lines)):
            worker_cost(run, worker, facts(upto - at, first=at), upto - at)
            at = upto
            pending_events, known = [], []
            for _ in range(rounds):
                first = at - events
                pending_events.append(worker_cost(run, worker, facts(events, first=at), events))
                known.append(worker_cost(run, worker, facts(events, first=first, step=1), events))
                at += events
            found |= {f"new_{name}_us": median(pending_events), f"known_{name}_us": median(known)}
        for kind in ("new", "known"):
            found[f"{kind}_ratio"] = found[f"{kind}_large_us"] / found[f"{kind}_small_us"]
        return found


def millions(where: Place, *, lines: int, steps: int) -> Measurements:
    """Let a worker on RocksDB take so many new toy lines, step after step, and compare what each step costs.

    The toy, since it is the engine and the store that could become slower with what they hold.
    """
    with new_run(where, "millions") as run, OurWorker(run, app=OURS, store="rocksdb") as worker:
        worker.wait_ready()
        costs, resident = [], []
        for step in range(steps):
            costs.append(worker_cost(run, worker, FEEDS["toy"](lines, first=step * lines), lines))
            worker.check()
            resident.append(round(resident_bytes(worker.pid) / 2**20))
        return {
            "lines_a_step": lines,
            "each_us": costs,
            "resident_mib": resident[-1],
            "resident_mib_each": resident,
            "ratio": max(costs) / costs[0],
        }
