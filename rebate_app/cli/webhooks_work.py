"""What `rebate webhooks` does, apart from the words in which it is asked and said."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec.structs import asdict

from rebate_app.lane.admin import ensure_topics
from rebate_app.lane.connection import client_options
from rebate_app.settings import Settings
from rebate_app.webhooks.backlog import read_backlog
from rebate_app.webhooks.courier import plan_of
from rebate_app.webhooks.post import Poster
from rebate_app.webhooks.queues import Queues
from rebate_app.webhooks.switch import Switch, read_switch, write_switch
from rebate_app.wire.moments import format_moment
from rebate_app.wire.topics import Topics

from .kafka_view import KafkaView
from .lag import Committed, lag_of

FIRST_WITHIN_S = 5.0
BODY_SHOWN_BYTES_MAX = 2_048


async def looked_at(settings: Settings) -> dict[str, Any]:
    """Return everything that status says: what the next owner of each partition would find."""
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
    ages = [head.travel.event_at for each in queues.values() for head in each.heads()]
    starts = {n: committed[topics.events, n].offset for n, lag in unread.items() if lag}
    ages += await _first_moments(options, topics.events, starts)
    waiting = {topics.events: sum(unread.values())}
    waiting |= {topic: levels[level] for level, topic in enumerate(topics.events_retries)}
    return {
        "url": settings.webhook_url or None,
        "switch": asdict(await read_switch(options, topics.decisions, settings.scope)),
        "waiting": [{"topic": topic, "events": count} for topic, count in waiting.items()],
        "oldest_undelivered_seconds": max(0.0, time.time() - min(ages) / 1_000) if ages else None,
    }


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
    waiting = {TopicPartition(topic, number): start for number, start in starts.items()}
    if not waiting:
        return []
    found: list[int] = []
    consumer = AIOKafkaConsumer(isolation_level="read_committed", auto_offset_reset="earliest", **options)
    try:
        await consumer.start()
        consumer.assign(list(waiting))
        for spot, start in waiting.items():
            consumer.seek(spot, start)
        deadline = time.monotonic() + FIRST_WITHIN_S
        while waiting and time.monotonic() < deadline:
            for spot, records in (await consumer.getmany(*waiting, timeout_ms=100)).items():
                found.append(records[0].timestamp)
                del waiting[spot]
                consumer.pause(spot)
    finally:
        await consumer.stop()
    return found


async def switched(settings: Settings, by: str, why: str, *, paused: bool) -> dict[str, Any]:
    """Have all workers pause or go on; return what was written."""
    await ensure_topics(settings)
    topic, switch = Topics.of(settings).decisions, Switch(paused, by, "", why)
    return asdict(await write_switch(client_options(settings), topic, settings.scope, switch))


async def tried(settings: Settings) -> dict[str, Any]:
    """Send a test event to the URL; return what was answered."""
    event = {
        "schema": "rebate-event/1",
        "event_id": uuid4().hex,
        "kind": "webhook.test",
        "user_id": None,
        "at": format_moment(time.time_ns() // 1_000),
    }
    async with Poster(settings) as poster:
        answered = await poster.post(json.dumps(event).encode(), 1)
    body = answered.body[:BODY_SHOWN_BYTES_MAX].decode("utf-8", "replace")
    return {
        "outcome": answered.outcome if answered.outcome != "retry" else "failed",
        "code": answered.code,
        "status": answered.status,
        "seconds": answered.seconds,
        "detail": answered.detail,
        "body": body,
        "event": event,
    }
