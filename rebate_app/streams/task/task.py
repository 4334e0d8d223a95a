"""One partition of one stage: fence, restore, then batch after batch, strictly in order.

See docs/spec/exactness.md#transaction.

TRANSITIONS is the life of a task. After any failure whose outcome is unknown a running task opens again: it
drops what it computed, the fence decides what was committed, and the changelog gives the position to go on
from. A task processes batches only while it is RUNNING, and becomes RUNNING only from OPENING.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from rebate_app.domain.pricing.catalogue import VersionNotReadError

from ..errors import (
    BugError,
    FencedError,
    HaltError,
    LeaseLostError,
    ProducersExpiredError,
    StateLostError,
    StreamsError,
    UnreadableStateError,
)
from ..kafka.resumptions import Resumption
from ..state.buffer import StateTransaction
from ..state.build import BuildStep, next_build
from ..state.cache import RecordCache
from ..state.changelog import locate_unreadable_state
from ..state.loss_confirmation import LossConfirmation
from ..state.restore import restore
from ..state.restore_progress import RestoreProgress
from ..state.store import WATERMARK_KEY, Store, StoreDamagedError, Watermark, encode_watermark
from ..supervision import supervise
from ..transaction.collector import OutgoingRecord, RecordCollector
from ..transaction.producers import PartitionProducers
from .backoff import Backoff, StallDetector
from .batch import RecordBatch
from .batch_queue import BatchQueue
from .execution import SLICE_SECONDS, SLICES_MAX, execute_batch
from .halt import Halt
from .meters import StageMeter
from .owner_notes import OwnerNotes
from .owner_writes import OwnerWrites, WriteDroppedError, always
from .ports import TaskEnvironment
from .source_check import LogIdentity, adopted, check_source
from .stage import Record, Stage

OPENING, RUNNING, CLOSED = "opening", "running", "closed"
TRANSITIONS: Mapping[str, frozenset[str]] = {
    OPENING: frozenset({OPENING, RUNNING, CLOSED}),  # another attempt; started; stopped or failed
    RUNNING: frozenset({OPENING, CLOSED}),  # outcome unknown; stopped or fenced
    CLOSED: frozenset({OPENING, CLOSED}),  # assigned again after a rebalance; stopped twice
}

RESTING_RECORDS_MAX = 1_000  # looked at in one step of the loop, in less than a millisecond

RETRYABLE = (KafkaError, OSError, LeaseLostError, ProducersExpiredError, StoreDamagedError)

log = logging.getLogger(__name__)


class StreamTask:
    """The only writer of one partition of a table while it is RUNNING."""

    def __init__(
        self,
        stage: Stage,
        partition: int,
        store: Store,
        environment: TaskEnvironment,
        notes: OwnerNotes | None = None,
    ) -> None:
        self.stage = stage
        self.partition = partition
        self.store = store
        self._state = OPENING
        self.position = 0  # in the source: the store includes everything before it
        self.stable_end = 0
        self.is_restored = False  # the store is at a watermark: it may answer, marked stale
        self.restoring = RestoreProgress(self.name)
        self.halt: Halt | None = None  # while it is RUNNING and reads no further
        self._environment = environment
        self._notes = notes
        self._noted_revision = -1
        self._owner_writes = OwnerWrites()
        self._producers = _producers_of(stage, partition, environment)
        self._meter = StageMeter(environment.metrics, stage)
        self._backoff = Backoff(environment.settings.broker_deadline)
        self._buffer = BatchQueue()
        self._cache = RecordCache()
        self._at_rest: list[bytes] = []  # keys that have left the cache, for the store to know
        self._identity = LogIdentity("", "")  # of the source
        self._paused = False
        self._drains = False  # takes no more batches until it starts again
        self._builds = False  # whether a kind of record that the store lacks is being built
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._batch_began = 0.0
        self._resumption: Resumption | None = None  # that was in force when the last batch began
        self._task: asyncio.Task[None] | None = None
        self._stall = StallDetector()
        self._is_opening = False
        self._steps = 0  # of opening: attempts, and steps that each of them completed
        store.on_damage(self._arrived.set)

    @property
    def name(self) -> str:
        """Return stage and partition, as logs show them."""
        return f"{self.stage.name}/{self.partition}"

    @property
    def record_ahead_seconds(self) -> float:
        """Return how far records of the last minutes were dated ahead of this worker's clock."""
        return self._meter.record_ahead_seconds()

    @property
    def state(self) -> str:
        """Return OPENING, RUNNING or CLOSED."""
        return self._state

    def _become(self, state: str) -> None:
        """Change the state; RuntimeError for a transition that TRANSITIONS does not have."""
        if state not in TRANSITIONS[self._state]:
            raise RuntimeError(f"{self.name} cannot become {state} while it is {self._state}")
        self._state = state

    @property
    def next_offset(self) -> int:
        """Return watermark + 1: the source offset at which reading continues."""
        watermark = self.store.watermark
        return 0 if watermark is None else watermark.offset + 1

    @property
    def unfinished(self) -> int:
        """Return how many records the partition has sent to itself and not processed yet."""
        return self.stage.unfinished(self.store)

    async def open(self) -> None:
        """Fence older owners, restore the store, check that state and source belong together."""
        self._become(OPENING)
        await self._producers.fence(self._fault)
        self._fault("fenced")
        self._steps += 1
        self.is_restored = False
        self.halt = None  # what tripped it will do so again
        self._cache.clear()
        self._at_rest.clear()
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
        self.is_restored = True
        self._steps += 1
        begin = await self._check_source()
        self._builds = next_build(self.stage.builds, self.store) is not None
        if self._notes is not None:
            await self._notes.ready(self.store)
            self._noted_revision = -1
        self.position = max(self.next_offset, begin)
        self._buffer.reset(self.position)

    async def open_until_deadline(self, *, again: bool = False) -> None:
        """Open, with back-off and jitter while the broker is away; BrokerGoneError after the deadline.

        StateLostError: something is lost, and is so again after some seconds.
        `again`: without a new assignment, and so only while the lease holds. A worker that was frozen may
        have lost the partition, and its fence would take it from the new owner.
        """
        backoff = Backoff(self._environment.settings.broker_deadline)
        confirmation = LossConfirmation()
        self._is_opening = True
        try:
            while True:
                self._steps += 1
                try:
                    if again and not self._environment.lease_holds():
                        raise LeaseLostError
                    return await self.open()
                except StateLostError as error:
                    await confirmation.wait(error)
                except RETRYABLE as error:
                    log.warning("%s cannot open yet: %r", self.name, error)
                    await backoff.wait(error)
        finally:
            self._is_opening = False

    def _fault(self, point: str) -> None:
        self._environment.fault_point(point)

    def _progress(self, position: int, end: int) -> None:
        self.restoring.note(position, end)
        self._fault("restoring")

    async def _check_source(self) -> int:
        """Compare state and source, have the state adopt ids that it lacks; return where the log begins.

        What this task has read before is processed or is no record: it may be deleted.
        """
        source, count = self.stage.source, self._environment.settings.partitions
        self._identity = identity = await self._environment.log_identity(source)
        begin, end, committed = await self._environment.source_offsets(source, self.partition)
        offsets = (0 if begin <= self.position else begin, end, committed)
        check_source(self.stage, self.partition, count, self.store.watermark, offsets, identity)
        whole = None if self.store.watermark is None else adopted(self.store.watermark, identity)
        if whole is not None:
            log.info("the state of %s adopts %s of %s", self.name, identity, source)
            transaction = StateTransaction(self.store)
            transaction.put(WATERMARK_KEY, encode_watermark(whole))
            await self._write(transaction, RecordCollector())
        return begin

    def start(self) -> None:
        """Begin to process batches; the caller positions the reader at `position`."""
        if self._task is not None:
            raise RuntimeError(
                f"{self.name} runs already: two asyncio tasks on one partition would lose updates"
            )
        self._become(RUNNING)
        self._drains = False
        self._backoff.restart()
        self.check_notes()
        self._task = supervise(self._run, f"task {self.name}", self._environment.fatal, may_return=True)

    @property
    def _note_is_due(self) -> bool:
        return self._notes is not None and self._notes.revision != self._noted_revision

    def check_notes(self) -> None:
        """Note what is new soon, also while no record arrives."""
        if self._note_is_due:
            self._arrived.set()

    async def write_as_owner(
        self, records: Sequence[OutgoingRecord], holds: Callable[[], bool] = always
    ) -> None:
        """Write records of the owner's own, through the fenced producers; return once they are committed.

        They are in a transaction of their own, between two batches. `holds` is asked right before it: False
        drops them, whatever was folded since they were queued. Any error: whether they were written is not
        known, FencedError and WriteDroppedError aside.
        """
        if self.state != RUNNING:
            raise WriteDroppedError(f"{self.name} is {self.state}")
        written = self._owner_writes.add(records, holds)
        self._arrived.set()
        await written

    def submit(self, batch: RecordBatch) -> None:
        """Queue a batch; what was read before is dropped, and a gap before it makes the reader go back."""
        if self.state != RUNNING or self.halt is not None or self._drains:
            return
        if not self._buffer.add(batch):
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
            while self.state != CLOSED:
                if not self._builds:
                    await self._arrived.wait()
                await self._work()
        except FencedError as error:
            self._become(CLOSED)
            self._meter.fenced()
            self._environment.fenced(error)
        except UnreadableStateError as error:
            self._environment.fatal(await self._with_place(error))
        except StreamsError as error:
            self._environment.fatal(error)
        except Exception as error:
            log.exception("%s failed", self.name)
            self._environment.fatal(BugError(f"{self.name} failed: {error!r}"))
        finally:
            self._owner_writes.drop(WriteDroppedError(f"{self.name} has ended"))
            self._idle.set()  # so that nobody waits for it any more

    @property
    def _has_work(self) -> bool:
        return bool(self._buffer or self._owner_writes or self._note_is_due or self._builds)

    async def _with_place(self, error: UnreadableStateError) -> StreamsError:
        spot = TopicPartition(self.stage.changelog, self.partition)
        try:
            return await locate_unreadable_state(self._environment.client_options, spot, error)
        except (KafkaError, OSError, TimeoutError) as failed:
            log.warning("the offset of %r in %s/%d is unknown: %r", error.key, *spot, failed)
            return error

    async def _work(self) -> None:
        if self.store.damage is not None:
            await self._reopen(StoreDamagedError(self.store.damage))
        while self._has_work and self.state == RUNNING:
            end, stable_end = self.position, self.stable_end
            try:
                await self._write_own()
                if self._buffer:
                    await self._gather()
                    records, end, stable_end = self._buffer.take(self.position)
                    if records:
                        await self._commit(records)
                if self._builds:
                    await self._build()
            except HaltError as error:
                self._read_no_further(error)
                return
            except RETRYABLE as error:
                if self.state == RUNNING:
                    self._become(OPENING)
                await self._backoff.wait(
                    error
                )  # a batch that is refused repeatedly must not run in a hot loop
                await self._reopen(error)
                return
            self.position = max(self.position, end)
            self.stable_end = max(stable_end, self.position)
            self._resume_when_low()
            if not self._buffer:
                self._idle.set()
        if not self._buffer:
            self._arrived.clear()
            self._idle.set()

    async def _gather(self) -> None:
        """Let more records arrive before the next batch, where the worker is busy."""
        wait_seconds = self._environment.pacer.wait_seconds(self._batch_began, self._buffer.records)
        if wait_seconds > 0:
            await asyncio.sleep(wait_seconds)
        self._batch_began = time.perf_counter()

    def _read_no_further(self, error: HaltError) -> None:
        """Halt before the record that was refused; the store goes on answering."""
        log.error("%s is halted: %s", self.name, error)
        self.halt = Halt(error.code, str(error), error.offset, self._resumption)
        self._meter.halted(error.code)
        self.position = max(self.position, self.next_offset)
        self._drop_buffer()
        self._environment.pause(self.stage.source, self.partition)
        self.check_notes()

    def resume(self) -> None:
        """Go on reading a halted partition where it stopped."""
        if self.halt is not None:
            self.halt = None
            self._buffer.reset(self.position)
            self._environment.seek(self.stage.source, self.partition, self.position)

    def _resume_when_low(self) -> None:
        if self._paused and self._buffer.is_low:
            self._paused = False
            self._environment.resume(self.stage.source, self.partition)

    async def _commit(self, records: Sequence[Record]) -> None:
        """Fold the records, commit, make the changes visible; repeat until no record is left.

        Each round takes as many records as `execute_batch` does.
        """
        self._resumption = self._environment.resumption(self.stage.source, self.partition)
        first = self.next_offset
        left = [record for record in records if record.offset >= first]
        while left:
            began, transaction, collector = (
                time.perf_counter(),
                StateTransaction(self.store, self._cache),
                RecordCollector(),
            )
            try:
                taken, halt = await execute_batch(
                    self.stage, left, transaction, collector, self._environment.compute_lock
                )
            except VersionNotReadError as error:
                if self._notes is None:
                    raise
                await self._notes.find(error.version)
                continue
            if taken:
                await self._make_visible(taken, transaction, collector, began)
            if halt is not None:
                raise halt
            left = left[len(taken) :]

    async def _make_visible(
        self,
        records: Sequence[Record],
        transaction: StateTransaction,
        collector: RecordCollector,
        began: float,
    ) -> None:
        decided = time.perf_counter()
        transaction.changes[WATERMARK_KEY] = encode_watermark(
            Watermark(
                records[-1].offset,
                self.stage.source,
                self._environment.settings.partitions,
                self._identity.topic_id,
                cluster=self._identity.cluster,
            )
        )
        await self._write(transaction, collector)
        self._meter.committed(records, collector, began, decided)
        await self._rest()

    async def _rest(self) -> None:
        """Have the store pack the records that have left the cache, in another thread."""
        while self._at_rest:
            packing = self.store.packing(self._at_rest[-RESTING_RECORDS_MAX:])
            del self._at_rest[-RESTING_RECORDS_MAX:]
            if packing is not None:
                await asyncio.to_thread(packing.run)
                packing.finish()

    async def _commit_note(self) -> None:
        """Commit what the owner has to note, in a transaction of its own, before the next batch is folded."""
        notes = self._notes
        if notes is None:
            return
        revision = notes.revision
        transaction, collector = StateTransaction(self.store), RecordCollector()
        notes.note(self.store, self.partition, self.next_offset - 1, transaction, collector)
        if transaction.changes:
            await self._write(transaction, collector)
            self._fault("noted")
        self._noted_revision = revision

    async def _write(self, transaction: StateTransaction, collector: RecordCollector) -> None:
        """Commit changes and messages in one transaction, and make the changes visible."""
        self._fault("computed")
        begun_at = time.time()
        async with asyncio.timeout(self._environment.settings.transaction_timeout):
            last = await self._producers.commit(
                collector.records, self.stage.changelog, self.partition, transaction.changes, self._fault
            )
        self._fault("committed")
        self.store.apply(transaction.changes, last + 1, complete_at=begun_at)
        self._at_rest += self._cache.keep(transaction)
        self._fault("applied")
        self._backoff.restart()

    async def _write_own(self) -> None:
        """Write what the owner writes of its own accord."""
        if self._note_is_due:
            await self._commit_note()
        if self._owner_writes:
            await self._owner_writes.commit(self._send_alone)

    async def _send_alone(self, records: Sequence[OutgoingRecord]) -> None:
        """Commit outgoing records that come with no change of the state."""
        async with asyncio.timeout(self._environment.settings.transaction_timeout):
            await self._producers.commit(records, self.stage.changelog, self.partition, {}, self._fault)
        self._fault("owner-wrote")

    async def _build(self) -> None:
        """Take one step of building a kind of record that the store lacks (ADR 13), and commit it.

        A step has records of its own and the watermark as it is, so that standbys take it like a batch.
        """
        build, watermark = next_build(self.stage.builds, self.store), self.store.watermark
        if build is None or watermark is None:
            self._builds = False
            return
        step = BuildStep(build, self.store)
        lock = self._environment.compute_lock
        for _ in range(SLICES_MAX):
            async with lock:
                is_full = step.run(SLICE_SECONDS)
                await asyncio.sleep(0)
            if is_full:
                break
        async with lock:
            progress = step.finish()
            await asyncio.sleep(0)
        self._fault("built")
        step.transaction.changes[WATERMARK_KEY] = encode_watermark(watermark)
        await self._write(step.transaction, RecordCollector())
        if progress.done:
            log.info("%s has built %s", self.name, build.name)

    async def _reopen(self, cause: BaseException) -> None:
        """Drop what was computed and open again, with back-off, until the deadline."""
        level = logging.INFO if isinstance(cause, ProducersExpiredError) else logging.WARNING
        log.log(level, "%s begins again at the fence: %r", self.name, cause)
        self._meter.reopened()
        self._drop_buffer()
        await self.open_until_deadline(again=True)
        if self.state == OPENING:  # else it was stopped meanwhile
            self._become(RUNNING)
            self._environment.seek(self.stage.source, self.partition, self.position)
            self.check_notes()

    def _drop_buffer(self) -> None:
        self._buffer.reset(self.position)
        self._arrived.clear()
        self._idle.set()
        self._paused = False

    @property
    def is_opening(self) -> bool:
        """Whether it is being opened: fenced, restored, compared with its source."""
        return self._is_opening

    @property
    def opening_progress(self) -> tuple[int, int]:
        """Return a value that changes with each attempt and step of opening, and each record restored."""
        return self._steps, self.restoring.position

    @property
    def has_ended(self) -> bool:
        """Whether it is not closed and its asyncio task has ended."""
        return self.state != CLOSED and self._task is not None and self._task.done()

    def stalled_seconds(self, stable_end: int) -> float:
        """Return for how long there has been work without progress.

        Opening is work: each failed attempt, each step and each restored record is progress.
        """
        is_reading = self.state == RUNNING and self.halt is None
        has_work = is_reading and (self._buffer.records > 0 or self.position < stable_end)
        progress = (self.position, self.next_offset, self.opening_progress)
        return self._stall.seconds(progress, has_work=has_work or self._is_opening)

    async def drain(self, seconds_max: float) -> bool:
        """Take no more batches until the next start, and wait until those submitted are committed.

        So stopping it afterwards cuts off no commit, whose records would count nowhere, and a partition that
        is moved under load does not wait for ever more of it. Returns whether it was done in that time.
        """
        self._drains = True
        return await self.wait_idle(seconds_max)

    async def wait_idle(self, seconds_max: float) -> bool:
        """Wait until all submitted batches are committed, at most that long; return whether they are."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds_max)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Stop processing and drop what is not committed; the store stays open."""
        self._become(CLOSED)
        self._drop_buffer()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._producers.close()

    async def give_up(self) -> None:
        """Stop for good: another worker owns the partition. A store on disk stays for its return."""
        await self.stop()
        self.store.close()


def _producers_of(stage: Stage, partition: int, environment: TaskEnvironment) -> PartitionProducers:
    settings = environment.settings
    return PartitionProducers(
        f"{settings.scope}-{stage.source}-{partition}",
        environment.client_options,
        transaction_timeout=settings.transaction_timeout,
        partitions=settings.partitions,
    )
