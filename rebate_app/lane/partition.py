"""One partition of one stage: fence, restore, then chunk after chunk, strictly in order (design.md 3).

The state machine is OPENING → RUNNING → CLOSED, with RUNNING → OPENING after any failure whose
outcome is unknown: what was computed is dropped, the fence decides what had been committed, and the
changelog says where to go on. Nothing is guessed and nothing is skipped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from .buffer import ChunkBuffer
from .chunk import Chunk
from .computing import compute
from .failures import BugError, FencedError, LaneError, LeaseLostError
from .meters import StageMeter
from .outbox import Outbox
from .patience import Patience, Standstill
from .ports import LaneEnvironment
from .producers import PartitionProducers
from .restore import RestoreStalledError, restore
from .restoring import RestoreProgress
from .source_check import check_source
from .stage import Record, Stage
from .store import WATERMARK_KEY, Overlay, Store, StoreDamagedError, Watermark, encode_watermark
from .warm import Warm

OPENING, RUNNING, CLOSED = "opening", "running", "closed"

RETRYABLE = (KafkaError, OSError, LeaseLostError, RestoreStalledError, StoreDamagedError)

log = logging.getLogger(__name__)


class PartitionLane:
    """The only writer of one partition of a table while it runs."""

    def __init__(self, stage: Stage, partition: int, store: Store, environment: LaneEnvironment) -> None:
        self.stage = stage
        self.partition = partition
        self.store = store
        self.state = OPENING
        self.position = 0  # of the source: everything before it is held by the store
        self.stable_end = 0
        self.whole = False  # whether the store is at a watermark: it may answer, marked stale
        self.restoring = RestoreProgress(self.name)
        self._environment = environment
        settings = environment.settings
        self._producers = PartitionProducers(
            f"{settings.scope}-{stage.source}-{partition}",
            environment.client_options,
            transaction_timeout=settings.transaction_timeout,
            partitions=settings.partitions,
        )
        self._meter = StageMeter(environment.figures, stage)
        self._patience = Patience(settings.broker_deadline)
        self._buffer = ChunkBuffer()
        self._warm = Warm()
        self._paused = False
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._standstill = Standstill()
        store.on_damage(self._arrived.set)

    @property
    def name(self) -> str:
        """Return stage and partition, for logs."""
        return f"{self.stage.name}/{self.partition}"

    @property
    def next_offset(self) -> int:
        """Return watermark + 1: the source offset at which reading has to go on."""
        watermark = self.store.watermark
        return 0 if watermark is None else watermark.offset + 1

    @property
    def unfinished(self) -> int:
        """Return how much work the partition has sent itself and not yet done."""
        return self.stage.unfinished(self.store)

    async def open(self) -> None:
        """Fence older owners, then restore, then check that state and source belong together."""
        self.state = OPENING
        await self._producers.fence(self._fault)
        self._fault("fenced")
        self.whole = False
        self._warm.clear()
        self.restoring.begin()
        restored = await restore(
            self._environment.client_options,
            self.stage.changelog,
            self.partition,
            self.store,
            self._progress,
        )
        log.info(
            "restored %s: %d records from %d to %d", self.name, restored.records, restored.begin, restored.end
        )
        self.whole = True
        await self._check_source()
        self.position = self.next_offset
        self._buffer.reset(self.position)

    async def open_until_deadline(self, *, again: bool = False) -> None:
        """Open, with back-off and jitter while the broker is away; BrokerGoneError after the deadline.

        `again`: without a new assignment. Then only while the lease holds: who was frozen may have lost
        the partition, and would take it from its new owner by fencing it.
        """
        patience = Patience(self._environment.settings.broker_deadline)
        while True:
            try:
                if again and not self._environment.lease_holds():
                    raise LeaseLostError
                return await self.open()
            except RETRYABLE as error:
                log.warning("lane %s cannot open yet: %r", self.name, error)
                await patience.bear(error)

    def _fault(self, point: str) -> None:
        self._environment.fault_point(point)

    def _progress(self, position: int, end: int) -> None:
        self.restoring.note(position, end)
        self._fault("restoring")

    async def _check_source(self) -> None:
        source, count = self.stage.source, self._environment.settings.partitions
        offsets = await self._environment.source_offsets(source, self.partition)
        check_source(self.stage, self.partition, count, self.store.watermark, offsets)

    def start(self) -> None:
        """Begin to take chunks; the caller has positioned the reader at `next_offset`."""
        if self._task is not None:
            raise RuntimeError(f"{self.name} runs already: two tasks on one partition would lose updates")
        self.state = RUNNING
        self._patience.restart()
        self._task = asyncio.create_task(self._run(), name=f"lane-{self.name}")

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk; one that does not join is dropped, and one with a gap before it is read again."""
        if self.state != RUNNING:
            return
        if not self._buffer.add(chunk):
            self._environment.seek(self.stage.source, self.partition, self._buffer.expected)
            return
        if not self._buffer:
            return
        self._idle.clear()
        self._arrived.set()
        if self._buffer.is_high and not self._paused:
            self._paused = True
            self._environment.pause(self.stage.source, self.partition)

    async def _run(self) -> None:
        try:
            while self.state == RUNNING:
                await self._arrived.wait()
                await self._work()
        except FencedError as error:
            self.state = CLOSED
            self._meter.fenced()
            self._environment.fenced(error)
        except LaneError as error:
            self._environment.fatal(error)
        except Exception as error:
            log.exception("lane %s failed", self.name)
            self._environment.fatal(BugError(f"{self.name} failed: {error!r}"))
        finally:
            self._idle.set()  # nobody needs to wait for it any more

    async def _work(self) -> None:
        if self.store.damage is not None:
            await self._reopen(StoreDamagedError(self.store.damage))
        while self._buffer and self.state == RUNNING:
            records, end, stable_end = self._buffer.take(self.position)
            try:
                if records:
                    await self._commit(records)
            except RETRYABLE as error:
                self.state = OPENING if self.state == RUNNING else self.state
                await self._patience.bear(error)  # what is refused again and again must not run hot
                await self._reopen(error)
                return
            self.position = max(self.position, end)
            self.stable_end = max(stable_end, self.position)
            self._resume_when_low()
        if not self._buffer:
            self._arrived.clear()
            self._idle.set()

    def _resume_when_low(self) -> None:
        if self._paused and self._buffer.is_low:
            self._paused = False
            self._environment.resume(self.stage.source, self.partition)

    async def _commit(self, records: Sequence[Record]) -> None:
        """Compute records on an overlay, commit everything in one transaction, then make it visible.

        As many of them at a time as `compute` takes, until all are done.
        """
        first = self.next_offset
        left = [record for record in records if record.offset >= first]
        while left:
            began, overlay, outbox = time.perf_counter(), Overlay(self.store, self._warm), Outbox()
            taken, halt = await compute(self.stage, left, overlay, outbox, self._environment.turn)
            if taken:
                await self._make_visible(taken, overlay, outbox, began)
            if halt is not None:
                raise halt
            left = left[len(taken) :]

    async def _make_visible(
        self, records: Sequence[Record], overlay: Overlay, outbox: Outbox, began: float
    ) -> None:
        decided = time.perf_counter()
        overlay.changes[WATERMARK_KEY] = encode_watermark(
            Watermark(records[-1].offset, self.stage.source, self._environment.settings.partitions)
        )
        self._fault("computed")
        begun_at = time.time()
        async with asyncio.timeout(self._environment.settings.transaction_timeout):
            last = await self._producers.commit(
                outbox.records, self.stage.changelog, self.partition, overlay.changes, self._fault
            )
        self._fault("committed")
        self.store.apply(overlay.changes, last + 1, complete_at=begun_at)
        self._warm.keep(overlay)
        self._fault("applied")
        self._patience.restart()
        self._meter.committed(records, outbox, began, decided)

    async def _reopen(self, cause: BaseException) -> None:
        """Drop what was computed and begin again at the fence, with back-off, until the deadline."""
        log.warning("lane %s begins again at the fence: %r", self.name, cause)
        self._meter.reopened()
        self._drop_buffer()
        await self.open_until_deadline(again=True)
        if self.state == OPENING:
            self.state = RUNNING
            self._environment.seek(self.stage.source, self.partition, self.position)

    def _drop_buffer(self) -> None:
        self._buffer.reset(self.position)
        self._arrived.clear()
        self._idle.set()
        self._paused = False

    def stuck_for(self, stable_end: int) -> float:
        """Return for how many seconds there has been work without progress; 0 while opening."""
        has_work = self.state == RUNNING and (self._buffer.records > 0 or self.position < stable_end)
        return self._standstill.seconds((self.position, self.next_offset), has_work=has_work)

    async def drain(self, seconds_max: float) -> bool:
        """Finish what was submitted, at most that long; return whether all of it is committed."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds_max)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Take no more chunks and drop what is not committed; the store stays."""
        self.state = CLOSED
        self._drop_buffer()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._producers.close()

    async def give_up(self) -> None:
        """Stop for good: another worker owns the partition; memory forgets, a disk keeps for its return."""
        await self.stop()
        self.store.close()
