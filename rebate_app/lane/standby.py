"""Standbys: changelog partitions that other workers write, followed here (design.md 3, issue 4).

A standby shortens a takeover to what it has not read yet, and answers while nobody else can, marked
stale. It shows itself only at watermarks: a chunk's records are taken together, once its watermark,
always the last record of its transaction, has been read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from .clients import started
from .restore import RestoreStalledError, restore
from .stage import Stage
from .store import WATERMARK_KEY, Store

POLL_MS = 200
LOOK_AT_ENDS_S = 1.0
AGAIN_AFTER_S = 1.0
FETCH_BYTES_MAX = 1_048_576

log = logging.getLogger(__name__)
Key = tuple[str, int]  # source topic, partition


class Standby:
    """One partition that is followed: its store, at a watermark, and where its source ends."""

    def __init__(self, stage: Stage, partition: int, store: Store) -> None:
        self.stage = stage
        self.partition = partition
        self.store = store
        self.restored = False  # whether what was missed has been read, so that following can go on
        self.whole = False  # whether the store is at a watermark (or the log is empty)
        self.source_end = 0
        self._pending: dict[bytes, bytes | None] = {}

    @property
    def changelog(self) -> TopicPartition:
        """Return what is followed."""
        return TopicPartition(self.stage.changelog, self.partition)

    def take(self, records: list[Any]) -> None:
        """Keep records back until their watermark has come, then take them in one step."""
        for record in records:
            self._pending[record.key] = record.value
            if record.key == WATERMARK_KEY:
                self.store.apply(self._pending, record.offset + 1)
                self._pending = {}
                self.whole = True

    def caught_up(self, at: float) -> None:
        """Note that nothing was left to read at that moment (seconds since 1970)."""
        if not self._pending:
            self.store.apply({}, self.store.position, at)
            self.whole = True

    def begin_again(self) -> None:
        """Forget what waits for its watermark: restoring reads it too, and what came after it.

        Restoring stops anywhere behind the end that it was asked for, in the midst of a chunk too, so the
        store shows nothing until the next watermark, or until nothing more is there.
        """
        self._pending = {}
        self.restored = self.whole = False


class Standbys:
    """All partitions that this worker follows."""

    def __init__(self, options: Mapping[str, Any], new_store: Callable[[Stage, int], Store]) -> None:
        self._options = options
        self._new_store = new_store
        self._task: asyncio.Task[None] | None = None
        self.followed: dict[Key, Standby] = {}

    async def stop(self) -> None:
        """Follow nothing for now; the stores stay."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def hand_over(self, key: Key) -> Store | None:
        """Return the store of a partition that is ours to write from now on, None when it was not followed.

        The caller has stopped the following.
        """
        standby = self.followed.pop(key, None)
        return None if standby is None else standby.store

    def follow(self, stages: Mapping[str, Stage], wanted: set[Key], kept: Mapping[Key, Store]) -> None:
        """Follow exactly these partitions; `kept` are stores of partitions that were ours until now."""
        for key in set(self.followed) - wanted:
            self.followed.pop(key).store.close()
        for key in wanted - set(self.followed):
            stage = stages[key[0]]
            store = kept[key] if key in kept else self._new_store(stage, key[1])
            self.followed[key] = Standby(stage, key[1], store)
        if self.followed:
            self._task = asyncio.create_task(self._follow(), name="standbys")

    async def _follow(self) -> None:
        while True:
            try:
                await self._catch_up()
                await self._read_on()
            except (KafkaError, OSError, TimeoutError, RestoreStalledError) as error:
                log.warning("standbys begin again: %r", error)
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _catch_up(self) -> None:
        """Read what was missed: the end of a compacted log is a state, what lies before it is none."""
        for standby in self.followed.values():
            if not standby.restored:
                standby.begin_again()
                await restore(
                    self._options, standby.stage.changelog, standby.partition, standby.store, lambda *_: None
                )
                standby.restored = True

    async def _read_on(self) -> None:
        reader = AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=POLL_MS,
            **self._options,
        )
        by_changelog = {standby.changelog: standby for standby in self.followed.values()}
        try:
            async with started(reader) as consumer:
                consumer.assign(list(by_changelog))
                for tp, standby in by_changelog.items():
                    consumer.seek(tp, standby.store.position)
                await self._read_for_ever(consumer, by_changelog)
        except KafkaError:
            for standby in by_changelog.values():
                standby.begin_again()  # the log changed under our feet: look at it again from the start
            raise

    async def _read_for_ever(
        self, consumer: AIOKafkaConsumer, by_changelog: Mapping[TopicPartition, Standby]
    ) -> None:
        look_at = 0.0
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                by_changelog[tp].take(records)
            if time.monotonic() >= look_at:
                await self._look_at_ends(consumer)
                look_at = time.monotonic() + LOOK_AT_ENDS_S

    async def _look_at_ends(self, consumer: AIOKafkaConsumer) -> None:
        """Note where the sources end, so that a stale answer can say how far behind it may be.

        And note of each store that has nothing more to read that it was complete at this moment: it
        decides whether the store may have missed deletions when it is taken over.
        """
        asked_at = time.time()
        sources = {TopicPartition(*key): standby for key, standby in self.followed.items()}
        for tp, end in (await consumer.end_offsets(list(sources))).items():
            sources[tp].source_end = end
        changelogs = {standby.changelog: standby for standby in self.followed.values()}
        for tp, end in (await consumer.end_offsets(list(changelogs))).items():
            if await consumer.position(tp) >= end:
                changelogs[tp].caught_up(asked_at)
