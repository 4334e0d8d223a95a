"""Write and read records as any client would, to see what a broker holds."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from rebate_app.streams.kafka.clients import PatientAdmin, started

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
    async with started(PatientAdmin(bootstrap_servers=address)) as admin:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=replicas)])
    writer = AIOKafkaProducer(bootstrap_servers=address, transactional_id=f"{topic}-writer", acks="all")
    async with started(writer) as producer, producer.transaction():
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def _read(address: str, topic: str, count: int) -> list[bytes]:
    # A commit is answered once it is decided; its markers, and with them the records, come a little
    # later (after a kill: with the next start). So the end is a number of records and not an offset.
    reader = AIOKafkaConsumer(
        bootstrap_servers=address, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    values: list[bytes] = []
    async with started(reader) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        while len(values) < count:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                values += [record.value for record in records]
    return values


async def _topics(address: str) -> set[str]:
    async with started(PatientAdmin(bootstrap_servers=address)) as admin:
        return set(await admin.list_topics())
