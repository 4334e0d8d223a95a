"""Records with header names that are not UTF-8, as librdkafka clients can write them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from rebate_app.streams.kafka.clients import started

#: In a batch of format 2: the checksum, and where the bytes begin that it covers.
CRC_AT, CHECKED_FROM = 17, 21
#: Replaced by bytes of the same length that are not UTF-8.
PLACEHOLDER, RAW_NAME = "bad-name", b"bad\xff\xfename"[:8]
ESCAPED_NAME = "bad\\xff\\xfenam"


def with_raw_names(batch: bytes) -> bytes:
    """Return an uncompressed batch of format 2 with PLACEHOLDER replaced, and its checksum mended."""
    changed = bytearray(batch.replace(PLACEHOLDER.encode(), RAW_NAME))
    struct.pack_into(">I", changed, CRC_AT, calc_crc32c(bytes(changed[CHECKED_FROM:])))
    return bytes(changed)


def produce_with_names(
    broker: str, topic: str, partition: int, records: Sequence[tuple[bytes, bytes, Sequence[str]]]
) -> None:
    """Send (key, value, header names) in one batch; PLACEHOLDER becomes a name that is not UTF-8."""
    asyncio.run(_produce(broker, topic, partition, records))


async def _produce(
    broker: str, topic: str, partition: int, records: Sequence[tuple[bytes, bytes, Sequence[str]]]
) -> None:
    async with started(AIOKafkaProducer(bootstrap_servers=broker)) as producer:
        batch: Any = producer.create_batch()
        for key, value, names in records:
            headers = [(name, b"1") for name in names]
            assert batch.append(timestamp=None, key=key, value=value, headers=headers) is not None
        batch.close()
        build = batch._build
        batch._build = lambda: with_raw_names(bytes(build()))
        await (await producer.send_batch(batch, topic, partition=partition))
