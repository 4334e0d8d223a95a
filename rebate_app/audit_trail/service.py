"""The audit trail of one worker: its writer, its reader, and the summaries of accepted order facts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from msgspec import Struct

from rebate_app.metrics.catalogue import AUDIT_TRAIL_RECORDS
from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.settings import Settings
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.wire.audit_trail import TrailRecord
from rebate_app.wire.failure_headers import Header
from rebate_app.wire.moments import format_moment
from rebate_app.wire.unreadable import Skip, ignore_skipped

from .reader import TrailFilter, TrailPage, TrailReader
from .writer import TrailWriter

SUMMARY_SECONDS = 60.0
RETRY_SECONDS = 2.0
CLOSE_SECONDS_MAX = 2.0
ACCEPTED = 202

log = logging.getLogger(__name__)


class _Accepted(Struct):
    requests: int = 0
    facts: int = 0


class OrderSummaries:
    """How many order facts were accepted from whom since the last summary."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._accepted: dict[str, _Accepted] = {}

    def note(self, actor: str, facts: int) -> None:
        """Count one accepted request."""
        accepted = self._accepted.setdefault(actor, _Accepted())
        accepted.requests += 1
        accepted.facts += facts

    def take(self) -> list[TrailRecord]:
        """Return one record for each actor, and begin anew."""
        accepted, self._accepted = self._accepted, {}
        at = format_moment(self._clock())
        return [
            TrailRecord(
                at=at,
                actor=actor,
                via="http",
                request_id=None,
                remote=None,
                action="orders.post",
                subject=None,
                status=ACCEPTED,
                reason=None,
                body_hmac=None,
                requests=each.requests,
                facts=each.facts,
            )
            for actor, each in accepted.items()
        ]

    def put_back(self, records: Sequence[TrailRecord]) -> None:
        """Count again what could not be written."""
        for record in records:
            accepted = self._accepted.setdefault(record.actor, _Accepted())
            accepted.requests += record.requests or 0
            accepted.facts += record.facts or 0


class AuditTrailService:
    """What a worker's web server writes to the trail, and reads of it. `clock` returns µs since 1970."""

    def __init__(
        self,
        settings: Settings,
        metrics: MetricsRegistry,
        clock: Callable[[], int],
        skip: Skip = ignore_skipped,
    ) -> None:
        self._writer = TrailWriter(
            settings, lambda outcome, records: metrics.add(AUDIT_TRAIL_RECORDS, (outcome,), records)
        )
        self._reader = TrailReader(settings, skip)
        self._summaries = OrderSummaries(clock)

    async def write(
        self,
        trail: Sequence[TrailRecord],
        topic: str = "",
        records: Sequence[tuple[bytes, bytes]] = (),
        headers: Sequence[Header] = (),
    ) -> list[tuple[int, int]]:
        """Write facts and trail in one transaction (`TrailWriter.write`)."""
        return await self._writer.write(trail, topic, records, headers)

    def note_orders(self, actor: str, facts: int) -> None:
        """Count accepted order facts for the summary of the minute."""
        self._summaries.note(actor, facts)

    async def page(self, wanted: TrailFilter, before: int | None, limit: int) -> TrailPage:
        """Return a page of the trail (`TrailReader.page`)."""
        return await self._reader.page(wanted, before, limit)

    async def watch(self) -> None:
        """Open the producer, then write a summary each minute, until cancelled."""
        while True:
            try:
                await self._writer.start()
                break
            except BrokerAwayError as error:
                log.warning("the audit trail cannot be written yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
        while True:
            await asyncio.sleep(SUMMARY_SECONDS)
            await self._summarise()

    async def _summarise(self) -> None:
        records = self._summaries.take()
        if not records:
            return
        try:
            await self._writer.write(records)
        except BrokerAwayError as error:
            self._summaries.put_back(records)
            log.warning("the summary of order facts waits for its next minute: %s", error)

    async def close(self) -> None:
        """Write the last summary if the broker takes it in time, and close the connections.

        A worker that ends has seconds in all: a summary that is not written in CLOSE_SECONDS_MAX is lost.
        """
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._summarise()
        except TimeoutError:
            log.warning("the last summary of order facts was not written: the broker did not take it in time")
        await self._writer.close()
        await self._reader.close()
