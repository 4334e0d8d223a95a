"""The work of the `rebate webhooks` commands, without options and output."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any
from uuid import uuid4

from aiokafka import TopicPartition
from msgspec.structs import asdict

from rebate_app.http_urls import origin
from rebate_app.settings import Settings
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.kafka.log_reader import SpanReader
from rebate_app.webhooks.backlog import read_backlog
from rebate_app.webhooks.poster import Poster
from rebate_app.webhooks.queues import Queues
from rebate_app.webhooks.service import plan_of
from rebate_app.webhooks.switch import Switch, read_switch, write_switch
from rebate_app.wire.audit_trail import encode_trail
from rebate_app.wire.moments import format_moment
from rebate_app.wire.topics import Topics

from .command_trail import command_record
from .exits import CommandError
from .kafka_view import KafkaView
from .lag import Committed, lag_of
from .worker_client import WorkerClient

FIRST_RECORD_SECONDS_MAX = 5.0
BODY_SHOWN_BYTES_MAX = 2_048


async def read_status(settings: Settings) -> dict[str, Any]:
    """Return the status: what the workers deliver, and what the next owner of each partition would find.

    `workers` is None where no worker answers at REBATE_URL; then `url` is the one of this environment.
    """
    workers = await _read_workers(settings)
    await ensure_topics(settings)
    topics, options = Topics.of(settings), client_options(settings)
    async with KafkaView(settings) as view:
        committed = {
            (topic, number): at
            for topic in (topics.events, *topics.events_retries)
            for number, at in (await view.committed(topic)).items()
        }
        unread = {each.partition: each.lag for each in await lag_of(view, topics.events)}
    queues = await _restored(settings, topics, committed)
    levels = Counter(delivery.level for each in queues.values() for delivery in each.waiting())
    ages = [head.state.event_at for each in queues.values() for head in each.heads()]
    starts = {n: committed[topics.events, n].offset for n, lag in unread.items() if lag}
    ages += await _first_moments(options, topics.events, starts)
    waiting = {topics.events: sum(unread.values())}
    waiting |= {topic: levels[level] for level, topic in enumerate(topics.events_retries)}
    return {
        "url": _target(settings, workers),
        "workers": workers,
        "switch": asdict(await read_switch(options, topics.decisions, settings.scope)),
        "waiting": [{"topic": topic, "events": count} for topic, count in waiting.items()],
        "oldest_undelivered_seconds": max(0.0, time.time() - min(ages) / 1_000) if ages else None,
    }


async def _read_workers(settings: Settings) -> list[dict[str, Any]] | None:
    """Return what each worker answers about its deliveries, None where none answers."""
    try:
        async with WorkerClient(settings.url) as client:
            return list((await client.get("/v1/webhooks"))["items"])
    except CommandError:
        return None


def _target(settings: Settings, workers: list[dict[str, Any]] | None) -> str | None:
    """Return where the workers deliver to, without workers the URL of this environment."""
    if workers is None:
        return origin(settings.webhook_url) or None
    targets = sorted({each["target"] for each in workers if each.get("target")})
    return " and ".join(targets) or None


async def _restored(
    settings: Settings, topics: Topics, committed: dict[tuple[str, int], Committed]
) -> dict[int, Queues]:
    """Return the partitions' queues as their next owners would restore them."""
    queues = {
        n: Queues(plan_of(settings, topics), lambda: 0) for topic, n in committed if topic == topics.events
    }
    starts = {where: at.offset for where, at in committed.items() if where[0] != topics.events}
    await read_backlog(
        client_options(settings), starts, lambda record: queues[record.partition].restore(record)
    )
    for number, each in queues.items():
        each.begin(committed[topics.events, number].offset)
    return queues


async def _first_moments(options: dict[str, Any], topic: str, starts: dict[int, int]) -> list[int]:
    """Return the timestamp of the first record from each offset on, as far as they come soon."""
    if not starts:
        return []
    spans = {TopicPartition(topic, number): (start, None) for number, start in starts.items()}
    found: dict[TopicPartition, int] = {}
    client = AIOKafkaConsumer(isolation_level="read_committed", auto_offset_reset="earliest", **options)
    async with started(client) as consumer:
        reader = SpanReader(consumer, spans)
        deadline = time.monotonic() + FIRST_RECORD_SECONDS_MAX
        while reader.waiting and time.monotonic() < deadline:
            for spot, records in (await reader.poll()).items():
                found[spot] = records[0].timestamp
                if spot in reader.waiting:
                    reader.drop(spot)
    return list(found.values())


async def set_paused(settings: Settings, by: str, why: str, *, paused: bool) -> dict[str, Any]:
    """Pause or resume all workers; return the switch written."""
    await ensure_topics(settings)
    topics, switch = Topics.of(settings), Switch(paused, by, "", why)
    record = command_record("webhooks.pause" if paused else "webhooks.resume", None, by, why)
    trail = (topics.audit_trail, *encode_trail(record))
    return asdict(
        await write_switch(client_options(settings), topics.decisions, settings.scope, switch, trail)
    )


async def send_test(settings: Settings) -> dict[str, Any]:
    """Send a test event to the URL; return the response."""
    event = {
        "schema": "rebate-event/1",
        "event_id": uuid4().hex,
        "kind": "webhook.test",
        "user_id": None,
        "at": format_moment(time.time_ns() // 1_000),
    }
    async with Poster(settings) as poster:
        result = await poster.post(json.dumps(event).encode(), 1)
    body = result.body[:BODY_SHOWN_BYTES_MAX].decode("utf-8", "replace")
    return {
        "outcome": result.outcome if result.outcome != "retry" else "failed",
        "code": result.code,
        "status": result.status,
        "seconds": result.seconds,
        "detail": result.detail,
        "body": body,
        "event": event,
    }
