"""One partition's webhooks: what is read goes through its queues; what they say is done, here.

Law: nothing is committed over that is not released, and nothing is sent twice by one owner but after a
failure. It works beside the lane and never waits in the reader: a retry topic whose head is not due rests in
a window, and its partition is paused once the window is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from msgspec import Struct

from rebate_app.lane.chunk import Chunk
from rebate_app.lane.outbox import Outgoing
from rebate_app.lane.stage import Record

from .copies import Mark, Undelivered, copy_of, dead_letter_of, mark_of
from .deliveries import DELIVERED, NEEDED, REFUSED, STALE, Attempt, Copy, Plan, Release
from .gate import Gate
from .meter import WebhookMeter
from .post import Answered
from .queues import Queues
from .sender import Sender
from .window import Window

#: Attempts of one partition that are under way or wait at the gate; the rest waits in the window.
FLYING_MAX = 64
#: Events of one partition that wait in retry topics; beyond them rebate-events is not read on.
WAITING_MAX = 100_000
TAKEN_AT_ONCE_MAX = 100  # then others get their turn
PARTING_S = 0.25  # others wait for us to leave: an attempt that takes longer is made again

log = logging.getLogger(__name__)


class Reader(Protocol):
    """The group's consumer."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Have the reader go on at that offset, and fetch."""
        ...

    def pause(self, topic: str, partition: int) -> None:
        """Have the reader fetch nothing more of that partition."""
        ...


class Post(Protocol):
    """Where events are sent."""

    async def post(self, body: bytes, attempt: int) -> Answered:
        """Send the bytes once; return how that ended."""
        ...


class Surroundings(Struct, frozen=True):
    """What all partitions share."""

    plan: Plan
    delays_ms: tuple[int, ...]
    dead: str
    imprint: tuple[str, str, str]  # app id, version, worker
    reader: Reader
    post: Post
    sender: Sender
    gate: Gate
    meter: WebhookMeter
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


class Deliverer:
    """The webhooks of one partition, from `start` to `stop`."""

    def __init__(
        self, partition: int, queues: Queues, starts: dict[str, int], surroundings: Surroundings
    ) -> None:
        self.partition = partition
        self.queues = queues
        self.windows = {topic: Window(topic, partition, at) for topic, at in starts.items()}
        self._around = surroundings
        self._flying = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_gate: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None

    def submit(self, chunk: Chunk) -> None:
        """Take what was fetched; where there is a gap before it, it is read again."""
        window, reader = self.windows[chunk.topic], self._around.reader
        if not window.add(chunk):
            reader.seek(window.topic, self.partition, window.expected)
        elif window.is_high and not window.paused:
            window.paused = True
            reader.pause(window.topic, self.partition)
        self._changed.set()

    def positions(self) -> dict[tuple[str, int], int]:
        """Return where the group goes on after us, by topic and partition."""
        return {(topic, self.partition): window.position for topic, window in self.windows.items()}

    async def run(self) -> None:
        """Deliver until cancelled; raises what nobody expected."""
        for window in self.windows.values():
            self._around.reader.seek(window.topic, self.partition, window.expected)
        self._act()
        while True:
            self._changed.clear()
            if self._failed is not None:
                raise self._failed
            wait_s = 0.0 if self._take_some() else self._until_due_s()
            if wait_s == 0:
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def part(self) -> None:
        """Take nothing more, and wait a moment for what is under way."""
        self._flying = FLYING_MAX
        for task in self._at_gate:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=PARTING_S)

    async def stop(self) -> None:
        """Drop everything that is under way: it is not committed, so somebody does it again."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- taking

    def _take_some(self) -> bool:
        """Take records that are due, the older ones first; return whether there may be more."""
        taken = 0
        for topic, window in reversed(self.windows.items()):
            retry = topic in self._around.plan.retries
            while window.waiting and taken < TAKEN_AT_ONCE_MAX and self._may_take(retry=retry):
                record = window.waiting[0]
                if retry and not self._may_go(window, record):
                    break
                self.queues.arrived(window.take())
                self._act()
                taken += 1
            self._read_on(window)
        return taken >= TAKEN_AT_ONCE_MAX

    def _may_go(self, window: Window, record: Record) -> bool:
        judged = self.queues.judge(record)
        return judged == STALE or (judged == NEEDED and self._due_in_ms(window) <= 0)

    def _may_take(self, *, retry: bool) -> bool:
        if self._flying >= FLYING_MAX:
            return False
        return retry or len(self.queues) < WAITING_MAX or self.queues.must_read_on

    def _read_on(self, window: Window) -> None:
        if window.paused and window.is_low:
            window.paused = False
            self._around.reader.seek(window.topic, self.partition, window.expected)

    def _due_in_ms(self, window: Window) -> int:
        delay = self._around.delays_ms[self._around.plan.retries.index(window.topic)]
        return int(window.waiting[0].timestamp) + delay - self._around.clock_ms()

    def _until_due_s(self) -> float | None:
        """Return in how many seconds the next copy is due, None while none waits that may be taken."""
        if self._flying >= FLYING_MAX:
            return None
        due = [
            self._due_in_ms(window)
            for topic, window in self.windows.items()
            if topic in self._around.plan.retries and window.waiting
        ]
        ahead = [in_ms for in_ms in due if in_ms > 0]  # what is due and unclear waits for its acknowledgement
        return min(ahead) / 1_000 if ahead else None

    # -- doing

    def _act(self) -> None:
        for action in self.queues.take_actions():
            if isinstance(action, Release):
                self.windows[action.place.topic].release(action.place.offset)
            elif isinstance(action, Attempt):
                self._flying += 1
                self._begin(self._attempt(action))
            elif isinstance(action, Copy):
                self._begin(self._copy(action))
            else:
                self._begin(self._mark(action))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"webhook-{self.partition}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed = task.exception()
        self._changed.set()

    async def _attempt(self, action: Attempt) -> None:
        gate, meter = self._around.gate, self._around.meter
        probe = await self._enter(gate)
        answered: Answered | None = None
        try:
            answered = await self._around.post.post(action.event.value, action.delivery.travel.attempts + 1)
        finally:
            up = None if answered is None else answered.outcome in (DELIVERED, REFUSED)
            gate.leave(probe=probe, answered=up, wait_s=answered.retry_after_s if answered else 0.0)
        self._flying -= 1
        meter.attempted(answered)
        self.queues.finished(action.delivery, answered.outcome, answered.code)
        self._act()

    async def _enter(self, gate: Gate) -> bool:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an attempt is made in a task of its own")
        self._at_gate.add(task)
        try:
            return await gate.enter()
        finally:
            self._at_gate.discard(task)

    async def _copy(self, action: Copy) -> None:
        around = self._around
        meter, now = around.meter, around.clock_ms()
        if action.reason:
            why = Undelivered(action.reason, *around.imprint)
            record = dead_letter_of(action.event, action.travel, why, around.dead, now)
        else:
            topic = around.plan.retries[action.level]
            record = copy_of(action.event, action.travel, topic, around.plan.app, now)
        place = await around.sender.send(record)
        meter.copied(action)
        self.queues.copied(action.delivery, place)
        self._act()

    async def _mark(self, mark: Mark) -> None:
        around = self._around
        topic = around.plan.retries[-1]
        record: Outgoing = mark_of(mark, topic, self.partition, around.plan.app, around.clock_ms())
        await around.sender.send(record)
