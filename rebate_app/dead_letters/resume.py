"""Resume halted partitions: write to the topic of decisions up to which record limits do not halt them.

The owner of a partition follows that topic while the partition is halted, whichever worker it is, and after
a restart too. Resuming twice is safe: an offset that was resumed stays resumed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

from aiokafka import TopicPartition

from rebate_app.settings import Settings
from rebate_app.streams.kafka.admin import BrokerUnavailableError, admin_client, describe_topics
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer, AIOKafkaProducer
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.kafka.group_halts import HaltedPartition, read_halts
from rebate_app.wire.audit_trail import TrailRecord, encode_trail
from rebate_app.wire.moments import format_moment
from rebate_app.wire.resumptions import Resumption, encode_resumption
from rebate_app.wire.topics import Topics

WRITE_SECONDS_MAX = 15.0


async def halted_partitions(settings: Settings) -> list[HaltedPartition]:
    """Return the app's halted partitions. BrokerUnavailableError: no broker answers."""
    topics = Topics.of(settings)
    specs = [spec for spec in topics.specs(settings) if spec.name in topics.sources]
    async with admin_client(settings) as admin:
        found = await describe_topics(admin, specs)
        spots = [TopicPartition(name, number) for name, topic in found.items() for number in topic.partitions]
        return await read_halts(admin, settings.scope, spots)


async def resume(
    settings: Settings,
    halted: Collection[HaltedPartition],
    by: str,
    why: str,
    *,
    waiting: bool = False,
    trail: TrailRecord | None = None,
) -> list[tuple[HaltedPartition, Resumption]]:
    """Write a resumption of each partition; return them. BrokerUnavailableError, KafkaError: try again.

    It holds through the record before which the partition is halted; with `waiting`, through everything that
    the partition has now. `trail`: the audit trail's record, which is written before.
    """
    at = format_moment(time.time_ns() // 1_000)
    through = await _ends(settings, halted) if waiting else {}
    resumptions = [
        (each, Resumption(max(each.offset, through.get((each.topic, each.partition), 0) - 1), by, at, why))
        for each in halted
    ]
    topics = Topics.of(settings)
    producer = AIOKafkaProducer(enable_idempotence=True, acks="all", **client_options(settings))
    try:
        async with asyncio.timeout(WRITE_SECONDS_MAX), started(producer):
            if trail is not None:
                key, value = encode_trail(trail)
                await producer.send_and_wait(topics.audit_trail, value, key, 0)
            for each, resumption in resumptions:
                key, value = encode_resumption(settings.scope, each.topic, each.partition, resumption)
                await producer.send_and_wait(topics.decisions, value, key, 0)
    except OSError as error:  # TimeoutError too
        raise BrokerUnavailableError(f"the resumption is not acknowledged: {error!r}") from error
    return resumptions


async def _ends(settings: Settings, halted: Collection[HaltedPartition]) -> dict[tuple[str, int], int]:
    options: dict[str, Any] = client_options(settings)
    async with started(AIOKafkaConsumer(enable_auto_commit=False, **options)) as consumer:
        ends = await consumer.end_offsets([TopicPartition(each.topic, each.partition) for each in halted])
    return {(spot.topic, spot.partition): end for spot, end in ends.items()}
