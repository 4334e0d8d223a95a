"""Records that are larger than their topic takes uncompressed, as a compressing client sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from aiokafka import AIOKafkaProducer

from rebate_app.streams.kafka.clients import started
from rebate_app.wire.failure_headers import Header
from tests.rig.system import System
from tests.streams.failures.poison import order, raw
from tests.streams.failures.sending import now_ms
from tests.streams.failures.test_stops import set_max_bytes

MIB = 1_048_576
CLIENT_BYTES_MAX = 64 * MIB


def padded(line: str, size_bytes: int, **members: Any) -> bytes:
    """Return a snapshot with a member of that size that decides nothing."""
    return raw(order(line, **members) | {"pad": "x" * size_bytes})


def send_compressed(
    system: System,
    topic: str,
    key: bytes,
    value: bytes,
    headers: Sequence[Header] = (),
    partition: int | None = None,
) -> str:
    """Send one record compressed with gzip; return its place as the id of its dead letter.

    A given partition saves the hash of a large key, which takes the client seconds.
    """

    async def send() -> Any:
        client = AIOKafkaProducer(
            bootstrap_servers=system.settings.broker,
            compression_type="gzip",
            max_request_size=CLIENT_BYTES_MAX,
        )
        async with started(client) as producer:
            return await producer.send_and_wait(
                topic, value, key=key, partition=partition, timestamp_ms=now_ms(), headers=list(headers)
            )

    sent = asyncio.run(send())
    return f"{sent.topic}/{sent.partition}/{sent.offset}"


def take(system: System, topic: str, size_bytes: int) -> None:
    """Have a topic take batches of that size."""
    set_max_bytes(system, topic, size_bytes)


def hash_of(value: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return sha256(value).hexdigest()
