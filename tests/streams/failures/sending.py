"""Sends poison, and reads dead letters back, on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from rebate_app.streams.kafka.clients import started
from rebate_app.wire.failure_headers import texts_of
from tests.rig.system import System
from tests.streams.failures.poison import Poison

Row = tuple[bytes | None, bytes | None, int]  # key, value, timestamp in ms


def send(system: System, topic: str, rows: Sequence[Row], partition: int | None = None) -> list[Any]:
    """Send records with timestamps of their own; return where each stands."""
    return asyncio.run(_send(system.settings.broker, topic, rows, partition))


async def _send(broker: str, topic: str, rows: Sequence[Row], partition: int | None) -> list[Any]:
    sender = AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True, linger_ms=5)
    async with started(sender) as producer:
        sent = [await producer.send(topic, value, key, partition, timestamp_ms=at) for key, value, at in rows]
        return list(await asyncio.gather(*sent))


def now_ms() -> int:
    """Return the moment in ms."""
    return time.time_ns() // 1_000_000


def row_of(poison: Poison) -> Row:
    """Return poison as it is sent."""
    return poison.key, poison.value, now_ms() - poison.age_ms


def send_poison(system: System, poisons: Iterable[Poison]) -> dict[str, Poison]:
    """Send poison to its sources; return it by the id that its dead letter has to have."""
    sent: dict[str, Poison] = {}
    by_source: dict[str, list[Poison]] = {}
    for poison in poisons:
        by_source.setdefault(poison.source, []).append(poison)
    for source, some in by_source.items():
        topic = getattr(system.topics, source)
        places = send(system, topic, [row_of(poison) for poison in some])
        sent |= {
            f"{topic}/{place.partition}/{place.offset}": poison
            for place, poison in zip(places, some, strict=True)
        }
    return sent


def letters(system: System) -> list[Any]:
    """Return all records of both dead-letter topics."""
    return [record for stage in system.topics.stages for record in system.read(stage.dead_letter)]


def id_of(letter: Any) -> str:
    """Return the id of a dead letter."""
    headers = texts_of(letter.headers)
    return "/".join(headers[f"rebate-error-{name}"] for name in ("topic", "partition", "offset"))


def reasons(found: Iterable[Any]) -> Counter[str]:
    """Count dead letters by reason."""
    return Counter(texts_of(letter.headers)["rebate-error-reason"] for letter in found)


def run_json(system: System, *arguments: str, url: str | None = None, code: int = 0) -> Any:
    """Run a command with --json and return what it prints, which has to be so and end with that code."""
    done = system.command(*arguments, "--json", url=url)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def audited(system: System, url: str) -> None:
    """Audit: nothing differs."""
    done = system.command("audit", "--json", url=url)
    assert done.returncode == 0, done.stdout + done.stderr
