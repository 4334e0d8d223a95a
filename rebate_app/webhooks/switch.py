"""Pause and resume the webhooks of all workers: a record in the topic of operators' decisions.

The app's newest record holds, also for workers that start later, which read it before their first attempt. It
shares the decisions topic, which every worker may read and every operator may write.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka.errors import KafkaError
from msgspec import Struct
from msgspec.json import Decoder, Encoder

from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaProducer
from rebate_app.streams.kafka.control_topic import ControlTopic
from rebate_app.wire.decisions import SWITCH_KEY_PREFIX
from rebate_app.wire.moments import format_moment
from rebate_app.wire.unreadable import BadRecord, Skip, decode_with, ignore_skipped

READ_AGAIN_S = 5.0
UNREADABLE_REMEDY = "webhooks are paused until somebody runs `rebate webhooks resume`"
SECONDS_MAX = 15.0

log = logging.getLogger(__name__)


class Switch(Struct, frozen=True):
    """Whether webhooks are paused, and by whom, when and why."""

    paused: bool = False
    by: str = ""
    at: str = ""
    why: str = ""


RUNNING = Switch()
_encode = Encoder().encode
_decode = Decoder(Switch).decode


def switch_key(scope: str) -> bytes:
    """Return the key of an app's switch; it is not a place, so readers of decisions skip it."""
    return f"{SWITCH_KEY_PREFIX}{scope}".encode()


async def write_switch(
    options: Mapping[str, Any],
    topic: str,
    scope: str,
    switch: Switch,
    trail: tuple[str, bytes, bytes] | None = None,
) -> Switch:
    """Write the switch for all workers; return it with its time. KafkaError: it may not be written.

    `trail`: topic, key and value of the audit trail's record, which is written before.
    """
    written = Switch(switch.paused, switch.by, format_moment(time.time_ns() // 1_000), switch.why)
    producer = AIOKafkaProducer(enable_idempotence=True, acks="all", **options)
    async with asyncio.timeout(SECONDS_MAX):
        await producer.start()
        try:
            if trail is not None:
                trail_topic, key, value = trail
                await producer.send_and_wait(trail_topic, value, key, 0)
            await producer.send_and_wait(topic, _encode(written), switch_key(scope), 0)
        finally:
            await producer.stop()
    return written


async def read_switch(options: Mapping[str, Any], topic: str, scope: str) -> Switch:
    """Return the switch that holds now."""
    switches = SwitchTopic(topic, scope)
    await switches.read_once(options)
    return switches.held


async def follow_switch(
    options: Mapping[str, Any],
    topic: str,
    scope: str,
    on_change: Callable[[Switch], None],
    skip: Skip = ignore_skipped,
) -> None:
    """Call `on_change` with the switch once it is known, and again after every change, until cancelled."""
    switches = SwitchTopic(topic, scope, skip)
    while True:
        try:
            await switches.follow(options, lambda: on_change(switches.held))
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("whether webhooks are paused cannot be read now: %r", error)
        await asyncio.sleep(READ_AGAIN_S)


def decode_switch(value: bytes | None) -> Switch:
    """Return the switch, RUNNING for a tombstone; UnreadableValueError for what this version cannot read."""
    return RUNNING if value is None else decode_with(_decode, value)


class SwitchTopic(ControlTopic[bytes, Switch]):
    """One app's switch among the decisions; one that cannot be decoded pauses, rather than send too much."""

    def __init__(self, topic: str, scope: str, skip: Skip = ignore_skipped) -> None:
        super().__init__(topic, self._decode_switch, skip)
        self._key = switch_key(scope)
        self._skip_switch = skip

    @property
    def held(self) -> Switch:
        """Return the switch that holds."""
        return self.entries.get(self._key, RUNNING)

    def _decode_switch(self, key: bytes | None, value: bytes | None) -> tuple[bytes, Switch] | None:
        return (self._key, decode_switch(value)) if key == self._key else None

    def unreadable(self, key: bytes | None, bad: BadRecord) -> bool:
        """Pause."""
        del key
        self._skip_switch(BadRecord(bad.place, bad.fault, UNREADABLE_REMEDY))
        self.entries[self._key] = Switch(paused=True, why="what was written cannot be read by this version")
        return True
