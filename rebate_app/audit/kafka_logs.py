"""Reads the logs of a Kafka cluster for the audit.

Nothing is created or committed. BrokerAwayError when the cluster does not answer or a read makes no
progress for `stall_seconds`; ConfigurationError when the topics do not fit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from rebate_app.settings import ConfigurationError, Settings
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.clients import PatientAdmin
from rebate_app.streams.kafka.connection import BrokerAwayError, client_options
from rebate_app.streams.kafka.log_reader import SPAN_OPTIONS, LogStalledError, SpanReader

from .logs import Record
from .scope import required_topics

FETCH_BYTES_MAX = 4 * 1_048_576
#: The broker aborts an open transaction at its time-out; the read fails this much later.
STALL_GRACE_SECONDS = 60.0


class KafkaLogs:
    """Implements Logs. `async with` opens the connections; BrokerAwayError when nobody answers.

    ConfigurationError when a topic is missing or has another number of partitions: the audit creates
    nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.stall_seconds = settings.transaction_timeout + STALL_GRACE_SECONDS
        options = client_options(settings)
        self._admin = PatientAdmin(**options)
        larger_fetches = dict(SPAN_OPTIONS) | {"max_partition_fetch_bytes": FETCH_BYTES_MAX}
        self._reader = AIOKafkaConsumer(**larger_fetches, **options)
        # Offset requests have connections of their own: on the reader's they would wait for its fetches.
        self._committed = AIOKafkaConsumer(
            isolation_level="read_committed", enable_auto_commit=False, **options
        )
        self._uncommitted = AIOKafkaConsumer(
            isolation_level="read_uncommitted", enable_auto_commit=False, **options
        )

    async def __aenter__(self) -> Self:
        """Connect and check the topics."""
        try:
            await self._admin.start()
            await self._check_topics()
            for client in (self._reader, self._committed, self._uncommitted):
                await client.start()
            for client in (self._committed, self._uncommitted):
                self._assign_all(client)
        except (KafkaError, OSError) as error:
            await self._close()
            raise BrokerAwayError(f"No Kafka broker answers at {self._settings.broker}: {error}.") from error
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._close()

    async def _close(self) -> None:
        for client in (self._reader, self._committed, self._uncommitted):
            await client.stop()
        await self._admin.close()

    def _assign_all(self, client: AIOKafkaConsumer) -> None:
        """Load the metadata of every topic at once into a client that fetches nothing."""
        specs = required_topics(self._settings)
        every = [TopicPartition(spec.name, number) for spec in specs for number in range(spec.partitions)]
        client.assign(every)
        client.pause(*every)

    async def _check_topics(self) -> None:
        specs = required_topics(self._settings)
        found = await self._admin.describe_existing([spec.name for spec in specs])
        counts = {topic["topic"]: len(topic["partitions"]) for topic in found}
        missing = [spec.name for spec in specs if spec.name not in counts]
        if missing:
            raise ConfigurationError(f"there is nothing to audit: no topic {', '.join(missing)}")
        problems = [
            f"topic {spec.name} has {counts[spec.name]} partitions, not {spec.partitions}"
            for spec in specs
            if counts[spec.name] != spec.partitions
        ]
        if problems:
            raise ConfigurationError("; ".join(problems))

    async def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that the log still has."""
        topic_partition = TopicPartition(topic, partition)
        return int((await self._committed.beginning_offsets([topic_partition]))[topic_partition])

    async def stable_end(self, topic: str, partition: int) -> int:
        """Return the last stable offset."""
        topic_partition = TopicPartition(topic, partition)
        return int((await self._committed.end_offsets([topic_partition]))[topic_partition])

    async def end(self, topic: str, partition: int) -> int:
        """Return the high watermark."""
        topic_partition = TopicPartition(topic, partition)
        return int((await self._uncommitted.end_offsets([topic_partition]))[topic_partition])

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Iterate over the committed records from `start` to before `end`; BrokerAwayError when it stalls."""
        topic_partition = TopicPartition(topic, partition)
        spans = {topic_partition: (start, end)}
        reader = SpanReader(self._reader, spans, stalled_seconds=self.stall_seconds)
        try:
            while reader.waiting:
                records = (await reader.poll()).get(topic_partition)
                if records:
                    yield records
        except LogStalledError as error:
            raise BrokerAwayError(f"{topic}/{partition} cannot be read to {end}: {error}.") from error
