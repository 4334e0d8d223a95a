"""Pays the withdrawals of the partitions that this worker owns, beside the engine.

Nothing here delays the stages. A partition is served from when its task runs until it does not, and anew
when the app's turn begins or ends in it, with the payees read anew each time; a failure is logged and the
partition begins again. Without REBATE_CHANNELS nothing is served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from msgspec import Struct

from rebate_app.metrics.registry import Sample
from rebate_app.settings import Settings
from rebate_app.streams.errors import UnreadableRecordError
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer, translated
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.log_reader import SPAN_OPTIONS
from rebate_app.streams.task.manager import TaskManager
from rebate_app.streams.task.task import RUNNING, StreamTask
from rebate_app.wire.facts.payouts import Author
from rebate_app.wire.topics import Topics

from .channel_states import ChannelStates
from .desk import PayoutDesk
from .executor import ExecutorContext, PartitionExecutor
from .manual_payouts import ManualPayouts
from .meter import PayoutMeter, read_payouts
from .partition import OwnershipWatch, PartitionJournal, PartitionTable
from .payees.book import PayeeBook
from .payees.cipher import PayeeCipher, parse_payee_keys
from .payees.reader import PayeeReader
from .remembered_ends import EndsKeeper

LOOK_SECONDS: Final = 0.2
AGAIN_SECONDS: Final = 2.0
#: After so long an app that has no turn knows what the active one did to payees.
FOLLOW_SECONDS: Final = 2.0
BROKER_AWAY: Final = (KafkaError, OSError, TimeoutError, UnreadableRecordError)

log = logging.getLogger(__name__)


class ActiveHere(Struct, frozen=True):
    """Which app writes, and whether it is the one that pays."""

    author: Callable[[], Author]
    is_active: Callable[[], bool]
    active_app: Callable[[], str | None]


class Served(Struct):
    """A partition that is served: what runs for it, once its payees are read.

    `former`: the payees as they were known before the app's turn began or ended, for reading until then.
    """

    watch: OwnershipWatch
    table: PartitionTable
    former: PayeeBook | None = None
    running: asyncio.Task[None] | None = None
    payees: PayeeBook | None = None
    executor: PartitionExecutor | None = None
    manual: ManualPayouts | None = None


class PayoutService:
    """One worker's payouts and payees."""

    def __init__(self, settings: Settings, topics: Topics, tasks: TaskManager, active: ActiveHere) -> None:
        self._settings = settings
        self._topics = topics
        self._tasks = tasks
        self._active = active
        self.states = ChannelStates(topics.channels, tasks.skipped)
        self.desk = PayoutDesk(
            settings,
            self.states,
            lambda channel, state: self.states.write(tasks.client_options, channel, state),
            self._share,
        )
        self.ends = EndsKeeper(topics.user_log, lambda: tasks.logs.memory, self.desk.close_all)
        self._meter = PayoutMeter(tasks.metrics)
        self._context = ExecutorContext(self.desk, count=self._meter.count, drop=self._meter.drop)
        self._cipher = self._cipher_of(settings)
        self._served: dict[int, Served] = {}

    @staticmethod
    def _cipher_of(settings: Settings) -> PayeeCipher | None:
        keys, id_key = settings.payee_keys.get_secret_value(), settings.payee_id_key.get_secret_value()
        if settings.channels is None or not keys:
            return None
        return PayeeCipher(parse_payee_keys(keys), id_key.strip().encode())

    def _share(self) -> float:
        return max(len(self._served), 1) / self._settings.partitions

    async def watch(self) -> None:
        """Pay until cancelled."""
        if self._cipher is None:
            await asyncio.Event().wait()
        following = [
            asyncio.create_task(self.states.watch(self._tasks.client_options)),
            asyncio.create_task(self.desk.watch()),
            asyncio.create_task(self.ends.watch(self._may_settle)),
        ]
        try:
            while True:
                await self._look()
                for task in following:
                    if task.done():
                        task.result()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            await asyncio.gather(*(self._release(number) for number in list(self._served)))

    def _may_settle(self) -> bool:
        """Whether doubts can be settled: this app is active, and knows its group and the channels."""
        return self._active.is_active() and self._tasks.settled and self.states.is_fresh

    def _may_pay(self) -> bool:
        return self._active.is_active() and self.ends.is_settled

    @property
    def active(self) -> str | None:
        """Return which app decides and pays, None while none does."""
        return self._active.active_app()

    def books(self) -> dict[int, PayeeBook]:
        """Return the payees of the partitions that are served and whose topic is read."""
        return {
            number: served.payees
            for number, served in self._served.items()
            if served.payees is not None and not served.payees.is_stale and served.watch.is_current()
        }

    def readable_book(self, partition: int) -> PayeeBook | None:
        """Return the payees of a partition to read: while a turn begins or ends, those from before it."""
        served = self._served.get(partition)
        if served is None or not served.watch.is_owned():
            return None
        book = served.former if served.payees is None else served.payees
        return None if book is None or book.is_stale else book

    def manual(self, partition: int) -> ManualPayouts | None:
        """Return the payouts by hand of a partition that this worker may pay for now, else None."""
        served = self._served.get(partition)
        return None if served is None or not served.watch.may_call() else served.manual

    def prompt(self, partition: int, payout_no: str, *, searches: bool = False) -> bool:
        """Ask about a payout of a partition soon; return whether it is one that is watched there."""
        served = self._served.get(partition)
        executor = None if served is None else served.executor
        return executor is not None and executor.prompt(payout_no, searches=searches)

    def read(self) -> Iterator[Sample]:
        """Yield the gauges."""
        yield from self.desk.gauges()
        yield from read_payouts(
            [(each.table, each.executor) for each in self._served.values() if each.watch.is_current()],
            self.desk,
        )

    # -- serving

    async def _look(self) -> None:
        """Serve what runs here now, release what does not, and begin again what failed or is stale."""
        source = self._topics.user_log
        running = {
            number: task
            for (topic, number), task in self._tasks.partitions.items()
            if topic == source and task.state == RUNNING and self._tasks.settled
        }
        former: dict[int, PayeeBook | None] = {}
        for number, served in list(self._served.items()):
            stale = served.payees is not None and served.payees.is_stale
            ended = served.running is not None and served.running.done()
            if not served.watch.is_current() or number not in running or stale or ended:
                former[number] = self.readable_book(number)
                await self._release(number)
        for number, task in running.items():
            if number not in self._served:
                self._serve(number, task, former.get(number))
        await self._close_contradicted()

    def _serve(self, number: int, task: StreamTask, former: PayeeBook | None) -> None:
        table = PartitionTable(task.store)
        generation, turn = task.opening_progress, table.turn()
        watch = OwnershipWatch(self._tasks, task, generation, table, self._may_pay, turn)
        served = self._served[number] = Served(watch, table, former)
        served.running = asyncio.create_task(self._run(number, task, served), name=f"payouts-{number}")

    async def _release(self, number: int) -> None:
        served = self._served.pop(number)
        if served.running is not None:
            served.running.cancel()
            await asyncio.gather(served.running, return_exceptions=True)

    async def _run(self, number: int, task: StreamTask, served: Served) -> None:
        try:
            with translated():
                book = await self._payees_of_turn(number, task, served)
        except BROKER_AWAY as error:
            log.warning("payees of partition %d cannot be read for now: %r", number, error)
            await asyncio.sleep(AGAIN_SECONDS)
            return
        served.manual = ManualPayouts(served.table, PartitionJournal(task, self._active.author), book)
        journal = PartitionJournal(task, self._active.author)
        served.executor = PartitionExecutor(served.table, journal, book, served.watch, self._context)
        try:
            await served.executor.run()
        except Exception:
            log.exception("the payouts of partition %d failed; they begin again", number)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _payees_of_turn(self, number: int, task: StreamTask, served: Served) -> PayeeBook:
        """Return the payees of a partition, read to the end as it is behind the fence, in the app's turn.

        Outside of it another app writes them: they are followed until this is cancelled.
        """
        if self._cipher is None:
            raise RuntimeError("nothing is served without the keys of payees")
        options: dict[str, Any] = {**SPAN_OPTIONS, **self._tasks.client_options}
        has_turn = served.watch.turn.decides
        write = partial(task.write_as_owner, holds=served.watch.has_turn) if has_turn else None
        async with started(AIOKafkaConsumer(**options)) as consumer:
            reader = PayeeReader(consumer, TopicPartition(self._topics.payees, number))
            sealed = await reader.read_on()
            book = served.payees = PayeeBook(self._topics.payees, number, self._cipher, sealed, write)
            while not has_turn:
                await asyncio.sleep(FOLLOW_SECONDS)
                for each in await reader.read_on():
                    book.take(*each)
        return book

    async def _close_contradicted(self) -> None:
        """Close channels whose services contradicted themselves since they were opened."""
        for served in self._served.values():
            if not served.watch.may_call():
                continue
            for channel in self.desk.channels:
                at_us = served.table.contradicted_at(channel)
                if at_us is not None:
                    await self.desk.close_contradicted(channel, at_us)
