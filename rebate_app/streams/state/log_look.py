"""Looks at logs: ids of cluster and topics, and begin and end of every partition that has a leader."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition

from ..kafka.aiokafka_clients import AIOKafkaConsumer, translated
from ..kafka.clients import KeptConsumer, started
from .log_identity import request_ids
from .log_losses import SeenLogs

LOOK_SECONDS_MAX = 10.0


async def look(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> SeenLogs:
    """Return the logs as they are now; the consumer is connected, without a group, read_uncommitted.

    KafkaError, OSError (TimeoutError after 10 s): nothing is known.
    """
    with translated():
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            ids = await request_ids(consumer._client, topics)  # noqa: SLF001 - pinned aiokafka
            led = [
                TopicPartition(name, number)
                for name, leaders in ids.leaders.items()
                for number, leader in leaders.items()
                if leader >= 0
            ]
            ends = await consumer.end_offsets(led) if led else {}
            begins = await consumer.beginning_offsets(led) if led else {}
    return SeenLogs(
        ids,
        {(spot.topic, spot.partition): end for spot, end in ends.items()},
        {(spot.topic, spot.partition): begin for spot, begin in begins.items()},
    )


class LogLooker:
    """Looks again and again with one connection, which is renewed after a failure; `close` ends it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._consumer = KeptConsumer({"enable_auto_commit": False, **options}, LOOK_SECONDS_MAX)
        self._lock = asyncio.Lock()

    async def look(self, topics: Sequence[str]) -> SeenLogs:
        """Return the logs as they are now. KafkaError, OSError: nothing is known."""
        async with self._lock:
            try:
                return await look(await self._consumer.get(), topics)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Close the connection; another look opens one."""
        await self._consumer.close()


async def look_once(options: Mapping[str, Any], topics: Sequence[str]) -> SeenLogs:
    """Return the logs as they are now, with a connection of its own. KafkaError, OSError."""
    async with started(AIOKafkaConsumer(enable_auto_commit=False, **options), LOOK_SECONDS_MAX) as consumer:
        return await look(consumer, topics)
