"""Runs one account: makes its calls one after the other, sends its facts, then keeps its cursor.

A cursor is written after the facts of its window are acknowledged, never before. While `may_write` is false
(a worker whose lease has run out) nothing is written.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from rebate_app.send_pipeline import SendPipeline
from rebate_app.streams.failures.dead_letter import failure_of
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.wire.failure_headers import Header
from rebate_app.wire.moments import SECOND_US

from .account import AccountRun, Call, Fetched, Reply
from .cursors import AccountDecision, NewestCursors
from .facts import FactBatch, FactMaker
from .gateway import Gateway
from .job import JobCursor, JobRun, encode_cursor
from .scans import BACKFILL, RescanState, night_of

#: A crash may forget the calls of so many seconds.
SAVE_SECONDS = 5.0
IDLE_SECONDS_MAX = 1.0

log = logging.getLogger(__name__)


class Sender(Protocol):
    """Sends records, acknowledged by all replicas (OrderService)."""

    async def send(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Sequence[Header] = ()
    ) -> list[tuple[int, int]]:
        """Send records in order; BrokerAwayError."""
        ...

    def pipeline(self, topic: str) -> SendPipeline:
        """Return a pipeline for many records."""
        ...


class FetchTopics(Struct, frozen=True):
    """The topics that a fetcher writes."""

    orders: str
    dead_letters: str
    cursors: str


class CallOutcome(Struct, frozen=True):
    """A call that was answered, for the metrics: `ok`, or the code of its problem's class."""

    method: str
    outcome: str


class Fetcher:
    """One account and its way to Kafka. `observe` is called after every answer with its call."""

    def __init__(
        self,
        run: AccountRun,
        maker: FactMaker,
        gateway: Gateway,
        sender: Sender,
        topics: FetchTopics,
        *,
        may_write: Callable[[], bool] = lambda: True,
        newest: NewestCursors | None = None,
        observe: Callable[[Call, str], None] = lambda _call, _outcome: None,
    ) -> None:
        self.run = run
        self._maker = maker
        self._gateway = gateway
        self._sender = sender
        self._topics = topics
        self._may_write = may_write
        self._newest = newest
        self._observe = observe
        self._saved_at = time.monotonic()
        self._decided_place = 0
        self._calling: JobRun | None = None
        #: Where our own code failed last, "" for nowhere.
        self.bug = ""

    def restore(self, cursors: dict[str, JobCursor]) -> None:
        """Go on from the kept cursors, by job; the app's budget is counted by the caller."""
        for job in self.run.jobs:
            cursor = cursors.get(job.spec.name)
            if cursor is not None:
                job.restore(cursor)
                self._maker.remember_refused(job.refused.digests)

    def decide(self, decision: AccountDecision | None, place: int, *, resumes: bool) -> None:
        """Take an operator's newest decision, which stands at a place of the topic.

        `resumes`: it is newer than what stopped the account.
        """
        if decision is None or place <= self._decided_place:
            return
        self._decided_place = place
        self.run.paused = decision.paused
        if resumes and not decision.paused:
            self.run.resume()
        if decision.backfill_to > decision.backfill_from:
            self.backfill(decision.request, decision.backfill_from, decision.backfill_to)

    def backfill(self, request: int, start: int, end: int) -> None:
        """Read an interval again at low priority; a request that was taken before changes nothing."""
        for job in self.run.jobs:
            state = job.rescans.get(BACKFILL)
            if state is None or state.at != request:
                if job.scan is not None and job.scan.kind == BACKFILL:
                    job.scan = None
                job.rescans[BACKFILL] = RescanState(request, [(start, end)])
                job.is_unsaved = True

    async def work(self) -> None:
        """Fetch until cancelled."""
        while True:
            wait = await self.step()
            await asyncio.sleep(min(IDLE_SECONDS_MAX, wait))

    async def step(self) -> float:
        """Make the next call if one is due; return the seconds to wait before the next step.

        Our own bug costs the job a retry: other jobs and accounts go on, and status shows it.
        """
        try:
            return await self._step()
        except Exception as error:
            log.exception("source %s failed, and tries again", self.run.configuration.id)
            mono = time.monotonic()
            self.bug = failure_of(error).fault.detail
            self.run.stumble(self._calling, mono, self.run.app.clock.now(mono, time.time()), self.bug)
            return IDLE_SECONDS_MAX if self._calling is None else 0.0

    async def _step(self) -> float:
        self._calling = None
        mono = time.monotonic()
        if mono - self._saved_at >= SAVE_SECONDS:
            await self.save()
        step = self.run.next(mono, time.time())
        if isinstance(step, float):
            return step
        self._calling = step.job
        reply = await self._gateway.post(step.url, step.form)
        fetched = self._take_answer(step, reply)
        if fetched is not None:
            await self._send(fetched)
        return 0.0

    def _take_answer(self, call: Call, reply: Reply) -> Fetched | None:
        """Take an answer, and tell the metrics how it was."""
        before = call.job.last_error
        fetched = self.run.answer(call, reply, time.monotonic(), time.time())
        error = call.job.last_error
        self._observe(call, "ok" if error is before or error is None else str(error.error))
        return fetched

    async def _send(self, fetched: Fetched) -> None:
        """Send what is new in a window, then move the watermark."""
        now = self.run.app.clock.now(time.monotonic(), time.time())
        night = night_of(now, self.run.configuration.nightly_minute)
        batch = self._maker.batch(fetched.job.spec.name, fetched.rows, int(now * SECOND_US), night)
        if not self._may_write():
            self.run.abandon(fetched, time.monotonic(), now, "the lease of this worker has run out")
            return
        try:
            await self._send_batch(batch)
            self._maker.acknowledge(batch)
            fetched.job.refused.add(night, batch.refused)
            self.run.commit(fetched, batch.counts)
            await self._save_jobs([fetched.job])
        except BrokerAwayError as error:
            log.warning("source %s waits for the broker: %s", self.run.configuration.id, error)
            if fetched.scan.windows:
                self.run.abandon(fetched, time.monotonic(), now, str(error))

    async def _send_batch(self, batch: FactBatch) -> None:
        async with self._sender.pipeline(self._topics.orders) as pipeline:
            for key, value in batch.records:
                await pipeline.put(key, value)
        for letter in batch.letters:
            await self._sender.send(
                self._topics.dead_letters, [(letter.key or b"", letter.value or b"")], letter.headers
            )

    async def save(self) -> None:
        """Keep the cursors of jobs that made calls since they were kept."""
        self._saved_at = time.monotonic()
        unsaved = [job for job in self.run.jobs if job.is_unsaved]
        if unsaved and self._may_write():
            try:
                await self._save_jobs(unsaved)
            except BrokerAwayError as error:
                log.warning("cursors of %s are not kept: %s", self.run.configuration.id, error)

    async def _save_jobs(self, jobs: Sequence[JobRun]) -> None:
        now = int(self.run.app.clock.now(time.monotonic(), time.time()))
        account = self.run.configuration.id
        if self._newest is not None:
            kept = await self._newest.cursors(account)
            for job in jobs:
                job.take_watermark(kept.get(job.spec.name))
        records = [encode_cursor(account, job.spec.name, job.cursor(now)) for job in jobs]
        await self._sender.send(self._topics.cursors, records)
        for job in jobs:
            job.is_unsaved = False
