"""Begin a transaction on `order_topic` and never end it, until killed."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer

from rebate_app.settings import load_settings
from rebate_app.streams.kafka.clients import started
from rebate_app.wire.topics import Topics

TIMEOUT_MS = 900_000
HANGING_ID = "nightly-export"


async def main() -> None:
    """Write one record per partition within the transaction."""
    settings = load_settings()
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.broker,
        transactional_id=HANGING_ID,
        transaction_timeout_ms=TIMEOUT_MS,
    )
    async with started(producer):
        await producer.begin_transaction()
        for partition in range(settings.partitions):
            await producer.send_and_wait(Topics.of(settings).orders, b"{}", b"taobao:x", partition)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
