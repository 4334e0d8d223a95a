"""The webhooks of one worker: which partitions, from where, and how it begins and ends beside the lane.

Law: nothing here delays the money. It begins after the lane's take-over, in tasks of its own; what goes wrong
is told, and begun again from what is committed, for as long as it takes; it parts within a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError

from rebate_app.lane.chunk import Chunk
from rebate_app.lane.lane import Lane
from rebate_app.metrics.figures import Sample
from rebate_app.settings import Settings
from rebate_app.wire.topics import Topics

from .backlog import read_backlog
from .deliverer import Deliverer, Surroundings
from .deliveries import Plan
from .gate import Gate
from .meter import WebhookMeter, read_webhooks
from .post import Poster
from .queues import Queues
from .sender import CopySender
from .switch import Switch, follow_switch

AGAIN_AFTER_S = 5.0
Starts = dict[tuple[str, int], int]

log = logging.getLogger(__name__)


def plan_of(settings: Settings, topics: Topics) -> Plan:
    """Return the names and bounds that the order depends on."""
    give_up_after = int(settings.webhook_give_up_after * 1_000)
    return Plan(topics.events, topics.events_retries, settings.scope, give_up_after)


class Courier:
    """Delivers the events of the partitions that this worker owns (implements Companion)."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        lane: Lane,
        first: Callable[[], dict[int, int]],
        version: str,
    ) -> None:
        self.topics = (topics.events, *topics.events_retries)
        self._settings = settings
        self._lane = lane
        self._first = first
        self._decisions = topics.decisions
        self._plan = plan_of(settings, topics)
        self._poster = Poster(settings)
        self._sender = CopySender(lane.client_options)
        self._gate = Gate(settings.webhook_concurrency)
        self._gate.pause(paused=True)  # until it is known whether somebody has said so
        self._around = Surroundings(
            plan=self._plan,
            delays_ms=settings.webhook_delays_ms,
            dead=topics.events_dlt,
            imprint=(settings.app_id, version, settings.own_url),
            reader=lane,
            post=self._poster,
            sender=self._sender,
            gate=self._gate,
            meter=WebhookMeter(lane.figures, self._plan),
        )
        self._deliverers: dict[int, Deliverer] = {}
        self._serving: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        """Follow pause and resume; close what is open at the end."""
        try:
            await follow_switch(
                self._lane.client_options, self._decisions, self._settings.scope, self._switch
            )
        finally:
            await self.suspend()
            await self._poster.close()
            await self._sender.close()

    def _switch(self, switch: Switch) -> None:
        if switch.paused != self._gate.paused:
            log.info("webhooks %s %s", "paused" if switch.paused else "go on", switch.why)
        self._gate.pause(switch.paused)

    # -- Companion

    def submit(self, chunk: Chunk) -> None:
        """Hand a chunk to its partition."""
        deliverer = self._deliverers.get(chunk.partition)
        if deliverer is not None:
            deliverer.submit(chunk)

    def take_over(self, assigned: set[tuple[str, int]]) -> None:
        """Begin to deliver the partitions of which all our topics are assigned here."""
        numbers = {number for _, number in assigned}
        whole = {number for number in numbers if all((topic, number) in assigned for topic in self.topics)}
        if whole != numbers:
            log.warning("webhooks of partitions %s are split between workers", sorted(numbers - whole))
        self._serving = asyncio.create_task(self._serve(whole), name="webhooks")

    async def drain(self) -> None:
        """Wait a moment for what is under way."""
        await asyncio.gather(*(deliverer.part() for deliverer in self._deliverers.values()))

    async def suspend(self) -> None:
        """Deliver nothing until the next take-over; what is not committed is done again then."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    def offsets_to_commit(self) -> Starts:
        """Return where the group goes on after us."""
        positions: Starts = {}
        for deliverer in self._deliverers.values():
            positions |= deliverer.positions()
        return positions

    def read(self) -> Iterator[Sample]:
        """Yield what a scrape reads."""
        queues = [deliverer.queues for deliverer in self._deliverers.values()]
        yield from read_webhooks(queues, self._gate, self._plan, self._around.clock_ms())

    # -- serving

    async def _serve(self, numbers: set[int]) -> None:
        while numbers:
            try:
                async with self._open(numbers) as deliverers:
                    await _run_all(deliverers)
            except (KafkaError, IllegalStateError, ConsumerStoppedError, OSError, TimeoutError) as error:
                log.warning("webhooks wait for the broker: %r", error)
            except Exception:
                log.exception("webhooks failed, and begin again from what is committed")
            await asyncio.sleep(AGAIN_AFTER_S)

    @asynccontextmanager
    async def _open(self, numbers: set[int]) -> AsyncGenerator[list[Deliverer], None]:
        """Restore what waits, and then let chunks in."""
        starts = await self._starts(numbers)
        queues = {number: Queues(self._plan, self._around.clock_ms) for number in numbers}
        retries = {where: start for where, start in starts.items() if where[0] != self._plan.events}
        await read_backlog(
            self._lane.client_options, retries, lambda record: queues[record.partition].restore(record)
        )
        for number in sorted(numbers):
            queues[number].begin(starts[self._plan.events, number])
            at = {topic: starts[topic, number] for topic in self.topics}
            waiting = len(queues[number])
            log.info("webhooks/%d begins at %s, %d wait", number, list(at.values()), waiting)
            self._deliverers[number] = Deliverer(number, queues[number], at, self._around)
        try:
            yield list(self._deliverers.values())
        finally:
            deliverers, self._deliverers = self._deliverers, {}
            for topic, number in starts:
                self._lane.pause(topic, number)
            await asyncio.gather(*(deliverer.stop() for deliverer in deliverers.values()))

    async def _starts(self, numbers: set[int]) -> Starts:
        """Return where to begin: where the group is, else where the app found the events when it was new."""
        wanted = {(topic, number) for topic in self.topics for number in numbers}
        first = self._first()
        starts: Starts = {}
        for (topic, number), (begin, end, committed) in (await self._lane.group_offsets(wanted)).items():
            start = committed
            if start is None:
                start = first.get(number, 0) if topic == self._plan.events else end
            elif start > end:
                log.warning("%s/%d was made anew: webhooks begin at its start", topic, number)
                start = begin
            starts[topic, number] = max(start, begin)
        return starts


async def _run_all(deliverers: list[Deliverer]) -> None:
    """Run them until one fails, and then none."""
    running = [asyncio.create_task(deliverer.run()) for deliverer in deliverers]
    try:
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Passing:
    """What stands in the courier's place while there is no URL: the group passes all events over.

    So a URL that is set later gets what happens from then on. It costs a question to the broker now and then.
    """

    def __init__(self, topics: Topics, lane: Lane) -> None:
        self.topics = (topics.events, *topics.events_retries)
        self._lane = lane
        self._assigned: set[tuple[str, int]] = set()
        self._ends: Starts = {}

    async def watch(self) -> None:
        """Ask where the ends are, now and then, for ever."""
        while True:
            await asyncio.sleep(AGAIN_AFTER_S)
            await self.drain()

    def submit(self, chunk: Chunk) -> None:
        """Do nothing: nothing is fetched."""

    def take_over(self, assigned: set[tuple[str, int]]) -> None:
        """Note what is assigned; its partitions stay paused."""
        self._assigned = assigned

    async def drain(self) -> None:
        """Ask where the ends are now."""
        try:
            async with asyncio.timeout(1.0):
                told = await self._lane.group_offsets(set(self._assigned), committed=False)
            self._ends = {where: end for where, (_, end, _) in told.items()}
        except (KafkaError, IllegalStateError, ConsumerStoppedError, OSError, TimeoutError) as error:
            log.info("the ends of events are not known now: %r", error)

    async def suspend(self) -> None:
        """Commit nothing more for partitions that may be somebody else's."""
        self._assigned, self._ends = set(), {}

    def offsets_to_commit(self) -> Starts:
        """Return the ends."""
        return self._ends

    def read(self) -> Iterator[Sample]:
        """Yield nothing: there is nothing to deliver."""
        return iter(())
