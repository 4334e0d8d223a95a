"""A minimal stage, whose state and messages are easy to verify, and owners of its one partition.

Every record adds its value to the sum under its key, and sends the record's offset on. So a record that is
taken twice is a wrong sum, and a message that is sent twice stands twice in the topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.settings import Settings, load_settings
from rebate_app.streams.errors import FencedError, StreamsError
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.build import Build
from rebate_app.streams.state.store import MemoryStore, Store
from rebate_app.streams.task.batch import RecordBatch
from rebate_app.streams.task.owner_notes import OwnerNotes
from rebate_app.streams.task.pacing import BatchPacer
from rebate_app.streams.task.source_check import LogIdentity
from rebate_app.streams.task.stage import Record
from rebate_app.streams.task.task import StreamTask
from rebate_app.streams.transaction.collector import RecordCollector
from tests.topology_driver import LogRecord

SECONDS_MAX = 120.0


class Adding:
    """Processes one batch (implements BatchProcessor)."""

    def __init__(self, sends_to: str, transaction: StateTransaction, collector: RecordCollector) -> None:
        self._sends_to = sends_to
        self._transaction = transaction
        self._collector = collector

    def take(self, record: Record) -> None:
        """Add the value and send the offset on; a value that is no number pads the message to its size."""
        key, value = record.key or b"", record.value or b"0"
        number = int(value) if value.isdigit() else 1
        self._transaction.changes[key] = b"%d" % (int(self._transaction.get(key) or 0) + number)
        padding = b"" if value.isdigit() else value
        self._collector.send(self._sends_to, key, b"%d %b" % (record.offset, padding), record.timestamp)

    def finish(self) -> None:
        """Do nothing: changes are in the transaction already."""


class SmallStage:
    """Topics of one partition, below a prefix of the test's own."""

    name = "adding"

    def __init__(self, prefix: str) -> None:
        self.source = f"{prefix}source"
        self.changelog = f"{prefix}changelog"
        self.sends_to = f"{prefix}sent"

    def processor(self, transaction: StateTransaction, collector: RecordCollector) -> Adding:
        """Return a processor for one batch."""
        return Adding(self.sends_to, transaction, collector)

    builds: ClassVar[Sequence[Build]] = ()

    def unfinished(self, store: Store) -> int:
        """Return 0: it sends no records to itself."""
        del store
        return 0

    async def create(self, broker: str, sent_bytes_max: int = 1_000_000) -> None:
        """Create changelog and target; the source is made of lists."""
        topics = [
            NewTopic(self.changelog, 1, 1, topic_configs={"cleanup.policy": "compact"}),
            NewTopic(self.sends_to, 1, 1, topic_configs={"max.message.bytes": str(sent_bytes_max)}),
        ]
        async with started(PatientAdmin(bootstrap_servers=broker)) as admin:
            await admin.create_topics(topics)

    def batch(self, begin: int, *values: bytes) -> RecordBatch:
        """Return records of one key, from that offset on."""
        records: list[Record] = [
            LogRecord(self.source, 0, begin + number, 1_000, b"k", value)
            for number, value in enumerate(values)
        ]
        return RecordBatch(self.source, 0, begin, begin + len(values), begin + len(values), records)


class Owner:
    """A worker with one task (implements TaskEnvironment)."""

    def __init__(
        self,
        broker: str,
        stage: SmallStage,
        *,
        committed: int | None = None,
        notes: OwnerNotes | None = None,
    ) -> None:
        self.settings: Settings = load_settings(
            {
                "REBATE_BROKER": broker,
                "REBATE_PARTITIONS": "1",
                "REBATE_TOPIC_PREFIX": stage.source,
                "REBATE_SESSION_TIMEOUT": "120",
                "REBATE_TRANSACTION_TIMEOUT": "90",  # far more than any test waits for what must not wait
            }
        )
        self.client_options: Mapping[str, Any] = {"bootstrap_servers": broker}
        self.metrics = MetricsRegistry()
        self.compute_lock = asyncio.Lock()
        self.pacer = BatchPacer()
        self.stream = StreamTask(stage, 0, MemoryStore(), self, notes)
        self.ended: asyncio.Future[StreamsError] = asyncio.get_running_loop().create_future()
        self.leased = True
        self.identity = LogIdentity("cluster", "topic id")
        self.seeks: list[int] = []
        self.points: list[str] = []
        self._changed = asyncio.Event()
        self._committed = committed

    async def source_offsets(self, topic: str, partition: int) -> tuple[int, int, int | None]:
        """Return a source that has every offset, and the offset that the test passes as committed."""
        del topic, partition
        return 0, 1_000_000, self._committed

    async def log_identity(self, topic: str) -> LogIdentity:
        """Return the identity that the test set."""
        del topic
        return self.identity

    def resumption(self, topic: str, partition: int) -> None:
        """Return none."""
        del topic, partition

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Record the offset."""
        del topic, partition
        self.seeks.append(offset)
        self._changed.set()

    def pause(self, topic: str, partition: int) -> None:
        """Read nothing for now."""

    def resume(self, topic: str, partition: int) -> None:
        """Read on."""

    def fatal(self, error: StreamsError) -> None:
        """Note the end."""
        self.ended.set_result(error)

    def fenced(self, error: FencedError) -> None:
        """Note the fence."""
        self.ended.set_result(error)

    def lease_holds(self) -> bool:
        """Return what the test set."""
        return self.leased

    def fault_point(self, name: str) -> None:
        """Record that the point is passed."""
        self.points.append(name)
        self._changed.set()

    async def until(self, condition: Callable[[], object], seconds_max: float) -> None:
        """Return once the condition on `seeks` or `points` holds; it is evaluated at each change of them."""
        async with asyncio.timeout(seconds_max):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def own(self) -> None:
        """Open the partition and start."""
        async with asyncio.timeout(SECONDS_MAX):
            await self.stream.open()
        self.stream.start()

    async def take(self, batch: RecordBatch) -> None:
        """Take a batch, and wait until it is committed or the engine has ended."""
        self.stream.submit(batch)
        assert await self.stream.wait_idle(SECONDS_MAX)

    @property
    def total(self) -> int:
        """Return the sum that its store has."""
        return int(self.stream.store.get(b"k") or 0)


@asynccontextmanager
async def owners(*several: Owner) -> AsyncIterator[None]:
    """Stop all of them at the end."""
    try:
        yield
    finally:
        for owner in several:
            await owner.stream.give_up()


async def committed_records(broker: str, topic: str) -> list[Any]:
    """Return what a `read_committed` reader finds up to the topic's end of now."""
    tp = TopicPartition(topic, 0)
    reader = AIOKafkaConsumer(
        bootstrap_servers=broker, isolation_level="read_committed", enable_auto_commit=False
    )
    async with started(reader) as consumer, asyncio.timeout(SECONDS_MAX):
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, 0)
        found: list[Any] = []
        while await consumer.position(tp) < end:
            found += (await consumer.getmany(tp, timeout_ms=50)).get(tp, [])
    return found
