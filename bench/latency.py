"""The row `latency`: from right before an order is sent until its user's balance shows it, at a steady rate.

Two views of the same moment, each measured in one way for everybody who has it:

- over HTTP: the balance is requested every 2 ms on one connection until it shows the order. The product
  answers from what is committed; Kafka Streams' interactive query answers from its store, so it shows
  what a failed commit takes back again, one commit earlier;
- committed: a reader of the accounts' changelog, `read_committed`, has the order's account. Nobody can take
  that back, so it is the view in which guarantees are equal.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.client import percentile
from bench.contenders import BY_NAME, Contender
from bench.facts import fact
from bench.job import Job
from bench.orders import PARTITIONS, PROBE, Row, probe
from bench.place import Place, Run, new_run
from bench.process import Process
from bench.reading import Measurements, answer, begin, begun, fill, stream_orders
from bench.worker import OurWorker

POLL_S = 0.002
PROBES_PER_S = 20
VISIBLE_SECONDS_MAX = 30.0
SETTLING_S = 1.0
START_SECONDS_MAX = 180.0
FIRST_STREAMED = 1_000_000
SECOND_VIEW = 500_000
PEERS = ("ours-toy", "l1x", "streams-100ms", "streams-10ms", "ours-life", "l1x-life")

#: Users of probes, anywhere in a changelog's key: of the toy, and of the real domain.
PROBED = re.compile(re.escape(PROBE.encode()) + rb"\d{6}|p\d{8}")

Probe = tuple[str, Row]  # a user who has no other order, and the order
Sight = Callable[[str], Awaitable[None]]  # returns when the user's account shows the order


def latency(
    where: Place, *, seconds: float, primer: int, names: tuple[str, ...] = PEERS, rate: float = 500.0
) -> Measurements:
    """Measure the product over HTTP, then the peers in both views; `primer`: orders that warm a JIT up."""
    found = _product(where, seconds, rate)
    found |= {"peers": {name: _peer(where, BY_NAME[name], seconds, rate, primer) for name in names}}
    return found


def _product(where: Place, seconds: float, rate: float, store: str = "memory") -> Measurements:
    with new_run(where, "latency") as run, OurWorker(run, store=store) as worker:
        begin(run)
        worker.wait_ready()
        fill(run, worker, 20_000)

        async def measured() -> list[float]:
            async with BalanceReader(worker.port, b'"estimated":0,') as reader:
                return await _probes(run, _fact_probe, reader.shows, seconds)

        return _streamed(run, measured, seconds, rate, 50_000, "life")


def _peer(where: Place, contender: Contender, seconds: float, rate: float, primer: int) -> Measurements:
    """Measure one contender with the fold of its feed: committed, and over HTTP if it answers there."""
    with new_run(where, contender.name) as run:
        contender.prepare(run)
        command, environment = contender.command(run)
        with Process(command, run.folder / "contender.log", environment) as process:
            asyncio.run(_prime(run, contender, primer, process.check))
            found: Measurements = {}

            async def committed() -> list[float]:
                async with Committed(run.place.broker, contender.accounts(run)) as reader:
                    drawn = probe if contender.feed == "toy" else _fact_probe
                    return await _probes(run, drawn, reader.shows, seconds)

            found["committed"] = _streamed(run, committed, seconds, rate, FIRST_STREAMED, contender.feed)
            process.check()
            port = environment.get("BENCH_PORT")
            if port is not None:

                async def over_http() -> list[float]:
                    async with BalanceReader(int(port), b"404") as reader:
                        return await _probes(run, lambda n: probe(SECOND_VIEW + n), reader.shows, seconds)

                found["over_http"] = _streamed(run, over_http, seconds, rate, 2 * FIRST_STREAMED, "toy")
            return found


def _fact_probe(number: int) -> Probe:
    """Return a user who has no other line, and a line of the real domain."""
    user = f"p{number:08d}"
    return user, fact(9_000_000 + number, user, 1_000, "paid", "12", 0)


async def _prime(run: Run, contender: Contender, primer: int, check: Callable[[], None]) -> None:
    job = Job(run, contender.feed, contender.accounts(run))
    await job.prepare()
    await job.fill(primer, 0)
    async with job.watch(check):
        await job.done(START_SECONDS_MAX)


def _streamed(
    run: Run,
    measured: Callable[[], Awaitable[list[float]]],
    seconds: float,
    rate: float,
    first: int,
    feed: str,
) -> Measurements:
    """Probe while orders stream; return the figures."""
    with stream_orders(run, rate, seconds + 2 * SETTLING_S, first, feed) as stream:
        begun(stream)
        time.sleep(SETTLING_S)
        took = sorted(asyncio.run(_awaited(measured)))
        paced = answer(stream, seconds + 60)
    return {
        "rate": paced["per_second"],
        "probes": len(took),
        "p50_ms": percentile(took, 0.5) * 1e3,
        "p99_ms": percentile(took, 0.99) * 1e3,
        "max_ms": took[-1] * 1e3,
        "producer_latest_ms": paced["latest_ms"],
    }


async def _awaited(measured: Callable[[], Awaitable[list[float]]]) -> list[float]:
    return await measured()


async def _probes(run: Run, drawn: Callable[[int], Probe], sight: Sight, seconds: float) -> list[float]:
    """Send orders of new users, one after the other, and wait for each until it shows; return seconds."""
    producer = AIOKafkaProducer(bootstrap_servers=run.place.broker, acks="all", linger_ms=0)
    await producer.start()
    took: list[float] = []
    try:
        began = time.perf_counter()
        while (number := len(took)) < 1 or time.perf_counter() - began < seconds:
            user, order = drawn(number)
            sent_at = time.perf_counter()
            await producer.send(run.topics.orders, order.value, key=order.key)
            async with asyncio.timeout(VISIBLE_SECONDS_MAX):
                await sight(user)
            took.append(time.perf_counter() - sent_at)
            await asyncio.sleep(max(0.0, began + len(took) / PROBES_PER_S - time.perf_counter()))
    finally:
        await producer.stop()
    return took


class BalanceReader:
    """Requests for balances on one connection; an answer that has `missing` does not show the order."""

    def __init__(self, port: int, missing: bytes) -> None:
        self._port = port
        self._missing = missing

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def shows(self, user: str) -> None:
        """Return when the user's balance shows something."""
        while self._missing in await self._balance(user):  # noqa: ASYNC110 - that is the row
            await asyncio.sleep(POLL_S)

    async def _balance(self, user: str) -> bytes:
        """Return the status and the body."""
        self._writer.write(f"GET /v1/users/{user}/balance HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head.split(b" ", 2)[1] + b" " + await self._reader.readexactly(length)


class Committed:
    """A reader of committed accounts, from the changelog's end on."""

    def __init__(self, broker: str, topic: str) -> None:
        self._spots = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=broker, isolation_level="read_committed", enable_auto_commit=False
        )
        self._seen: dict[bytes, asyncio.Event] = {}

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._spots)
        await self._consumer.seek_to_end(*self._spots)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        await self._consumer.stop()

    async def _read(self) -> None:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    found = None if record.key is None else PROBED.search(record.key)
                    if found is not None:
                        self._event(found.group()).set()

    async def shows(self, user: str) -> None:
        """Return when an account of the user is committed."""
        await self._event(user.encode()).wait()

    def _event(self, key: bytes) -> asyncio.Event:
        return self._seen.setdefault(key, asyncio.Event())
