"""Deliver the webhooks of the partitions that this worker owns, beside the engine.

Nothing here delays the stages (see SideService). A failure is logged and delivery starts again from the
committed offsets, without limit. It stops within a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

from rebate_app.http_urls import origin
from rebate_app.metrics.registry import Sample
from rebate_app.settings import Settings
from rebate_app.streams.side.gate import Gate
from rebate_app.streams.side.service import BROKER_AWAY, RETRY_SECONDS, Offsets, PartitionService, SideService
from rebate_app.streams.task.batch import RecordBatch
from rebate_app.streams.task.manager import TaskManager
from rebate_app.streams.task.stage import Record
from rebate_app.wire.topics import Topics
from rebate_app.wire.unreadable import SKIPPED_REMEDY, BadRecord, UnreadableValueError

from .backlog import read_backlog
from .delivery import Plan
from .meter import WebhookMeter, read_webhooks
from .partition_deliverer import DeliveryContext, PartitionDeliverer
from .poster import Poster
from .queues import Queues
from .retry_records import decode_retry_record, place_of
from .retry_sender import RetrySender
from .state import WebhookState
from .switch import Switch, follow_switch

log = logging.getLogger(__name__)


def plan_of(settings: Settings, topics: Topics) -> Plan:
    """Return the topics, app scope and give-up time that decide delivery order."""
    give_up_after_ms = int(settings.webhook_give_up_after * 1_000)
    return Plan(topics.events, topics.events_retries, settings.scope, give_up_after_ms)


class WebhookService(SideService):
    """Delivers the events of the partitions that this worker owns."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        tasks: TaskManager,
        event_starts: Callable[[], dict[int, int]],
        version: str,
    ) -> None:
        super().__init__("webhooks", (topics.events, *topics.events_retries), tasks)
        self._settings = settings
        self._event_starts = event_starts
        self._decisions = topics.decisions
        self._plan = plan_of(settings, topics)
        self._poster = Poster(settings)
        self._sender = RetrySender(tasks.client_options)
        self._gate = Gate(settings.webhook_concurrency)
        self._gate.pause(paused=True)  # until the switch is read
        self._context = DeliveryContext(
            plan=self._plan,
            delays_ms=settings.webhook_delays_ms,
            dead_letter_topic=topics.events_dlt,
            imprint=(settings.app_id, version, settings.own_url),
            reader=tasks,
            poster=self._poster,
            sender=self._sender,
            gate=self._gate,
            meter=WebhookMeter(tasks.metrics, self._plan),
        )
        self._queues: dict[int, Queues] = {}  # of the partitions that are served now

    async def watch(self) -> None:
        """Follow the switch until cancelled; then close all connections."""
        try:
            await follow_switch(
                self.tasks.client_options,
                self._decisions,
                self._settings.scope,
                self._switch,
                self.tasks.skipped,
            )
        finally:
            await self.suspend()
            await self._poster.close()
            await self._sender.close()

    def _switch(self, switch: Switch) -> None:
        if switch.paused != self._gate.paused:
            log.info("webhooks %s %s", "paused" if switch.paused else "resumed", switch.why)
        self._gate.pause(switch.paused)

    def read(self) -> Iterator[Sample]:
        """Yield the gauges."""
        yield from read_webhooks(self._queues.values(), self._gate, self._plan, self._context.clock_ms())

    def state(self) -> WebhookState:
        """Return what is delivered, to where, and what holds it back."""
        queues = self._queues.values()
        oldest = min((head.state.event_at for each in queues for head in each.heads()), default=None)
        return WebhookState(
            target=origin(self._settings.webhook_url),
            paused=self._gate.paused,
            is_down=self._gate.circuit.is_open,
            partitions=tuple(sorted(self._queues)),
            waiting=sum(map(len, queues)),
            oldest_undelivered_seconds=oldest and max(0.0, (self._context.clock_ms() - oldest) / 1_000),
        )

    @asynccontextmanager
    async def open(self, numbers: set[int]) -> AsyncGenerator[dict[int, PartitionService], None]:
        """Restore the waiting events, then accept batches."""
        starts = await self._starts(numbers)
        queues = {number: Queues(self._plan, self._context.clock_ms, self._pass_over) for number in numbers}
        retries = {where: start for where, start in starts.items() if where[0] != self._plan.events}
        await read_backlog(
            self.tasks.client_options, retries, lambda record: queues[record.partition].restore(record)
        )
        deliverers: dict[int, PartitionService] = {}
        for number in sorted(numbers):
            queues[number].begin(starts[self._plan.events, number])
            at = {topic: starts[topic, number] for topic in self.topics}
            waiting = len(queues[number])
            log.info("webhooks/%d starts at %s, %d wait", number, list(at.values()), waiting)
            deliverers[number] = PartitionDeliverer(number, queues[number], at, self._context)
        self._queues = queues
        try:
            yield deliverers
        finally:
            self._queues = {}

    def _pass_over(self, record: Record) -> None:
        """Report a record of a retry topic that cannot be read; another app's is skipped silently."""
        try:
            decode_retry_record(record, self._plan.app)
        except UnreadableValueError as error:
            self.tasks.skipped(BadRecord(place_of(record), str(error), SKIPPED_REMEDY))

    async def _starts(self, numbers: set[int]) -> Offsets:
        """Return the start offsets: the committed ones, else those of the events when the app was new."""
        wanted = {(topic, number) for topic in self.topics for number in numbers}
        first = self._event_starts()
        starts: Offsets = {}
        for (topic, number), (begin, end, committed) in (await self.tasks.group_offsets(wanted)).items():
            start = committed
            if start is None:
                start = first.get(number, 0) if topic == self._plan.events else end
            elif start > end:
                log.warning("%s/%d was re-created: webhooks start at its beginning", topic, number)
                start = begin
            starts[topic, number] = max(start, begin)
        return starts


class NoWebhooks:
    """Replaces the webhook service while there is no URL: the group's offsets follow the ends of the events.

    So a URL that is set later gets the events from then on. It requests the ends every RETRY_SECONDS.
    """

    def __init__(self, topics: Topics, tasks: TaskManager) -> None:
        self.topics = (topics.events, *topics.events_retries)
        self._tasks = tasks
        self._assigned: set[tuple[str, int]] = set()
        self._ends: Offsets = {}

    async def watch(self) -> None:
        """Request the ends periodically until cancelled."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            await self.drain()

    def submit(self, batch: RecordBatch) -> None:
        """Do nothing: nothing is fetched."""

    def take_over(self, assigned: set[tuple[str, int]]) -> None:
        """Store the assignment; its partitions stay paused."""
        self._assigned = assigned

    async def drain(self) -> None:
        """Request the present ends."""
        try:
            async with asyncio.timeout(1.0):
                offsets = await self._tasks.group_offsets(set(self._assigned), committed=False)
            self._ends = {where: end for where, (_, end, _) in offsets.items()}
        except BROKER_AWAY as error:
            log.info("the ends of events are not known now: %r", error)

    async def suspend(self) -> None:
        """Commit nothing more: the partitions may belong to another worker now."""
        self._assigned, self._ends = set(), {}

    def offsets_to_commit(self) -> Offsets:
        """Return the ends."""
        return self._ends

    def state(self) -> WebhookState:
        """Return that events are skipped."""
        return WebhookState()

    def read(self) -> Iterator[Sample]:
        """Yield nothing: nothing is delivered."""
        return iter(())
