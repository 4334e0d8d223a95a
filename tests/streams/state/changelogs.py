"""Changelogs for tests of restoring: a topic of one partition, and writers with and without transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete

from rebate_app.streams.kafka.clients import PatientAdmin, started

Changes = Mapping[bytes, bytes | None]


class Changelog:
    """A compacted topic of one partition on a real Kafka."""

    def __init__(self, address: str, topic: str) -> None:
        self.options: dict[str, Any] = {"bootstrap_servers": address}
        self.topic = topic
        self.tp = TopicPartition(topic, 0)

    async def create(self, **config: str) -> None:
        """Create it; underscores in names of its configuration are dots."""
        topic_configs = {"cleanup.policy": "compact"} | {
            name.replace("_", "."): value for name, value in config.items()
        }
        async with self._admin() as admin:
            await admin.create_topics([NewTopic(self.topic, 1, 1, topic_configs=topic_configs)])

    async def delete_before(self, offset: int) -> None:
        """Move the log's start."""
        async with self._admin() as admin:
            await admin.delete_records({self.tp: RecordsToDelete(before_offset=offset)})

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[PatientAdmin]:
        async with started(PatientAdmin(**self.options)) as admin:
            yield admin

    @asynccontextmanager
    async def writer(self, name: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
        """Give a producer, transactional when it has a name."""
        writer = AIOKafkaProducer(
            transactional_id=None if name is None else f"{self.topic}-{name}",
            transaction_timeout_ms=60_000,
            linger_ms=5,
            **self.options,
        )
        async with started(writer) as producer:
            yield producer

    async def write(self, changes: Changes, producer: AIOKafkaProducer | None = None) -> int:
        """Write changes, acknowledged; return the last one's offset."""
        if producer is None:
            async with self.writer() as own:
                return await self.write(changes, own)
        sent = [
            await producer.send(self.topic, value, key=key, partition=0) for key, value in changes.items()
        ]
        return int(max([(await future).offset for future in sent]))

    async def commit(self, *transactions: Changes, abort_last: bool = False) -> None:
        """Write each as a transaction; the last one may be aborted instead of committed."""
        async with self.writer("owner") as producer:
            for number, changes in enumerate(transactions, 1):
                await producer.begin_transaction()
                await self.write(changes, producer)
                if abort_last and number == len(transactions):
                    await producer.abort_transaction()
                else:
                    await producer.commit_transaction()

    async def end(self) -> int:
        """Return the offset after the last one, markers included."""
        async with self.reader() as consumer:
            return int((await consumer.end_offsets([self.tp]))[self.tp])

    async def records(self) -> list[tuple[int, bytes, bytes | None]]:
        """Return every record that is still there, committed or not: offset, key, value."""
        async with self.reader() as consumer:
            end = (await consumer.end_offsets([self.tp]))[self.tp]
            consumer.assign([self.tp])
            consumer.seek(self.tp, (await consumer.beginning_offsets([self.tp]))[self.tp])
            found: list[tuple[int, bytes, bytes | None]] = []
            while await consumer.position(self.tp) < end:
                fetched = await consumer.getmany(timeout_ms=200)
                found += [(r.offset, r.key, r.value) for records in fetched.values() for r in records]
        return found

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        """Give a consumer that sees everything."""
        async with started(AIOKafkaConsumer(enable_auto_commit=False, **self.options)) as consumer:
            yield consumer
