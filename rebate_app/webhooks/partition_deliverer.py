"""Deliver the webhooks of one partition: records go through its queues, whose actions are carried out here.

An offset is committed only after its record is released. One owner resends only after a failure. The reader
is never kept waiting: records of a retry topic that are not due stay in a window, and its partition is paused
once the window is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from msgspec import Struct

from rebate_app.streams.kafka.aiokafka_clients import ClientCancelledError
from rebate_app.streams.side.gate import Gate
from rebate_app.streams.side.window import Window
from rebate_app.streams.task.batch import RecordBatch
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import OutgoingRecord

from .delivery import DELIVERED, NEEDED, REFUSED, STALE, DeliveryAttempt, Forward, Plan, Release
from .meter import WebhookMeter
from .poster import AttemptResult
from .queues import Queues
from .retry_records import ProgressMarker, Undelivered, dead_letter_record, progress_record, retry_record
from .retry_sender import RecordSender

#: Most attempts of one partition in flight or at the gate; other records wait in the window.
IN_FLIGHT_MAX = 64
#: Most undone events of one partition; at so many, reading of rebate-events stops.
WAITING_MAX = 100_000
TAKEN_AT_ONCE_MAX = 100  # then other tasks run
DRAIN_SECONDS_MAX = 0.25  # a rebalance waits for it; a longer attempt is repeated by the next owner

log = logging.getLogger(__name__)


class Reader(Protocol):
    """The group's consumer."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Continue fetching at that offset."""
        ...

    def pause(self, topic: str, partition: int) -> None:
        """Fetch nothing more of that partition."""
        ...


class EventPoster(Protocol):
    """Sends events to the receiver."""

    async def post(self, body: bytes, attempt: int) -> AttemptResult:
        """Send the bytes once; return the result."""
        ...


class DeliveryContext(Struct, frozen=True):
    """What the deliverers of all partitions share. `imprint`: app id, version and worker of dead letters."""

    plan: Plan
    delays_ms: tuple[int, ...]
    dead_letter_topic: str
    imprint: tuple[str, str, str]
    reader: Reader
    poster: EventPoster
    sender: RecordSender
    gate: Gate
    meter: WebhookMeter
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


