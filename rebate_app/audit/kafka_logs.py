"""The logs of a real Kafka, for the audit. Separate, since nothing else of the audit knows a client."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from rebate_app.lane.clients import PatientAdmin
from rebate_app.lane.connection import BrokerAwayError, client_options
from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import Topics, TopicSpec

from .logs import Record

FETCH_BYTES_MAX = 4 * 1_048_576
FETCH_MAX_WAIT_MS = 10
POLL_MS = 20  # transaction markers move the position without giving a record
#: A transaction that nobody ends is aborted by the broker at its time-out; this much later we give up.
STALLED_GRACE_S = 60.0


class KafkaLogs:
    """Implements Logs. `async with` opens the connections; BrokerAwayError when nobody answers.

    ConfigurationError when a topic is missing or has another number of partitions: the audit creates
    nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.stalled_s = settings.transaction_timeout + STALLED_GRACE_S
        options = client_options(settings)
        self._admin = PatientAdmin(**options)
        self._reader = AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            **options,
        )
        # Questions have their own connections: they would wait behind a fetch that waits for records.
        self._committed = AIOKafkaConsumer(
            isolation_level="read_committed", enable_auto_commit=False, **options
        )
        self._uncommitted = AIOKafkaConsumer(
            isolation_level="read_uncommitted", enable_auto_commit=False, **options
        )

    async def __aenter__(self) -> Self:
        """Connect, and check that the topics are there."""
        try:
            await self._admin.start()
            await self._check_topics()
            for client in (self._reader, self._committed, self._uncommitted):
                await client.start()
            for client in (self._committed, self._uncommitted):
                self._know_all(client)
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

    def _know_all(self, client: AIOKafkaConsumer) -> None:
        """Have a client that only asks know every topic at once, and fetch nothing."""
        specs = self._specs()
        every = [TopicPartition(spec.name, number) for spec in specs for number in range(spec.partitions)]
        client.assign(every)
        client.pause(*every)

    def _specs(self) -> list[TopicSpec]:
        """Return the topics without which there is nothing to audit."""
        topics = Topics.of(self._settings)
        needed = {
            topics.orders,
            topics.user_log,
            topics.orders_dlt,
            topics.user_log_dlt,
            topics.lines_changelog,
            topics.accounts_changelog,
            topics.rules,
            topics.orders_parked,
            topics.user_log_parked,
            topics.decisions,
            topics.events,
        }
        return [spec for spec in topics.specs(self._settings) if spec.name in needed]

    async def _check_topics(self) -> None:
        specs = self._specs()
        existing = set(await self._admin.list_topics())
        missing = [spec.name for spec in specs if spec.name not in existing]
        if missing:
            raise ConfigurationError(f"there is nothing to audit: no topic {', '.join(missing)}")
        found = await self._admin.describe_topics([spec.name for spec in specs])
        counts = {topic["topic"]: len(topic["partitions"]) for topic in found}
        problems = [
            f"topic {spec.name} has {counts[spec.name]} partitions, not {spec.partitions}"
            for spec in specs
            if counts[spec.name] != spec.partitions
        ]
        if problems:
            raise ConfigurationError("; ".join(problems))

    async def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that the log still has."""
        tp = TopicPartition(topic, partition)
        return int((await self._committed.beginning_offsets([tp]))[tp])

    async def stable_end(self, topic: str, partition: int) -> int:
        """Return the last stable offset."""
        tp = TopicPartition(topic, partition)
        return int((await self._committed.end_offsets([tp]))[tp])

    async def end(self, topic: str, partition: int) -> int:
        """Return the high watermark."""
        tp = TopicPartition(topic, partition)
        return int((await self._uncommitted.end_offsets([tp]))[tp])

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Iterate over the committed records from `start` to before `end`; BrokerAwayError when it stalls."""
        tp = TopicPartition(topic, partition)
        position = start
        if position >= end:
            return
        self._reader.assign([tp])
        self._reader.seek(tp, position)
        moved_at = time.monotonic()
        while position < end:
            records = (await self._reader.getmany(tp, timeout_ms=POLL_MS)).get(tp, [])
            reached = await self._reader.position(tp)
            if reached > position:
                position, moved_at = reached, time.monotonic()
            elif time.monotonic() - moved_at > self.stalled_s:
                raise BrokerAwayError(
                    f"{topic}/{partition} gives nothing at {position} of {end} for {self.stalled_s:.0f} s."
                )
            if records and records[-1].offset >= end:
                records = [record for record in records if record.offset < end]
            if records:
                yield records
