"""Since when an app tells events: decided once, at its first start, and kept in its registry.

Law: all workers of an app, and its audit, read the same decision, however many of them started at once:
each that finds none writes one under a key of its own, which no compaction takes away, and the first in
the log counts. It is separate from the registry of rules because that refuses what does not fit, and this
decides what nobody has said yet (docs/adr/0009-events.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import MsgspecError, Struct, field
from msgspec.json import Decoder, Encoder

from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import FIRST_START_PREFIX, Topics

from .admin import BrokerUnavailableError
from .connection import client_options
from .registry import read_registry

#: Before every timestamp that a record can have: Kafka's own "none" is -1.
EVERYTHING_MS = -1


class FirstStart(Struct, frozen=True):
    """What holds from the app's first start on (format 1).

    Events tell of records with a timestamp of `since_ms` or later, in ms since 1970. `begin` (JSON: `from`)
    are the offsets at which each partition of `rebate-events` ended then: everything before them was sent
    by others. It may be shorter than there are partitions: those end at 0.
    """

    since_ms: int = EVERYTHING_MS
    begin: list[int] = field(default_factory=list, name="from")
    format: int = 1


_encode = Encoder().encode
_decode = Decoder(FirstStart).decode


def decide(
    asked: datetime | str | None, registry: Mapping[str, str], ends: Sequence[int], now_ms: int
) -> FirstStart:
    """Return since when to tell: as asked, else of everything where nobody can have been told, else from now.

    `registry`: what it holds, nothing for a new app. `ends`: of the partitions of `rebate-events`.
    """
    if isinstance(asked, datetime):
        since_ms = int(asked.timestamp() * 1_000)
    elif asked is not None or (not registry and not any(ends)):
        since_ms = EVERYTHING_MS
    else:
        since_ms = now_ms
    return FirstStart(since_ms, list(ends))


def first_in(registry: Mapping[str, str]) -> FirstStart | None:
    """Return what was decided first, None while nothing is; `registry` is in the order of the log."""
    for key, value in registry.items():
        if key.startswith(FIRST_START_PREFIX):
            try:
                return _decode(value)
            except MsgspecError as error:
                raise ConfigurationError(f"the registry's {key!r} cannot be read: {error}") from error
    return None


async def first_start(settings: Settings, topics: Topics, now_ms: int) -> FirstStart:
    """Return what was decided at the app's first start, and decide it if this is the first."""
    try:
        registry = await read_registry(settings, topics)
        decided = first_in(registry)
        if decided is None:
            ends = await _ends(settings, topics.events)
            await _write(settings, topics.rules, decide(settings.events_since, registry, ends, now_ms))
            decided = first_in(await read_registry(settings, topics))
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


async def _write(settings: Settings, topic: str, decided: FirstStart) -> None:
    producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **client_options(settings))
    await producer.start()
    try:
        key = f"{FIRST_START_PREFIX}{uuid4().hex}".encode()
        await producer.send_and_wait(topic, _encode(decided), key=key, partition=0)
    finally:
        await producer.stop()
