"""Rows about reading: GETs on the owner while orders stream, forwarded GETs.

Clients and producers are processes of their own: they share the machine with the worker, nothing else;
their cost is in the results.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.facts import people
from bench.gate import pour
from bench.job import FEEDS, nothing
from bench.orders import PARTITIONS, USERS, Row
from bench.place import Place, Run, new_run
from bench.process import CHECKOUT
from bench.worker import OurWorker
from rebate_app.streams.transaction.partitioner import partition_of

CONNECTIONS = 8
FORWARDED_PER_S = 500.0

Measurements = dict[str, Any]


def fill(run: Run, worker: OurWorker, count: int, *, first: int = 0, feed: str = "paid") -> None:
    """Have the worker take so many events, and return when all of it is in the balances."""
    pour_orders(run, FEEDS[feed](count, first=first))
    run.settle()
    worker.check()


def pour_orders(run: Run, rows: Iterable[Row], before_commit: Callable[[], None] = nothing) -> None:
    """Write rows to `order_topic`, all at once."""
    asyncio.run(pour(run.place.broker, run.topics.orders, PARTITIONS, rows, before_commit))


def begin(run: Run) -> None:
    """Write the profiles."""
    asyncio.run(pour(run.place.broker, run.topics.user_log, PARTITIONS, people()))


@contextmanager
def apart(module: str, **given: object) -> Iterator[subprocess.Popen[str]]:
    """Give a module of ours as a process that answers with one JSON object; it ends with the block."""
    arguments = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def begun(stream: subprocess.Popen[str]) -> None:
    """Return when the producer has drawn its orders and begins to send; RuntimeError when it does not."""
    if stream.stdout is None or stream.stdout.readline() != "begins\n":
        raise RuntimeError(f"{stream.args!r} has not begun")


def answer(process: subprocess.Popen[str], seconds_max: float) -> Measurements:
    """Return what it found."""
    output, _ = process.communicate(timeout=seconds_max)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    found: Measurements = json.loads(output)
    return found


def reads(where: Place, *, seconds: float, rate: float = 5_000.0, store: str = "memory") -> Measurements:
    """Measure GETs on the owner while orders stream: at 3,000/s, then as many as it answers.

    `room_per_s`: what the interpreter's one core leaves for GETs while it takes the orders, from two
    measurements of the same run: GETs alone, and the worker's processor time for the orders alone.
    """
    with new_run(where, "reads") as run, OurWorker(run, store=store) as worker:
        begin(run)
        worker.wait_ready()
        fill(run, worker, 50_000)
        paths = balance_paths(run, [f"u{number}" for number in range(USERS)])
        found: Measurements = {}
        for name, wanted in (("at_3000", 3_000.0), ("closed_loop", 0.0)):
            first = 100_000 if wanted else 1_000_000
            with stream_orders(run, rate, seconds, first) as stream:
                begun(stream)
                answered = get(worker.port, paths, wanted, seconds)
                paced = answer(stream, seconds + 60)
            found[name] = answered | {"orders_per_s": paced["per_second"], "lag_after": worker.lag()}
        run.settle()
        found["alone"] = get(worker.port, paths, 0.0, seconds)
        found["streaming_share"] = share = _share_of_a_core(run, worker, rate, seconds)
        found["room_per_s"] = found["alone"]["per_second"] * max(0.0, 1 - share)
        return found


def _share_of_a_core(run: Run, worker: OurWorker, rate: float, seconds: float) -> float:
    """Return which share of a core the worker needs for orders at that rate."""
    before = worker.cpu_seconds()
    with stream_orders(run, rate, seconds, 2_000_000) as stream:
        begun(stream)
        answer(stream, seconds + 60)
    run.settle()
    return (worker.cpu_seconds() - before) / seconds


def balance_paths(run: Run, users: Sequence[str]) -> Path:
    """Write the paths of these users' balances to a file."""
    path = run.folder / f"paths-{len(users)}-{users[0]}"
    path.write_text("\n".join(f"/v1/users/{user}/balance" for user in users), encoding="utf-8")
    return path


def get(
    port: int, paths: Path, rate: float, seconds: float, connections: int = CONNECTIONS, token: str = ""
) -> Measurements:
    """Return the figures of a client that asks one worker for so long (bench/client.py)."""
    with apart(
        "bench.client",
        port=port,
        paths=paths,
        rate=rate,
        seconds=seconds,
        connections=connections,
        token=token,
    ) as caller:
        return answer(caller, seconds + 60)


def stream_orders(
    run: Run, rate: float, seconds: float, first: int, feed: str = "life"
) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a producer of new orders (bench/pace.py)."""
    return apart(
        "bench.pace",
        broker=run.place.broker,
        topic=run.topics.orders,
        rate=rate,
        seconds=seconds,
        first=first,
        feed=feed,
    )


def forwarded(where: Place, *, seconds: float, rounds: int) -> Measurements:
    """Measure the same users' balances requested from their owner and from the other worker, in turns.

    At a steady rate, counted from when each was due; then, `closed_`, as many as four connections get:
    two workers share the work of a forwarded answer, so that says what it costs and not how long it takes.
    """
    with new_run(where, "forward") as run, OurWorker(run) as one, OurWorker(run, number=1) as two:
        begin(run)
        one.wait_ready()
        two.wait_ready()
        fill(run, one, 20_000)
        topic = run.topics.user_log
        items = {item["url"]: item["partitions"][topic] for item in one.json("/v1/workers")["items"]}
        owned = set(items[two.url])
        paths = balance_paths(
            run, [f"u{n}" for n in range(USERS) if partition_of(f"u{n}".encode(), PARTITIONS) in owned]
        )
        found: Measurements = {}
        for name, rate in (("", FORWARDED_PER_S), ("closed_", 0.0)):
            direct, through = [], []
            for _ in range(rounds):
                direct.append(get(two.port, paths, rate, seconds, 4))
                through.append(get(one.port, paths, rate, seconds, 4))
            found |= {
                f"{name}{way}_{key}": median(figures[key] for figures in all_of_them)
                for way, all_of_them in (("direct", direct), ("forwarded", through))
                for key in ("p50_ms", "p99_ms", "per_second", "not_200")
            }
        return found | {"p99_ratio": found["forwarded_p99_ms"] / found["direct_p99_ms"]}
