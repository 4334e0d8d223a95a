"""Pause and resume, for all workers and for good: a record among the decisions of operators.

Law: the newest record of this app holds, also for workers that start later; a worker knows it before its
first attempt. It is kept where dead letters' decisions are, which every worker may read and every operator
write.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from rebate_app.wire.moments import format_moment

KEY_PREFIX = "webhooks "
LOOK_EVERY_MS = 500
READ_AGAIN_S = 5.0
SECONDS_MAX = 15.0

log = logging.getLogger(__name__)


class Switch(Struct, frozen=True):
    """Whether webhooks are paused, and who said so when and why."""

    paused: bool = False
    by: str = ""
    at: str = ""
    why: str = ""


RUNNING = Switch()
_encode = Encoder().encode
_decode = Decoder(Switch).decode


def switch_key(scope: str) -> bytes:
    """Return the key of an app's switch; it is no place, so who reads decisions passes it over."""
    return f"{KEY_PREFIX}{scope}".encode()


async def write_switch(options: Mapping[str, Any], topic: str, scope: str, switch: Switch) -> Switch:
    """Have all workers pause or go on; return what was written. KafkaError: it is not known to be."""
    told = Switch(switch.paused, switch.by, format_moment(time.time_ns() // 1_000), switch.why)
    producer = AIOKafkaProducer(enable_idempotence=True, acks="all", **options)
    async with asyncio.timeout(SECONDS_MAX):
        await producer.start()
        try:
            await producer.send_and_wait(topic, _encode(told), switch_key(scope), 0)
        finally:
            await producer.stop()
    return told


async def read_switch(options: Mapping[str, Any], topic: str, scope: str) -> Switch:
    """Return what holds now."""
    found = RUNNING
    async for switch in _switches(options, topic, scope):
        if switch is None:
            return found
        found = switch
    return found


async def follow_switch(
    options: Mapping[str, Any], topic: str, scope: str, tell: Callable[[Switch], None]
) -> None:
    """Tell what holds once it is known, and again with every change, for ever."""
    while True:
        try:
            found, known = RUNNING, False
            async for switch in _switches(options, topic, scope):
                if switch is None and not known:
                    known = True
                    tell(found)
                elif switch is not None:
                    found = switch
                    if known:
                        tell(found)
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("whether webhooks are paused cannot be read now: %r", error)
        await asyncio.sleep(READ_AGAIN_S)


async def _switches(options: Mapping[str, Any], topic: str, scope: str) -> Any:
    """Iterate over the app's switches as they come; None each time that nothing is left to be read."""
    spot, key = TopicPartition(topic, 0), switch_key(scope)
    consumer = AIOKafkaConsumer(
        isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="earliest", **options
    )
    try:
        await consumer.start()
        consumer.assign([spot])
        await consumer.seek_to_beginning(spot)
        end = (await consumer.end_offsets([spot]))[spot]
        while True:
            for record in (await consumer.getmany(spot, timeout_ms=LOOK_EVERY_MS)).get(spot, ()):
                if record.key == key:
                    yield _read(record.value)
            if await consumer.position(spot) >= end:
                yield None
    finally:
        await consumer.stop()


def _read(value: bytes | None) -> Switch:
    try:
        return RUNNING if value is None else _decode(value)
    except DecodeError:  # of a version that we do not know: rather wait than send what should not be
        return Switch(paused=True, why="what was written cannot be read by this version")
