"""Write and read records as any client would, to see what a broker holds."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

CALL_SECONDS_MAX = 60


def write(address: str, topic: str, values: list[bytes]) -> None:
    """Make the topic, one partition with a replica on each node, and have all values acknowledged."""
    asyncio.run(asyncio.wait_for(_write(address, topic, values), CALL_SECONDS_MAX))


def read(address: str, topic: str, count: int) -> list[bytes]:
    """Return the first `count` values of the topic, as soon as a `read_committed` reader sees them."""
    return asyncio.run(asyncio.wait_for(_read(address, topic, count), CALL_SECONDS_MAX))


def topics(address: str) -> set[str]:
    """Return the names of all topics."""
    return asyncio.run(asyncio.wait_for(_topics(address), CALL_SECONDS_MAX))


async def _write(address: str, topic: str, values: list[bytes]) -> None:
    replicas = len(address.split(","))
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=replicas)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id=f"{topic}-writer", acks="all")
    await producer.start()
    try:
        async with producer.transaction():
            for value in values:
                await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def _read(address: str, topic: str, count: int) -> list[bytes]:
    # A commit is answered once it is decided; its markers, and with them the records, come a little
    # later (after a kill: with the next start). So the end is a number of records and not an offset.
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        values: list[bytes] = []
        while len(values) < count:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                values += [record.value for record in records]
        return values
    finally:
        await consumer.stop()


async def _topics(address: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()
