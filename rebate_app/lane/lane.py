"""All partitions that this worker owns, stage by stage: what agents, the consumer and the web ask."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import TopicPartition

from rebate_app.metrics.catalogue import LIMIT_TRIPS
from rebate_app.metrics.figures import Figures
from rebate_app.settings import Settings

from .chunk import Chunk
from .failures import FencedError, GroupError, HaltError, LaneError, StuckError
from .partition import RUNNING, PartitionLane
from .ports import Companion
from .stage import Stage
from .standby import Key, Standbys
from .store import MemoryStore, Store
from .transport import LaneThread

OPEN_AT_ONCE_MAX = 8  # each producer has its own connections: 96 partitions must not storm the broker
DRAIN_S = 5.0
FENCE_AGAIN_S = 60.0
LEASE_MARGIN_S = 2.0
Offsets = tuple[int, int, int | None]  # log start, end, committed by the group
WATCH_EVERY_S = 1.0
STUCK_S = 30.0

log = logging.getLogger(__name__)


def new_memory_store(stage: Stage, partition: int) -> Store:
    """Return a store that is gone with the process."""
    del stage, partition
    return MemoryStore()


class Lane:
    """The lane of one worker (implements LaneEnvironment for its partitions)."""

    def __init__(
        self,
        settings: Settings,
        client_options: Mapping[str, Any],
        stages: list[Stage],
        *,
        fatal: Callable[[LaneError], None],
        figures: Figures | None = None,
        new_store: Callable[[Stage, int], Store] = new_memory_store,
    ) -> None:
        self.settings = settings
        self.client_options = client_options
        self.figures = Figures() if figures is None else figures
        self.stages = {stage.source: stage for stage in stages}
        self.partitions: dict[tuple[str, int], PartitionLane] = {}
        self.turn = asyncio.Lock()
        self.settled = False  # whether the last assignment is open and running
        self.companion: Companion | None = None  # beside the stages: webhooks
        self.halted: HaltError | None = None  # the limit that ends this worker
        self._fatal = fatal
        self._new_store = new_store
        self._thread: Callable[[], LaneThread] | None = None
        self.standbys = Standbys(client_options, new_store)
        self._fenced_at: float | None = None
        self._rejoining: asyncio.Future[None] | None = None
        self._committed: dict[tuple[str, int], tuple[int, int]] = {}

    def use_thread(self, thread: Callable[[], LaneThread]) -> None:
        """Tell where the consumer lives; it comes to be after the lane."""
        self._thread = thread

    @property
    def thread(self) -> LaneThread:
        """Return the consumer's thread."""
        if self._thread is None:
            raise RuntimeError("the lane has no consumer yet")
        return self._thread()

    def submit(self, chunk: Chunk) -> None:
        """Hand a chunk to its partition, which works on it in its own task."""
        partition = self.partitions.get((chunk.topic, chunk.partition))
        if partition is not None:
            partition.submit(chunk)

    async def take_over(self, assigned: set[Key], followed: set[Key] | None = None) -> None:
        """Own exactly the assigned partitions: open new ones, open kept ones again, drop the others.

        The state of a partition whose owner does not change is kept, and so is that of one that is
        only followed from now on.
        """
        self._rejoining = None
        await self.suspend()
        followed = (followed or set()) - assigned
        kept = {}
        for key in set(self.partitions) - assigned:
            lane = self.partitions.pop(key)
            if key in followed:
                kept[key] = lane.store
            else:
                await lane.give_up()
        for key in assigned - set(self.partitions):
            stage = self.stages[key[0]]
            store = await self.standbys.hand_over(key) or self._new_store(stage, key[1])
            self.partitions[key] = PartitionLane(stage, key[1], store, self)
            await asyncio.sleep(0)  # opening a store on disk takes its time: HTTP gets its turn
        self.standbys.follow(self.stages, followed, kept)
        self._committed = {}
        gate = asyncio.Semaphore(OPEN_AT_ONCE_MAX)

        async def open_one(lane: PartitionLane) -> None:
            async with gate:
                await lane.open_until_deadline()
            lane.start()
            self.seek(lane.stage.source, lane.partition, lane.next_offset)

        await asyncio.gather(*(open_one(self.partitions[key]) for key in sorted(assigned)))
        self.settled = True

    async def suspend(self) -> None:
        """Take no more chunks until the next assignment; stores are kept."""
        self.settled = False
        beside = [] if self.companion is None else [self.companion.suspend()]
        await self.standbys.stop()
        await asyncio.gather(*beside, *(lane.stop() for lane in self.partitions.values()))

    async def drain(self) -> None:
        """Finish and commit what was submitted, within a bound."""
        beside = [] if self.companion is None else [self.companion.drain()]
        await asyncio.gather(*beside, *(lane.drain(DRAIN_S) for lane in self.partitions.values()))

    def offsets_to_commit(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Return (watermark + 1, unfinished work) of the partitions for which it changed.

        What the companion says too: all in one request, so that its topics move together or not at all.
        """
        beside = {} if self.companion is None else self.companion.offsets_to_commit()
        told = {key: (offset, 0) for key, offset in beside.items()}
        offsets = told if any(self._committed.get(key) != now for key, now in told.items()) else {}
        for key, lane in self.partitions.items():
            if lane.state == RUNNING and lane.store.watermark is not None:
                now = (lane.next_offset, lane.unfinished)
                if self._committed.get(key) != now:
                    offsets[key] = now
        return offsets

    def offsets_committed(self, offsets: Mapping[tuple[str, int], tuple[int, int]]) -> None:
        """Remember what the group has."""
        self._committed.update(offsets)

    def committed_offset(self, topic: str, partition: int) -> int | None:
        """Return what the group was last told by this worker, None before."""
        told = self._committed.get((topic, partition))
        return None if told is None else told[0]

    def stable_end(self, topic: str, partition: int) -> int:
        """Return the last stable offset of a partition, as the last fetch told it."""
        told = self.thread.stable_end(topic, partition)
        lane = self.partitions[topic, partition]
        return max(lane.position, told or 0, lane.stable_end)

    # -- LaneEnvironment

    async def source_offsets(self, topic: str, partition: int) -> tuple[int, int, int | None]:
        """Return (log start, end, offset committed by the group or None)."""
        tp = TopicPartition(topic, partition)

        async def ask(consumer: Any) -> tuple[int, int, int | None]:
            begin = (await consumer.beginning_offsets([tp]))[tp]
            end = (await consumer.end_offsets([tp]))[tp]
            return begin, end, await consumer.committed(tp)

        begin, end, committed = await self.thread.ask(ask)
        return begin, end, committed

    async def group_offsets(self, wanted: set[Key], *, committed: bool = True) -> dict[Key, Offsets]:
        """Return of many partitions what `source_offsets` does of one; None for what was not asked."""
        spots = [TopicPartition(*key) for key in wanted]

        async def ask(consumer: Any) -> dict[Key, Offsets]:
            # What is committed first: whatever was acknowledged before that stands below the end.
            told = await consumer._coordinator.fetch_committed_offsets(spots) if committed else {}  # noqa: SLF001
            begins, ends = await consumer.beginning_offsets(spots), await consumer.end_offsets(spots)
            known = {spot: offset.offset for spot, offset in told.items() if offset.offset >= 0}
            return {(s.topic, s.partition): (begins[s], ends[s], known.get(s)) for s in spots}

        return dict(await self.thread.ask(ask)) if spots else {}

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Have the reader go on at that offset, and fetch."""
        tp = TopicPartition(topic, partition)

        def do(consumer: Any) -> None:
            consumer.seek(tp, offset)
            consumer.resume(tp)

        self.thread.post(do)

    def pause(self, topic: str, partition: int) -> None:
        """Have the reader fetch nothing more of that partition."""
        self.thread.post(lambda consumer: consumer.pause(TopicPartition(topic, partition)))

    def resume(self, topic: str, partition: int) -> None:
        """Have the reader fetch again."""
        self.thread.post(lambda consumer: consumer.resume(TopicPartition(topic, partition)))

    def fatal(self, error: LaneError) -> None:
        """End the worker with the error's exit code."""
        if isinstance(error, HaltError) and self.halted is None:
            self.halted = error
            self.figures.add(LIMIT_TRIPS, (error.code,))
        self._fatal(error)

    def fenced(self, error: FencedError) -> None:
        """Leave the group and join again; a second fence within a minute ends the worker."""
        if self._rejoining is not None:
            return  # the other partitions that the same takeover has cost us
        now = time.monotonic()
        if self._fenced_at is not None and now - self._fenced_at < FENCE_AGAIN_S:
            self.fatal(error)
            return
        self._fenced_at = now
        self.settled = False
        log.warning("fenced, leaving the group to join again: %s", error)
        self._rejoining = asyncio.ensure_future(self.thread.leave_and_join_again())

    def lease_holds(self) -> bool:
        """Whether this worker may still answer as owner: its last heartbeat was accepted lately enough.

        A worker that was frozen wakes up with old balances: the broker may have given its
        partitions away, so it has to hear from the broker before it answers as owner again.
        """
        return self.lease_remaining_s() > 0

    def lease_remaining_s(self) -> float:
        """Return for how long it may answer as owner unless another heartbeat succeeds; 0 when run out."""
        sent_at = self.thread.heartbeat_sent_at
        if sent_at is None:
            return 0.0
        lease = self.settings.session_timeout - LEASE_MARGIN_S
        return max(0.0, sent_at + lease - time.monotonic())

    async def watch(self) -> None:
        """End the worker when a partition has work and makes no progress (a stuck fetcher, faust issue 629).

        So too when aiokafka has given the group up, as for a session time-out that the broker refuses.
        The clock stands still while a partition is being opened, so while the broker is away too.
        """
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            broken = self.thread.coordination_error()
            if broken is not None:
                self.fatal(GroupError(f"the consumer group cannot be joined: {broken!r}"))
            for (source, number), lane in list(self.partitions.items()):
                stuck_s = lane.stuck_for(self.stable_end(source, number))
                if stuck_s > STUCK_S:
                    self.fatal(StuckError(f"{lane.name} has work and made no progress for {stuck_s:.0f} s"))

    def fault_point(self, name: str) -> None:
        """Named place at which the fault rig may act; nothing here."""
