"""Makes another app the active one: ends the turn of the app before, waits for it, names the new one.

See docs/spec/money-out.md#active-app. Every step is one transaction under the transactional id of
`rebate-active`, so a second mover, or one that comes back, fences the first. What was done is read from the
topics, so a repeat after any crash goes on where it stopped:

1. `payouts.ended` in every partition of the user log, with the audit trail's record;
2. the group of the app before has folded all of them, or has no member (then its producers are fenced);
3. the record that names the new app, and `closed` for the channels that have to be compared first;
4. the owners of the new app write `payouts.activated`, and fold it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Self

from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced
from msgspec import Struct

from rebate_app.settings import EXIT_TRY_AGAIN, Settings
from rebate_app.streams.errors import StreamsError
from rebate_app.streams.kafka.active_app import ActiveApp
from rebate_app.streams.kafka.admin import admin_client
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer, AIOKafkaProducer, translated
from rebate_app.streams.kafka.announcements import describe_group
from rebate_app.streams.kafka.clients import discard, started
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.kafka.log_reader import SPAN_OPTIONS, SpanReader, whole_spans
from rebate_app.streams.state.log_identity import log_ids
from rebate_app.streams.transaction.partitioner import key_in
from rebate_app.streams.transaction.producers import PartitionProducers
from rebate_app.wire.active_app import ActiveRecord, encode_active
from rebate_app.wire.channel_states import CLOSED, ChannelState, encode_state
from rebate_app.wire.facts.turns import (
    ACTIVATED,
    ENDED,
    KEY_PREFIX,
    TurnFact,
    activation_of,
    encode_turn,
    find_turn,
)
from rebate_app.wire.moments import MILLISECOND_US, format_moment
from rebate_app.wire.topics import Topics
from rebate_app.wire.unreadable import UnreadableValueError

from .channel_states import ChannelStates

START_SECONDS_MAX: Final = 20.0
TRANSACTION_MS: Final = 30_000
POLL_SECONDS: Final = 0.2
WRITER: Final = "rebate"
#: A step in words, and how many partitions it still waits for.
Report = Callable[[str, int], None]
#: Topic, key, value, partition.
Record = tuple[str, bytes, bytes, int]

log = logging.getLogger(__name__)


class ActivationError(StreamsError):
    """The move is not finished; nothing that was done has to be undone, and a repeat goes on."""

    exit_code = EXIT_TRY_AGAIN


class AppMove(Struct, frozen=True):
    """What became of a move: the app before (None: none was active), and the channels that were closed."""

    active: str
    before: str | None
    closed: list[str]
    changed: bool


def readable_turn(key: bytes | None, value: bytes | None) -> TurnFact | None:
    """Return what a record states about turns, None for another one, and for one that cannot be read.

    Where an owner's cannot be read, the partitions halt, and the command does not come so far.
    """
    try:
        return find_turn(key, value)
    except UnreadableValueError:
        return None


class TurnReader:
    """What the user log states about turns; each reading goes on where the last one stopped."""

    def __init__(self, options: Mapping[str, Any], spots: Sequence[TopicPartition]) -> None:
        self._options = options
        self._spots = spots
        self._positions: dict[TopicPartition, int] = {}
        self._found: list[tuple[int, int, TurnFact]] = []  # partition, offset

    async def find(self, wanted: Callable[[TurnFact], bool]) -> dict[int, int]:
        """Read on to the end of now; return the offset of the first such record by partition."""
        async with started(AIOKafkaConsumer(**SPAN_OPTIONS, **self._options)) as consumer:
            spans = await whole_spans(consumer, self._spots)
            unread = {
                spot: (max(begin, self._positions.get(spot, 0)), end) for spot, (begin, end) in spans.items()
            }
            reader = SpanReader(consumer, unread)
            while reader.waiting:
                for spot, records in (await reader.poll()).items():
                    self._take(spot, records)
            self._positions = dict(reader.positions)
        found: dict[int, int] = {}
        for partition, offset, fact in self._found:
            if wanted(fact):
                found.setdefault(partition, offset)
        return found

    def _take(self, spot: TopicPartition, records: Sequence[Any]) -> None:
        for record in records:
            fact = readable_turn(record.key, record.value)
            if fact is not None:
                self._found.append((spot.partition, record.offset, fact))


class Mover:
    """Moves the turn to the app of the settings. Use it as `async with`; `deadline` is monotonic.

    `step`: called with a name at each crash point, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        deadline: float,
        report: Report = lambda _step, _waiting: None,
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._settings = settings
        self._topics = Topics.of(settings)
        self._options = client_options(settings)
        self._deadline = deadline
        self._report = report
        self._step = step
        self._active = ActiveApp(self._topics.active, settings.app_id)
        spots = [TopicPartition(self._topics.user_log, n) for n in range(settings.partitions)]
        self._turns = TurnReader(self._options, spots)

    async def __aenter__(self) -> Self:
        """Fence every other mover, and read which app is active."""
        self._producer = AIOKafkaProducer(
            transactional_id=self._topics.active, transaction_timeout_ms=TRANSACTION_MS, **self._options
        )
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await self._producer.start()
            ids = await log_ids(self._options, [self._topics.user_log])
            self._active.topic_id = ids.topics.get(self._topics.user_log, "")
            await self._active.read_once(self._options)
        except BaseException:
            await discard(self._producer)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await discard(self._producer)

    @property
    def record(self) -> ActiveRecord | None:
        """Return the record that names the active app, None while none is named for this log."""
        return self._active.record

    @property
    def is_named(self) -> bool:
        """Whether the app of the settings is the named one already."""
        return self._active.is_active()

    async def move(self, by: str, trail: tuple[bytes, bytes], closing: str = "") -> AppMove:
        """Make the app of the settings active; return once its owners have folded their activation.

        `closing`: why all channels are to be closed, "" if they stay as they are. ActivationError: the time
        is up, or another mover has begun. KafkaError, OSError: the broker is away.
        """
        before = self.record
        closed: list[str] = []
        if not self.is_named:
            try:
                if before is not None:
                    await self._end(before, trail)
                closed = await self._name(by, None if before is not None else trail, closing)
            except ProducerFenced as error:
                waiter = self._producer._txn_manager._transaction_waiter  # noqa: SLF001 - pinned aiokafka
                waiter.exception()  # else asyncio reports at the end that nobody has looked at it
                raise ActivationError("another activation has begun; see what it has done") from error
        await self._wait_begun()
        before_app = None if before is None else before.app
        return AppMove(self._settings.app_id, before_app, closed, changed=before_app != self._settings.app_id)

    # -- the app before

    async def _end(self, before: ActiveRecord, trail: tuple[bytes, bytes]) -> None:
        """End its turn in every partition, and wait until nothing of it can decide or pay any more."""
        ended = await self._turns.find(lambda fact: _is_end(fact, before))
        if len(ended) < self._settings.partitions:
            await self._write([(self._topics.audit_trail, *trail, 0), *self._ends(before)])
            self._step("ended")
            ended = await self._turns.find(lambda fact: _is_end(fact, before))
        group = f"{self._settings.topic_prefix}{before.app}"
        await self._wait(
            lambda: self._let_go(group, ended), f"the app {before.app} has not folded the end of its turn"
        )
        self._step("folded")

    def _ends(self, before: ActiveRecord) -> list[Record]:
        partitions = self._settings.partitions
        value = encode_turn(ENDED, before.app, before.topic_id, before.at, time.time_ns() // 1_000)
        return [
            (self._topics.user_log, key_in(number, partitions, KEY_PREFIX), value, number)
            for number in range(partitions)
        ]

    async def _let_go(self, group: str, ended: Mapping[int, int]) -> int:
        """Return how many partitions the group has not folded so far; 0 once it cannot write any more."""
        waiting = await self._unfolded(group, ended)
        if waiting and await self._is_deserted(group):
            log.info("the group %s has no member: its producers are fenced", group)
            await self._fence(group)
            if await self._is_deserted(group):
                return 0
        return waiting

    async def _is_deserted(self, group: str) -> bool:
        async with admin_client(self._settings) as admin:
            return not (await describe_group(admin, group)).members

    async def _fence(self, group: str) -> None:
        """Fence whoever still believes to own a partition: a frozen worker that the group has forgotten."""
        for number in range(self._settings.partitions):
            producers = PartitionProducers(
                f"{group}-{self._topics.user_log}-{number}",
                self._options,
                transaction_timeout=self._settings.transaction_timeout,
                partitions=self._settings.partitions,
            )
            try:
                await producers.fence()
            finally:
                await producers.close()

    # -- the new one

    async def _name(self, by: str, trail: tuple[bytes, bytes] | None, closing: str) -> list[str]:
        """Name the app, and close the channels in the same transaction; return which."""
        at_us = time.time_ns() // 1_000
        names = await self._open_channels() if closing else []
        state = ChannelState(CLOSED, WRITER, closing, at_us // MILLISECOND_US)
        record = ActiveRecord(self._settings.app_id, self._active.topic_id, format_moment(at_us), by)
        trails = [] if trail is None else [(self._topics.audit_trail, *trail, 0)]
        closed = [(self._topics.channels, *encode_state(name, state), 0) for name in names]
        await self._write([*trails, *closed, (self._topics.active, *encode_active(record), 0)])
        self._step("named")
        await self._active.read_once(self._options)
        return names

    async def _open_channels(self) -> list[str]:
        """Return the channels of the topic that are not closed."""
        states = ChannelStates(self._topics.channels)
        found = await states.read_once(self._options)
        return sorted(name for name, state in found.items() if state.state != CLOSED)

    async def _wait_begun(self) -> None:
        """Wait until the owners of the new app have folded their activation in every partition."""
        record = self.record
        if record is None or record.app != self._settings.app_id:
            raise ActivationError("another app was named meanwhile; see what has been done")

        async def waiting() -> int:
            begun = await self._turns.find(lambda fact: _is_begin(fact, record))
            missing = self._settings.partitions - len(begun)
            return missing or await self._unfolded(self._settings.scope, begun)

        await self._wait(waiting, f"the app {record.app} is named, and not all of its owners have begun")
        self._step("begun")

    # -- what all steps need

    async def _wait(self, waiting: Callable[[], Awaitable[int]], what: str) -> None:
        while True:
            left = await waiting()
            if not left:
                return
            self._report(what, left)
            if time.monotonic() > self._deadline:
                sentence = f"{what} in {left} of {self._settings.partitions} partitions"
                raise ActivationError(f"{sentence}; repeat the command, it goes on from there")
            await asyncio.sleep(POLL_SECONDS)

    async def _write(self, records: Sequence[Record]) -> None:
        """Send all in one transaction; ProducerFenced: another mover has begun."""
        with translated():
            async with asyncio.timeout(START_SECONDS_MAX), self._producer.transaction():
                for topic, key, value, partition in records:
                    await self._producer.send_and_wait(topic, value, key=key, partition=partition)

    async def _unfolded(self, group: str, offsets: Mapping[int, int]) -> int:
        """Return in how many partitions the group has not committed beyond these offsets."""
        spots = {TopicPartition(self._topics.user_log, number): at for number, at in offsets.items()}
        async with admin_client(self._settings) as admin:
            commits = await admin.list_consumer_group_offsets(group, partitions=list(spots))
        return sum(spot not in commits or commits[spot].offset <= at for spot, at in spots.items())


def _is_end(fact: TurnFact, before: ActiveRecord) -> bool:
    return fact.kind == ENDED and fact.app == before.app and activation_of(fact.turn) == before.at


def _is_begin(fact: TurnFact, record: ActiveRecord) -> bool:
    return fact.kind == ACTIVATED and fact.app == record.app and activation_of(fact.turn) == record.at


async def named_app(settings: Settings) -> str | None:
    """Return the app that is named for this user log, None while none is. KafkaError, OSError: not known."""
    topics = Topics.of(settings)
    active = ActiveApp(topics.active, settings.app_id)
    ids = await log_ids(client_options(settings), [topics.user_log])
    active.topic_id = ids.topics.get(topics.user_log, "")
    await active.read_once(client_options(settings))
    return None if active.record is None else active.record.app


async def group_has_members(settings: Settings) -> bool:
    """Whether a worker of the app of the settings is in its group. KafkaError, OSError: not known."""
    async with admin_client(settings) as admin:
        return bool((await describe_group(admin, settings.scope)).members)
