"""A producer that keeps a rate: orders in small groups, each at its moment, acknowledged by all replicas.

It says how late it was, so a producer that could not keep up is seen. In a process of its own:

    python -m bench.pace --broker B --topic T --rate 5000 --seconds 30 [--first N] [--lines L]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from itertools import chain, count, islice

from aiokafka import AIOKafkaProducer

from bench.facts import fact_again, life
from bench.orders import DRAWN, Row, orders

EVERY_S = 0.01


async def keep(broker: str, topic: str, rows: Iterator[Row], rate: float, seconds: float) -> dict[str, float]:
    """Send so many rows a second; return how many were sent and how late the latest group was."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, acks="all", enable_idempotence=True, linger_ms=0, max_batch_size=65_536
    )
    await producer.start()
    began, sent, latest = time.perf_counter(), 0, 0.0
    unacknowledged: list[asyncio.Future[object]] = []
    try:
        for group in count(1):
            due = began + group * EVERY_S
            late = time.perf_counter() - due
            latest = max(latest, late)
            if late < 0:
                await asyncio.sleep(-late)
            if group * EVERY_S > seconds:
                break
            for row in islice(rows, int(group * EVERY_S * rate) - sent):
                unacknowledged.append(await producer.send(topic, row.value, key=row.key))
                sent += 1
            if len(unacknowledged) > rate:
                await asyncio.gather(*unacknowledged)
                unacknowledged.clear()
        await asyncio.gather(*unacknowledged)
    finally:
        await producer.stop()
    return {"sent": sent, "per_second": sent / (time.perf_counter() - began), "latest_ms": latest * 1e3}


def recurring(lines: int, first: int = 0) -> Iterator[Row]:
    """Yield the same lines again and again, each time newer and otherwise the same, as networks report."""
    for number in count(first):
        yield fact_again(number % lines, number // lines)


def main() -> None:
    """Print what was sent as JSON."""
    parser = argparse.ArgumentParser(description="orders at a rate")
    parser.add_argument("--broker", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--lines", type=int, default=0, help="so many recurring lines; 0: lines live")
    parser.add_argument("--feed", choices=("life", "toy"), default="life", help="of lines that live")
    given = parser.parse_args()
    wanted = int(given.rate * given.seconds) + DRAWN
    feed = life if given.feed == "life" else orders
    rows = recurring(given.lines, given.first) if given.lines else feed(wanted, first=given.first)
    rows = chain([next(rows)], rows)  # the feed draws all its lines first, which takes a core for seconds
    print("begins", flush=True)
    print(json.dumps(asyncio.run(keep(given.broker, given.topic, rows, given.rate, given.seconds))))


if __name__ == "__main__":
    main()
