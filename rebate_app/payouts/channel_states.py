"""The states of all channels, followed by every worker from the topic `rebate-channels`.

What cannot be known to be open does not send: a channel that the topic does not name is closed, one whose
record cannot be read too, and a worker that has not reached the topic's end for FRESH_SECONDS treats all as
paused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError

from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer, AIOKafkaProducer
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.control_topic import ControlTopic
from rebate_app.streams.kafka.lease_clock import lease_clock
from rebate_app.streams.kafka.log_reader import SPAN_OPTIONS
from rebate_app.wire.channel_states import (
    NEVER_OPENED,
    NOT_READABLE,
    OPEN,
    PAUSED,
    ChannelState,
    decode_state,
    encode_state,
)
from rebate_app.wire.unreadable import BadRecord, Skip, ignore_skipped

FRESH_SECONDS: Final = 10.0
READ_EVERY_SECONDS: Final = 0.5
READ_SECONDS_MAX: Final = 8.0
WRITE_SECONDS_MAX: Final = 15.0

log = logging.getLogger(__name__)


class ChannelStates(ControlTopic[str, ChannelState]):
    """What the topic holds, and since when this worker knows that it is all."""

    def __init__(
        self, topic: str, skip: Skip = ignore_skipped, clock: Callable[[], float] = lease_clock
    ) -> None:
        super().__init__(topic, decode_state, skip)
        self.topic = topic
        self._clock = clock
        self._whole_at: float | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether the topic's end was reached within FRESH_SECONDS."""
        return self._whole_at is not None and self._clock() - self._whole_at < FRESH_SECONDS

    def state(self, channel: str) -> ChannelState:
        """Return the channel's state as this worker has read it."""
        return self.entries.get(channel, NEVER_OPENED)

    def is_open(self, channel: str) -> bool:
        """Whether payouts may be sent: it is open, and nothing newer can have been missed."""
        return self.is_fresh and self.state(channel).state == OPEN

    def effective(self, channel: str) -> str:
        """Return the state by which this worker acts."""
        state = self.state(channel).state
        return PAUSED if state == OPEN and not self.is_fresh else state

    def unreadable(self, key: bytes | None, bad: BadRecord) -> bool:
        """Close the channel."""
        super().unreadable(key, bad)
        self.entries[(key or b"").decode("utf-8", "replace")] = NOT_READABLE
        return True

    async def watch(self, options: Mapping[str, Any]) -> None:
        """Follow the topic until cancelled; the broker's failures are waited for."""
        while True:
            try:
                async with started(AIOKafkaConsumer(**SPAN_OPTIONS, **options)) as consumer:
                    while True:
                        await self._read_whole(consumer)
                        await asyncio.sleep(READ_EVERY_SECONDS)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("the states of channels cannot be read for now: %r", error)
                await asyncio.sleep(READ_EVERY_SECONDS)

    async def _read_whole(self, consumer: AIOKafkaConsumer) -> None:
        requested_at = self._clock()
        async with asyncio.timeout(READ_SECONDS_MAX):
            await self.read(consumer)
        self._whole_at = requested_at

    async def write(self, options: Mapping[str, Any], channel: str, state: ChannelState) -> None:
        """Write a channel's state; KafkaError, TimeoutError: it may not be written."""
        key, value = encode_state(channel, state)
        producer = AIOKafkaProducer(enable_idempotence=True, acks="all", **options)
        async with asyncio.timeout(WRITE_SECONDS_MAX):
            await producer.start()
            try:
                await producer.send_and_wait(self.topic, value, key, 0)
            finally:
                await producer.stop()


def now_ms() -> int:
    """Return the moment in ms since 1970."""
    return time.time_ns() // 1_000_000
