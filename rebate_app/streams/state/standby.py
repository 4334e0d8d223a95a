"""Standby tasks: they follow the changelogs of partitions that other workers own.

See docs/spec/exactness.md#watermark-visibility.

A standby shortens a takeover to the records that it has not read yet, and serves stale answers while no owner
can answer. Its store changes from watermark to watermark: the records of a batch are applied together, once
its watermark, always the last record of its transaction, is read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from ..errors import StateLostError, StreamsError, UnreadableRecordError
from ..kafka.aiokafka_clients import AIOKafkaConsumer
from ..kafka.clients import started
from ..kafka.log_reader import fetch
from ..supervision import supervise
from .changelog import refuse_keyless, watermark_fault
from .loss_confirmation import LossConfirmation
from .restore import START_SECONDS_MAX, restore
from .store import WATERMARK_KEY, Store, StoreDamagedError

if TYPE_CHECKING:
    from ..task.stage import Stage

POLL_MS = 200
END_OFFSETS_INTERVAL_SECONDS = 1.0
RETRY_SECONDS = 1.0
FETCH_BYTES_MAX = 1_048_576

log = logging.getLogger(__name__)
Key = tuple[str, int]  # source topic, partition


class StandbyTask:
    """One followed partition: its store, at a watermark, and the end of its source.

    `restored`: the store has reached the changelog's end once, so that reading can continue from there.
    `whole`: the store is at a watermark, or the log is empty. `unreadable`: why it is followed no longer.
    """

    def __init__(self, stage: Stage, partition: int, store: Store) -> None:
        self.stage = stage
        self.partition = partition
        self.store = store
        self.restored = False
        self.whole = False
        self.source_end = 0
        self.unreadable: UnreadableRecordError | None = None
        self._pending: dict[bytes, bytes | None] = {}

    @property
    def changelog(self) -> TopicPartition:
        """Return the changelog partition that is followed."""
        return TopicPartition(self.stage.changelog, self.partition)

    def take(self, records: Sequence[Any]) -> None:
        """Hold records back until a readable watermark arrives, then apply them in one step."""
        refuse_keyless(self.changelog, records)
        for record in records:
            self._pending[record.key] = record.value
            if record.key == WATERMARK_KEY and not self._is_bad(record):
                self.store.apply(self._pending, record.offset + 1)
                self.store.rest(self._pending)
                self._pending = {}
                self.whole = True

    def _is_bad(self, watermark: Any) -> bool:
        bad = watermark_fault(self.changelog, watermark)
        if bad is not None:
            log.error("%s; only a newer watermark replaces it", bad)
        return bad is not None

    def caught_up(self, at: float) -> None:
        """Record that nothing was left to read at that moment (Unix seconds)."""
        if not self._pending:
            self.store.apply({}, self.store.position, at)
            self.whole = True

    def restart(self) -> None:
        """Drop the records that wait for their watermark: the restore that follows reads them again.

        A restore may end inside a batch, so the store is not whole until the next watermark, or until
        nothing is left to read.
        """
        self._pending = {}
        self.restored = self.whole = False

    def give_up(self, error: UnreadableRecordError) -> None:
        """Stop following: a takeover of the partition refuses the state as well."""
        self.restart()
        self.unreadable = error
        log.error("standby %s/%d stops: %s", self.stage.name, self.partition, error)


class StandbyTasks:
    """All standby tasks of this worker, by source topic and partition."""

    def __init__(
        self,
        options: Mapping[str, Any],
        new_store: Callable[[Stage, int], Store],
        fatal: Callable[[StreamsError], None],
    ) -> None:
        self._options = options
        self._new_store = new_store
        self._fatal = fatal
        self._task: asyncio.Task[None] | None = None
        self.followed: dict[Key, StandbyTask] = {}

    async def stop(self) -> None:
        """Stop following; the stores stay."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def hand_over(self, key: Key) -> Store | None:
        """Return the store of a partition that this worker owns from now on, None when it was not followed.

        The caller has called `stop` before.
        """
        standby = self.followed.pop(key, None)
        return None if standby is None else standby.store

    def follow(self, stages: Mapping[str, Stage], wanted: set[Key], kept: Mapping[Key, Store]) -> None:
        """Follow exactly these partitions; `kept`: stores of partitions owned until now."""
        for key in set(self.followed) - wanted:
            self.followed.pop(key).store.close()
        for key in wanted - set(self.followed):
            stage = stages[key[0]]
            store = kept[key] if key in kept else self._new_store(stage, key[1])
            self.followed[key] = StandbyTask(stage, key[1], store)
        if self.followed:
            self._task = supervise(self._follow, "standbys", self._fatal)

    async def _follow(self) -> None:
        confirmation = LossConfirmation()
        while self._readable():
            try:
                await self._catch_up()
                confirmation = LossConfirmation()
                await self._follow_records()
            except StateLostError as error:
                await confirmation.wait(error)
            except (KafkaError, OSError, TimeoutError, StoreDamagedError) as error:
                log.warning("standbys restart: %r", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _catch_up(self) -> None:
        """Restore every store to its log's end: before it, a compacted log is no consistent state."""
        for standby in self._readable():
            if not standby.restored:
                standby.restart()
                try:
                    await restore(
                        self._options,
                        standby.stage.changelog,
                        standby.partition,
                        standby.store,
                        lambda *_: None,
                    )
                except UnreadableRecordError as error:
                    standby.give_up(error)
                else:
                    standby.restored = True

    def _readable(self) -> list[StandbyTask]:
        return [standby for standby in self.followed.values() if standby.unreadable is None]

    async def _follow_records(self) -> None:
        reader = AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=POLL_MS,
            **self._options,
        )
        by_changelog = {standby.changelog: standby for standby in self._readable()}
        try:
            async with started(reader, START_SECONDS_MAX) as consumer:
                consumer.assign(list(by_changelog))
                for topic_partition, standby in by_changelog.items():
                    consumer.seek(topic_partition, standby.store.position)
                await self._read_forever(consumer, by_changelog)
        except UnreadableRecordError as error:
            place = error.bad.place
            by_changelog[TopicPartition(place.topic, place.partition)].give_up(error)
        except (KafkaError, StoreDamagedError):
            for standby in by_changelog.values():
                standby.restart()  # the log was cut or created anew meanwhile
            raise

    async def _read_forever(
        self, consumer: AIOKafkaConsumer, by_changelog: Mapping[TopicPartition, StandbyTask]
    ) -> None:
        end_offsets_due = 0.0
        while True:
            for topic_partition, records in (await fetch(consumer, timeout_ms=POLL_MS)).items():
                by_changelog[topic_partition].take(records)
            if time.monotonic() >= end_offsets_due:
                await self._read_end_offsets(consumer)
                end_offsets_due = time.monotonic() + END_OFFSETS_INTERVAL_SECONDS

    async def _read_end_offsets(self, consumer: AIOKafkaConsumer) -> None:
        """Read the ends of the sources, from which a stale answer computes how far behind it may be.

        Every store that has nothing left to read is complete at this moment: at a takeover this decides
        whether the store may have missed deletions.
        """
        requested_at = time.time()
        sources = {TopicPartition(*key): standby for key, standby in self.followed.items()}
        for topic_partition, end in (await consumer.end_offsets(list(sources))).items():
            sources[topic_partition].source_end = end
        changelogs = {standby.changelog: standby for standby in self._readable()}
        for topic_partition, end in (await consumer.end_offsets(list(changelogs))).items():
            if await consumer.position(topic_partition) >= end:
                changelogs[topic_partition].caught_up(requested_at)
