"""A stage so plain that what it has to send and hold is seen at once, and owners of its one partition.

Every record adds its value to the sum under its key, and sends the record's offset on. So a record that is
taken twice is a wrong sum, and a message that is sent twice stands twice in the topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from rebate_app.lane.chunk import Chunk
from rebate_app.lane.clients import PatientAdmin, started
from rebate_app.lane.failures import FencedError, LaneError
from rebate_app.lane.outbox import Outbox
from rebate_app.lane.partition import PartitionLane
from rebate_app.lane.stage import Record
from rebate_app.lane.store import MemoryStore, Overlay, Store
from rebate_app.metrics.figures import Figures
from rebate_app.settings import Settings, load_settings
from tests.list_lane import LogRecord

SECONDS_MAX = 20.0


class Adding:
    """The work on one chunk."""

    def __init__(self, sends_to: str, overlay: Overlay, outbox: Outbox) -> None:
        self._sends_to = sends_to
        self._overlay = overlay
        self._outbox = outbox

    def take(self, record: Record) -> None:
        """Add, and send on; a value that is no number is padding for a message of that size."""
        key, value = record.key or b"", record.value or b"0"
        number = int(value) if value.isdigit() else 1
        self._overlay.changes[key] = b"%d" % (int(self._overlay.get(key) or 0) + number)
        padding = b"" if value.isdigit() else value
        self._outbox.send(self._sends_to, key, b"%d %b" % (record.offset, padding), record.timestamp)

    def finish(self) -> None:
        """Nothing is left to write."""


class SmallStage:
    """Topics of one partition, below a prefix of the test's own."""

    name = "adding"

    def __init__(self, prefix: str) -> None:
        self.source = f"{prefix}source"
        self.changelog = f"{prefix}changelog"
        self.sends_to = f"{prefix}sent"

    def session(self, overlay: Overlay, outbox: Outbox) -> Adding:
        """Return the work on one chunk."""
        return Adding(self.sends_to, overlay, outbox)

    def unfinished(self, store: Store) -> int:
        """Return 0: it sends itself nothing."""
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

    def chunk(self, begin: int, *values: bytes) -> Chunk:
        """Return records of one key, from that offset on."""
        records: list[Record] = [
            LogRecord(self.source, 0, begin + number, 1_000, b"k", value)
            for number, value in enumerate(values)
        ]
        return Chunk(self.source, 0, begin, begin + len(values), begin + len(values), records)


class Owner:
    """A worker as its one partition sees it (implements LaneEnvironment), and that partition."""

    def __init__(self, broker: str, stage: SmallStage, *, committed: int | None = None) -> None:
        self.settings: Settings = load_settings(
            {"REBATE_BROKER": broker, "REBATE_PARTITIONS": "1", "REBATE_TOPIC_PREFIX": stage.source}
        )
        self.client_options: Mapping[str, Any] = {"bootstrap_servers": broker}
        self.figures = Figures()
        self.turn = asyncio.Lock()
        self.lane = PartitionLane(stage, 0, MemoryStore(), self)
        self.ended: asyncio.Future[LaneError] = asyncio.get_running_loop().create_future()
        self.leased = True
        self.seeks: list[int] = []
        self.points: list[str] = []
        self._told = asyncio.Event()
        self._committed = committed

    async def source_offsets(self, topic: str, partition: int) -> tuple[int, int, int | None]:
        """Return a source that has everything, and what the test says that the group committed."""
        del topic, partition
        return 0, 1_000_000, self._committed

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Note where reading goes on."""
        del topic, partition
        self.seeks.append(offset)
        self._told.set()

    def pause(self, topic: str, partition: int) -> None:
        """Read nothing for now."""

    def resume(self, topic: str, partition: int) -> None:
        """Read on."""

    def fatal(self, error: LaneError) -> None:
        """Note the end."""
        self.ended.set_result(error)

    def fenced(self, error: FencedError) -> None:
        """Note the fence."""
        self.ended.set_result(error)

    def lease_holds(self) -> bool:
        """As the test says."""
        return self.leased

    def fault_point(self, name: str) -> None:
        """Note that the point is passed."""
        self.points.append(name)
        self._told.set()

    async def until(self, condition: Callable[[], object], seconds_max: float) -> None:
        """Return once that is so of `seeks` or `points`: looked at whenever the lane tells of one."""
        async with asyncio.timeout(seconds_max):
            while not condition():
                self._told.clear()
                await self._told.wait()

    async def own(self) -> None:
        """Open the partition and start."""
        async with asyncio.timeout(SECONDS_MAX):
            await self.lane.open()
        self.lane.start()

    async def take(self, chunk: Chunk) -> None:
        """Take a chunk, and wait until it is committed or the lane has ended."""
        self.lane.submit(chunk)
        assert await self.lane.drain(SECONDS_MAX)

    @property
    def total(self) -> int:
        """Return the sum that its store has."""
        return int(self.lane.store.get(b"k") or 0)


@asynccontextmanager
async def owners(*several: Owner) -> AsyncIterator[None]:
    """Stop all of them at the end."""
    try:
        yield
    finally:
        for owner in several:
            await owner.lane.give_up()


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
