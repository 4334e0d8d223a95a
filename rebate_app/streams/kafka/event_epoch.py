"""The event epoch: from which moment on an app emits events (docs/adr/0009-events.md).

It is decided at the app's first start and kept in its registry. All workers of an app and its audit read the
same epoch, however many workers start at once: a worker that finds none writes one under a unique key, which
compaction keeps, and the first in the log wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import Topics
from rebate_app.wire.unreadable import Skip, UnreadableValueError, ignore_skipped
from rebate_app.wire.used_rules import (
    EVENT_EPOCH_PREFIX,
    EVERYTHING_MS,
    EventEpoch,
    decode_event_epoch,
    encode_event_epoch,
)

from .admin import BrokerUnavailableError
from .aiokafka_clients import AIOKafkaConsumer, AIOKafkaProducer
from .connection import client_options
from .used_rules import read_used_rules

__all__ = ["EVERYTHING_MS", "EventEpoch", "decide", "event_epoch", "first_epoch"]


def decide(
    configured: datetime | str | None, registry: Mapping[str, str], ends: Sequence[int], now_ms: int
) -> EventEpoch:
    """Return the epoch: as configured, else everything for a new app without any event, else from now on.

    `registry`: its contents, empty for a new app. `ends`: of the partitions of `rebate-events`.
    """
    if isinstance(configured, datetime):
        since_ms = int(configured.timestamp() * 1_000)
    elif configured is not None or (not registry and not any(ends)):
        since_ms = EVERYTHING_MS
    else:
        since_ms = now_ms
    return EventEpoch(since_ms, list(ends))


def first_epoch(registry: Mapping[str, str]) -> EventEpoch | None:
    """Return the first epoch, None while there is none; `registry` is in the order of the log."""
    for key, value in registry.items():
        if key.startswith(EVENT_EPOCH_PREFIX):
            try:
                return decode_event_epoch(value.encode())
            except UnreadableValueError as error:
                raise ConfigurationError(f"the registry's {key!r} cannot be read: {error}") from error
    return None


async def event_epoch(
    settings: Settings, topics: Topics, now_ms: int, skip: Skip = ignore_skipped
) -> EventEpoch:
    """Return the app's epoch; decide and write it when the registry has none."""
    try:
        registry = await read_used_rules(settings, topics, skip)
        decided = first_epoch(registry)
        if decided is None:
            ends = await _ends(settings, topics.events)
            await _write(settings, topics.rules, decide(settings.events_since, registry, ends, now_ms))
            decided = first_epoch(await read_used_rules(settings, topics))
    except KafkaError as error:
        raise BrokerUnavailableError(f"the broker at {settings.broker} failed: {error!r}") from error
    if decided is None:
        raise BrokerUnavailableError(f"{topics.rules} does not have what was just written to it")
    return decided


async def _ends(settings: Settings, topic: str) -> list[int]:
    places = [TopicPartition(topic, number) for number in range(settings.partitions)]
    consumer = AIOKafkaConsumer(enable_auto_commit=False, **client_options(settings))
    await consumer.start()
    try:
        ends = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    return [int(ends[place]) for place in places]


async def _write(settings: Settings, topic: str, decided: EventEpoch) -> None:
    producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **client_options(settings))
    await producer.start()
    try:
        key = f"{EVENT_EPOCH_PREFIX}{uuid4().hex}".encode()
        await producer.send_and_wait(topic, encode_event_epoch(decided), key=key, partition=0)
    finally:
        await producer.stop()