class PartitionDeliverer:
    """The webhooks of one partition, from `start` to `stop`."""

    def __init__(
        self, partition: int, queues: Queues, starts: dict[str, int], context: DeliveryContext
    ) -> None:
        self.partition = partition
        self.queues = queues
        self.windows = {topic: Window(topic, partition, at) for topic, at in starts.items()}
        self._context = context
        self._in_flight = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_gate: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None

    def submit(self, batch: RecordBatch) -> None:
        """Take a fetched batch; after a gap, fetch again from the expected offset."""
        window, reader = self.windows[batch.topic], self._context.reader
        if not window.add(batch):
            reader.seek(window.topic, self.partition, window.expected)
        elif window.is_high and not window.paused:
            window.paused = True
            reader.pause(window.topic, self.partition)
        self._changed.set()

    def positions(self) -> dict[tuple[str, int], int]:
        """Return the offsets to commit, by topic and partition."""
        return {(topic, self.partition): window.position for topic, window in self.windows.items()}

    async def run(self) -> None:
        """Deliver until cancelled; raises unexpected errors of its tasks."""
        for window in self.windows.values():
            self._context.reader.seek(window.topic, self.partition, window.expected)
        self._act()
        while True:
            self._changed.clear()
            if self._failed is not None:
                raise self._failed
            wait_seconds = 0.0 if self._take_some() else self._until_due_seconds()
            if wait_seconds == 0:
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._changed.wait()

    async def drain(self) -> None:
        """Take nothing more, and wait up to DRAIN_SECONDS_MAX for what is in flight."""
        self._in_flight = IN_FLIGHT_MAX
        for task in self._at_gate:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=DRAIN_SECONDS_MAX)

    async def stop(self) -> None:
        """Cancel everything in flight; it is not committed, so the next owner repeats it."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- taking

    def _take_some(self) -> bool:
        """Take records that are due, those of the longest delay first; return whether more may be due."""
        taken = 0
        for topic, window in reversed(self.windows.items()):
            retry = topic in self._context.plan.retries
            while window.waiting and taken < TAKEN_AT_ONCE_MAX and self._may_take(retry=retry):
                record = window.waiting[0]
                if retry and not self._is_due_or_stale(window, record):
                    break
                self.queues.take(window.take())
                self._act()
                taken += 1
            self._resume_reading(window)
        return taken >= TAKEN_AT_ONCE_MAX

    def _is_due_or_stale(self, window: Window, record: Record) -> bool:
        need = self.queues.classify(record)
        return need == STALE or (need == NEEDED and self._due_in_ms(window) <= 0)

    def _may_take(self, *, retry: bool) -> bool:
        if self._in_flight >= IN_FLIGHT_MAX:
            return False
        return retry or len(self.queues) < WAITING_MAX or self.queues.must_read_on

    def _resume_reading(self, window: Window) -> None:
        if window.paused and window.is_low:
            window.paused = False
            self._context.reader.seek(window.topic, self.partition, window.expected)

    def _due_in_ms(self, window: Window) -> int:
        delay = self._context.delays_ms[self._context.plan.retries.index(window.topic)]
        return int(window.waiting[0].timestamp) + delay - self._context.clock_ms()

    def _until_due_seconds(self) -> float | None:
        """Return the seconds until the next retry record is due, None if none may be taken."""
        if self._in_flight >= IN_FLIGHT_MAX:
            return None
        due = [
            self._due_in_ms(window)
            for topic, window in self.windows.items()
            if topic in self._context.plan.retries and window.waiting
        ]
        ahead = [in_ms for in_ms in due if in_ms > 0]  # due and UNCLEAR: waits for its acknowledgement
        return min(ahead) / 1_000 if ahead else None

    # -- acting

    def _act(self) -> None:
        for action in self.queues.take_actions():
            if isinstance(action, Release):
                self.windows[action.place.topic].release(action.place.offset)
            elif isinstance(action, DeliveryAttempt):
                self._in_flight += 1
                self._start(self._attempt(action))
            elif isinstance(action, Forward):
                self._start(self._forward(action))
            else:
                self._start(self._write_marker(action))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"webhook-{self.partition}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._failed = self._failed or task.exception()
        elif not task.cancelling():
            self._failed = ClientCancelledError("an attempt was cancelled by the client")
        self._changed.set()

    async def _attempt(self, action: DeliveryAttempt) -> None:
        gate, meter = self._context.gate, self._context.meter
        probe = await self._enter(gate)
        result: AttemptResult | None = None
        try:
            result = await self._context.poster.post(action.event.value, action.delivery.state.attempts + 1)
        finally:
            up = None if result is None else result.outcome in (DELIVERED, REFUSED)
            gate.leave(probe=probe, answered=up, wait_seconds=result.retry_after_seconds if result else 0.0)
        self._in_flight -= 1
        meter.count_attempt(result)
        self.queues.attempt_ended(action.delivery, result.outcome, result.code)
        self._act()

    async def _enter(self, gate: Gate) -> bool:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an attempt runs in a task of its own")
        self._at_gate.add(task)
        try:
            return await gate.enter()
        finally:
            self._at_gate.discard(task)

    async def _forward(self, action: Forward) -> None:
        context = self._context
        meter, now = context.meter, context.clock_ms()
        if action.reason:
            why = Undelivered(action.reason, *context.imprint)
            record = dead_letter_record(action.event, action.state, why, context.dead_letter_topic, now)
        else:
            topic = context.plan.retries[action.level]
            record = retry_record(action.event, action.state, topic, context.plan.app, now)
        place = await context.sender.send(record)
        meter.count_forward(action)
        self.queues.forwarded(action.delivery, place)
        self._act()

    async def _write_marker(self, marker: ProgressMarker) -> None:
        context = self._context
        topic = context.plan.retries[-1]
        record: OutgoingRecord = progress_record(
            marker, topic, self.partition, context.plan.app, context.clock_ms()
        )
        await context.sender.send(record)
