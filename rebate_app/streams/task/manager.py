"""The tasks of one worker: assigned, revoked, watched, and the interface of the engine for other rooms."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import TopicPartition

from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.settings import Settings
from rebate_app.wire.commit_metadata import CommitMetadata
from rebate_app.wire.topics import Topics

from ..errors import FencedError, GroupError, StreamsError, StuckError
from ..kafka.lease_clock import lease_clock
from ..kafka.resumptions import Resumption, Resumptions
from ..kafka.skipped_records import SkippedRecords
from ..state.standby import Key, StandbyTasks
from ..state.store import MemoryStore, Store
from ..supervision import supervise
from .backoff import StallDetector
from .batch import RecordBatch
from .halt_watch import HaltWatch
from .held_back import HeldBackWatch
from .log_watch import LogWatch
from .owner_notes import OwnerNotes
from .pacing import BatchPacer
from .ports import NoSideConsumer, SideConsumer
from .source_check import LogIdentity
from .stage import Stage
from .task import OPENING, RUNNING, StreamTask

if TYPE_CHECKING:
    from ..faust.batch_fetcher import BatchFetcher
    from ..faust.consumer_thread import BatchConsumerThread

OPEN_AT_ONCE_MAX = 8  # each producer has its own connections: 96 partitions must not storm the broker
DRAIN_SECONDS_MAX = 5.0
FENCED_AGAIN_SECONDS = 60.0
LEASE_MARGIN_SECONDS = 2.0
Offsets = tuple[int, int, int | None]  # log start, end, committed by the group
WATCH_EVERY_SECONDS = 1.0
STUCK_SECONDS_MAX = 30.0
#: Longer than any step of opening takes to fail while the broker is away; such a step is tried again until
#: REBATE_BROKER_DEADLINE.
OPENING_STUCK_SECONDS_MAX = 90.0
#: For offsets at a takeover; aiokafka waits for ever for a coordinator that is away.
OFFSETS_SECONDS_MAX = 10.0

log = logging.getLogger(__name__)


class CommitPoint(NamedTuple):
    """What is committed to the group for a partition."""

    offset: int
    metadata: CommitMetadata


def _commit_point(task: StreamTask) -> CommitPoint:
    halt = task.halt
    if halt is None:
        return CommitPoint(task.next_offset, CommitMetadata(task.unfinished))
    return CommitPoint(task.next_offset, CommitMetadata(task.unfinished, halt.code, halt.offset))


def new_memory_store(stage: Stage, partition: int) -> Store:
    """Return a store in memory."""
    del stage, partition
    return MemoryStore()


class TaskManager:
    """Owns the tasks of one worker (implements TaskEnvironment for them).

    `consumer_thread` and `fetcher`: parts of the consumer, which Faust creates after the engine.
    `side_consumer` needs the engine itself, so the composition root sets it before the worker starts.
    """

    def __init__(
        self,
        settings: Settings,
        client_options: Mapping[str, Any],
        stages: list[Stage],
        *,
        fatal: Callable[[StreamsError], None],
        consumer_thread: Callable[[], BatchConsumerThread],
        fetcher: Callable[[], BatchFetcher],
        metrics: MetricsRegistry | None = None,
        new_store: Callable[[Stage, int], Store] = new_memory_store,
        resumptions: Resumptions | None = None,
    ) -> None:
        self.settings = settings
        self.client_options = client_options
        self.metrics = MetricsRegistry() if metrics is None else metrics
        self.skipped = SkippedRecords(self.metrics)
        self.stages = {stage.source: stage for stage in stages}
        self.partitions: dict[tuple[str, int], StreamTask] = {}
        self.compute_lock = asyncio.Lock()
        self.pacer = BatchPacer()
        self.settled = False  # whether the last assignment is open and running
        self.side_consumer: SideConsumer = NoSideConsumer()
        self.owner_notes: dict[str, OwnerNotes] = {}  # by source; set before the worker starts
        self.held_back = HeldBackWatch(self)
        self.logs = LogWatch(self)
        own = resumptions or Resumptions(Topics.of(settings).decisions, settings.scope)
        self.halts = HaltWatch(self, own)
        self._fatal = fatal
        self._new_store = new_store
        self._consumer_thread = consumer_thread
        self._fetcher = fetcher
        self.standbys = StandbyTasks(client_options, new_store, self.fatal)
        self._takes_over = False
        self._take_over_stall = StallDetector()
        self._fenced_at: float | None = None
        self._rejoining: asyncio.Task[None] | None = None
        self._committed: dict[Key, CommitPoint] = {}

    @property
    def thread(self) -> BatchConsumerThread:
        """Return the thread of the group's consumer."""
        return self._consumer_thread()

    @property
    def fetcher(self) -> BatchFetcher:
        """Return what reads the assigned partitions."""
        return self._fetcher()

    def submit(self, batch: RecordBatch) -> None:
        """Queue a batch for the task of its partition."""
        partition = self.partitions.get((batch.topic, batch.partition))
        if partition is not None:
            partition.submit(batch)

    def check_notes(self) -> None:
        """Let every task note what is new."""
        for task in self.partitions.values():
            task.check_notes()

    async def take_over(self, assigned: set[Key], followed: set[Key] | None = None) -> None:
        """Own exactly the assigned partitions: open new ones, reopen kept ones, drop the others.

        Stores are kept where the owner does not change, and where a standby follows the partition from now
        on.
        """
        self._rejoining = None
        self._takes_over = True
        try:
            await self._take_over(assigned, followed)
        finally:
            self._takes_over = False
        self.settled = True

    async def _take_over(self, assigned: set[Key], followed: set[Key] | None) -> None:
        await self.suspend()
        followed = (followed or set()) - assigned
        kept = {}
        for key in set(self.partitions) - assigned:
            task = self.partitions.pop(key)
            if key in followed:
                kept[key] = task.store
            else:
                await task.give_up()
        for key in assigned - set(self.partitions):
            stage = self.stages[key[0]]
            store = await self.standbys.hand_over(key) or self._new_store(stage, key[1])
            self.partitions[key] = StreamTask(stage, key[1], store, self, self.owner_notes.get(stage.source))
            await asyncio.sleep(0)  # opening a store on disk takes time: HTTP runs in between
        self.standbys.follow(self.stages, followed, kept)
        self._committed = {}
        gate = asyncio.Semaphore(OPEN_AT_ONCE_MAX)

        async def open_one(task: StreamTask) -> None:
            async with gate:
                await task.open_until_deadline()
            if task.state == OPENING:  # else it was stopped meanwhile
                task.start()
                self.seek(task.stage.source, task.partition, task.position)

        await asyncio.gather(*(open_one(self.partitions[key]) for key in sorted(assigned)))

    async def suspend(self) -> None:
        """Process no more batches until the next assignment; stores are kept."""
        self.settled = False
        await self.standbys.stop()
        await asyncio.gather(
            self.side_consumer.suspend(), *(task.stop() for task in self.partitions.values())
        )

    async def drain(self) -> None:
        """Finish and commit submitted batches, within a bound."""
        await asyncio.gather(
            self.side_consumer.drain(), *(task.drain(DRAIN_SECONDS_MAX) for task in self.partitions.values())
        )

    def offsets_to_commit(self) -> dict[Key, CommitPoint]:
        """Return watermark + 1, unfinished work and halt of the partitions for which they changed.

        If any offset of the side consumer changed, all of them: its topics move together, in one request.
        """
        beside = {
            key: CommitPoint(offset, CommitMetadata())
            for key, offset in self.side_consumer.offsets_to_commit().items()
        }
        offsets = beside if any(self._committed.get(key) != now for key, now in beside.items()) else {}
        for key, task in self.partitions.items():
            if task.state == RUNNING and (task.store.watermark is not None or task.halt is not None):
                now = _commit_point(task)
                if self._committed.get(key) != now:
                    offsets[key] = now
        return offsets

    def offsets_committed(self, offsets: Mapping[Key, CommitPoint]) -> None:
        """Record that the group has these offsets."""
        self._committed.update(offsets)

    def committed_offset(self, topic: str, partition: int) -> int | None:
        """Return the offset that this worker last committed to the group, None before."""
        committed = self._committed.get((topic, partition))
        return None if committed is None else committed.offset

    def stable_end(self, topic: str, partition: int) -> int:
        """Return the last stable offset of a partition as of its last fetch."""
        fetched = self.fetcher.stable_end(topic, partition)
        task = self.partitions[topic, partition]
        return max(task.position, fetched or 0, task.stable_end)

    def unstable(self, topic: str, partition: int) -> int:
        """Return how many offsets lie above the last stable one as of the last fetch."""
        return self.fetcher.unstable(topic, partition)

    # -- TaskEnvironment

    async def source_offsets(self, topic: str, partition: int) -> tuple[int, int, int | None]:
        """Return (log start, end, offset committed by the group or None)."""
        topic_partition = TopicPartition(topic, partition)

        async def read(consumer: Any) -> tuple[int, int, int | None]:
            begin = (await consumer.beginning_offsets([topic_partition]))[topic_partition]
            end = (await consumer.end_offsets([topic_partition]))[topic_partition]
            return begin, end, await consumer.committed(topic_partition)

        begin, end, committed = await self.thread.run_with_consumer(read, OFFSETS_SECONDS_MAX)
        return begin, end, committed

    async def log_identity(self, topic: str) -> LogIdentity:
        """Return cluster and topic id of a source, at most some seconds old."""
        return await self.logs.identity(topic)

    async def group_offsets(self, wanted: set[Key], *, committed: bool = True) -> dict[Key, Offsets]:
        """Return the same as `source_offsets` for many partitions; without `committed`, None for that."""
        spots = [TopicPartition(*key) for key in wanted]

        async def read(consumer: Any) -> dict[Key, Offsets]:
            # Committed offsets first: then the ends are beyond them.
            group = await consumer._coordinator.fetch_committed_offsets(spots) if committed else {}  # noqa: SLF001
            begins, ends = await consumer.beginning_offsets(spots), await consumer.end_offsets(spots)
            known = {spot: offset.offset for spot, offset in group.items() if offset.offset >= 0}
            return {(s.topic, s.partition): (begins[s], ends[s], known.get(s)) for s in spots}

        return dict(await self.thread.run_with_consumer(read, OFFSETS_SECONDS_MAX)) if spots else {}

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Continue reading at that offset."""
        self.fetcher.seek(topic, partition, offset)

    def pause(self, topic: str, partition: int) -> None:
        """Fetch nothing more of that partition."""
        self.fetcher.pause(topic, partition)

    def resume(self, topic: str, partition: int) -> None:
        """Fetch from that partition again."""
        self.fetcher.resume(topic, partition)

    def resumption(self, topic: str, partition: int) -> Resumption | None:
        """Return the resumption of a partition that is known here, None without one."""
        return self.halts.resumptions.of(topic, partition)

    def fatal(self, error: StreamsError) -> None:
        """End the worker with the error's exit code."""
        self._fatal(error)

    def fenced(self, error: FencedError) -> None:
        """Leave the group and join again; a second fence within a minute ends the worker."""
        if self._rejoining is not None:
            return  # the same takeover fences several partitions
        now = time.monotonic()
        if self._fenced_at is not None and now - self._fenced_at < FENCED_AGAIN_SECONDS:
            self.fatal(error)
            return
        self._fenced_at = now
        self.settled = False
        log.warning("fenced, leaving the group to join again: %s", error)
        rejoin = self.thread.leave_and_join_again
        self._rejoining = supervise(rejoin, "leaving the group", self.fatal, may_return=True)

    def lease_holds(self) -> bool:
        """Whether this worker may answer as owner: its last accepted heartbeat is recent enough.

        A worker that was frozen has old balances, and its partitions may have another owner: it answers as
        owner again only after a heartbeat succeeds.
        """
        return self.lease_remaining_seconds() > 0

    def lease_remaining_seconds(self) -> float:
        """Return for how long it may answer as owner without another heartbeat; 0 after the lease."""
        sent_at = self.thread.heartbeat_sent_at
        if sent_at is None:
            return 0.0
        lease = self.settings.session_timeout - LEASE_MARGIN_SECONDS
        return max(0.0, sent_at + lease - lease_clock())

    async def watch(self) -> None:
        """End the worker when a partition has work and makes no progress (a stuck fetcher, faust issue 629).

        The same for a partition that is being opened, when its asyncio task or one of aiokafka's consumer has
        ended, and when aiokafka has given the group up, as for a session time-out that the broker refuses.
        """
        while True:
            await asyncio.sleep(WATCH_EVERY_SECONDS)
            group_error = self.thread.coordination_error()
            if group_error is not None:
                self.fatal(GroupError(f"the consumer group cannot be joined: {group_error!r}"))
            gone = self.thread.task_gone() or self.fetcher.task_gone()
            if gone is not None:
                self.fatal(StuckError(f"the consumer's {gone} has ended by itself"))
            self._watch_take_over()
            for (source, number), task in list(self.partitions.items()):
                self._watch_partition(task, self.stable_end(source, number))

    def _watch_take_over(self) -> None:
        progress = [(task.state, task.opening_progress) for task in self.partitions.values()]
        stalled_seconds = self._take_over_stall.seconds(progress, has_work=self._takes_over)
        if stalled_seconds > OPENING_STUCK_SECONDS_MAX:
            self.fatal(StuckError(f"taking partitions over has made no progress for {stalled_seconds:.0f} s"))

    def _watch_partition(self, task: StreamTask, stable_end: int) -> None:
        stalled_seconds = task.stalled_seconds(stable_end)
        if task.has_ended:
            self.fatal(StuckError(f"the task of {task.name} has ended by itself"))
        elif task.is_opening and stalled_seconds > OPENING_STUCK_SECONDS_MAX:
            self.fatal(
                StuckError(f"{task.name} is being opened and made no progress for {stalled_seconds:.0f} s")
            )
        elif not task.is_opening and stalled_seconds > STUCK_SECONDS_MAX:
            self.fatal(StuckError(f"{task.name} has work and made no progress for {stalled_seconds:.0f} s"))

    def fault_point(self, name: str) -> None:
        """Do nothing: the fault rig of the tests has its own."""
