"""Rows about reading: produced → visible, GETs on the owner while orders stream, forwarded GETs.

Law: whoever asks and whoever produces are processes of their own, so they cost the worker nothing but
the machine that all share; what they cost is in the figures.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from aiokafka import AIOKafkaProducer

from rebate_app.lane.batches import partition_of

from .client import percentile
from .facts import fact, people
from .gate import pour
from .job import FEEDS, nothing
from .orders import PARTITIONS, USERS, Row
from .place import Place, Run, new_run
from .process import CHECKOUT
from .worker import OurWorker

POLL_S = 0.002
PROBES_PER_S = 20
VISIBLE_SECONDS_MAX = 30.0
CONNECTIONS = 8
FORWARDED_PER_S = 500.0

Figures = dict[str, Any]


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


def answer(process: subprocess.Popen[str], seconds_max: float) -> Figures:
    """Return what it found."""
    said, _ = process.communicate(timeout=seconds_max)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    found: Figures = json.loads(said)
    return found


def latency(where: Place, *, seconds: float, rate: float = 500.0, store: str = "memory") -> Figures:
    """Measure from right before an order is sent until its user's balance shows it, at a steady rate."""
    with new_run(where, "latency") as run, OurWorker(run, store=store) as worker:
        begin(run)
        worker.wait_ready()
        fill(run, worker, 20_000)
        with _stream(run, rate, seconds, 50_000) as stream:
            begun(stream)
            took = asyncio.run(_probe(run, worker, seconds - 1))
            paced = answer(stream, seconds + 60)
        took.sort()
        return {
            "rate": paced["per_second"],
            "probes": len(took),
            "p50_ms": percentile(took, 0.5) * 1e3,
            "p99_ms": percentile(took, 0.99) * 1e3,
            "max_ms": took[-1] * 1e3,
            "producer_latest_ms": paced["latest_ms"],
        }


async def _probe(run: Run, worker: OurWorker, seconds: float) -> list[float]:
    """Send orders of new users, one after the other, and ask for each until it shows."""
    producer = AIOKafkaProducer(bootstrap_servers=run.place.broker, acks="all", linger_ms=0)
    await producer.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    took: list[float] = []
    try:
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            number = len(took)
            row = fact(9_000_000 + number, f"p{number}", 1_000, "paid", "12", 0)
            sent_at = time.perf_counter()
            await producer.send(run.topics.orders, row.value, key=row.key)
            while b'"estimated":0,' in await _balance(reader, writer, f"p{number}"):
                if time.perf_counter() - sent_at > VISIBLE_SECONDS_MAX:
                    raise TimeoutError(f"p{number} was not visible")
                await asyncio.sleep(POLL_S)
            took.append(time.perf_counter() - sent_at)
            await asyncio.sleep(max(0.0, began + len(took) / PROBES_PER_S - time.perf_counter()))
    finally:
        writer.close()
        await producer.stop()
    return took


async def _balance(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: str) -> bytes:
    writer.write(f"GET /v1/users/{user}/balance HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)


def reads(where: Place, *, seconds: float, rate: float = 5_000.0, store: str = "memory") -> Figures:
    """Measure GETs on the owner while orders stream: at 3,000/s, then as many as it answers."""
    with new_run(where, "reads") as run, OurWorker(run, store=store) as worker:
        begin(run)
        worker.wait_ready()
        fill(run, worker, 50_000)
        paths = _paths(run, [f"u{number}" for number in range(USERS)])
        found: Figures = {}
        for name, wanted in (("at_3000", 3_000.0), ("closed_loop", 0.0)):
            first = 100_000 if wanted else 1_000_000
            with _stream(run, rate, seconds, first) as stream:
                begun(stream)
                asked = _get(worker.port, paths, wanted, seconds)
                paced = answer(stream, seconds + 60)
            found[name] = asked | {"orders_per_s": paced["per_second"], "lag_after": worker.lag()}
        return found


def _paths(run: Run, users: Sequence[str]) -> Path:
    path = run.folder / f"paths-{len(users)}-{users[0]}"
    path.write_text("\n".join(f"/v1/users/{user}/balance" for user in users), encoding="utf-8")
    return path


def _get(port: int, paths: Path, rate: float, seconds: float, connections: int = CONNECTIONS) -> Figures:
    with apart(
        "bench.client", port=port, paths=paths, rate=rate, seconds=seconds, connections=connections
    ) as asked:
        return answer(asked, seconds + 60)


def _stream(
    run: Run, rate: float, seconds: float, first: int
) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a producer of new orders."""
    topic = run.topics.orders
    return apart("bench.pace", broker=run.place.broker, topic=topic, rate=rate, seconds=seconds, first=first)


def forwarded(where: Place, *, seconds: float, rounds: int) -> Figures:
    """Measure the same users' balances asked at their owner and at the other worker, by turns.

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
        paths = _paths(
            run, [f"u{n}" for n in range(USERS) if partition_of(f"u{n}".encode(), PARTITIONS) in owned]
        )
        found: Figures = {}
        for name, rate in (("", FORWARDED_PER_S), ("closed_", 0.0)):
            direct, through = [], []
            for _ in range(rounds):
                direct.append(_get(two.port, paths, rate, seconds, 4))
                through.append(_get(one.port, paths, rate, seconds, 4))
            found |= {
                f"{name}{way}_{key}": median(figures[key] for figures in all_of_them)
                for way, all_of_them in (("direct", direct), ("forwarded", through))
                for key in ("p50_ms", "p99_ms", "per_second", "not_200")
            }
        return found | {"p99_ratio": found["forwarded_p99_ms"] / found["direct_p99_ms"]}
