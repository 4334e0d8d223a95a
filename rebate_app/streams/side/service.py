"""The base of every service beside a partition (ADR 16): its life between take-over and release.

A service starts after the engine has taken the partitions over and ends before they are given up. It runs in
a task of its own and delays no stage. A failure is logged, and it begins again after RETRY_SECONDS from what
is in the log, without limit; nothing else ends it.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError

from ..errors import UnreadableRecordError
from ..kafka.aiokafka_clients import translated
from ..supervision import supervise
from ..task.batch import RecordBatch
from ..task.manager import TaskManager

RETRY_SECONDS = 5.0
BROKER_AWAY = (KafkaError, IllegalStateError, ConsumerStoppedError, OSError, TimeoutError)

#: Offsets by topic and partition.
Offsets = dict[tuple[str, int], int]

log = logging.getLogger(__name__)


class PartitionService(Protocol):
    """The work beside one partition."""

    async def run(self) -> None:
        """Work until cancelled; an exception begins the service again."""
        ...

    async def drain(self) -> None:
        """Begin nothing more, and wait briefly for what is nearly done."""
        ...

    async def stop(self) -> None:
        """Cancel everything in flight."""
        ...

    def submit(self, batch: RecordBatch) -> None:
        """Take a fetched batch."""
        ...

    def positions(self) -> Offsets:
        """Return the offsets to commit."""
        ...


class SideService(ABC):
    """Runs a PartitionService beside each partition that this worker owns (implements SideConsumer).

    `name`: in logs. `topics`: what it consumes; a partition is served while all of them are assigned here.
    """

    def __init__(self, name: str, topics: tuple[str, ...], tasks: TaskManager) -> None:
        self.topics = topics
        self.tasks = tasks
        self._name = name
        self._partitions: dict[int, PartitionService] = {}
        self._serving: asyncio.Task[None] | None = None

    @abstractmethod
    def open(self, numbers: set[int]) -> AbstractAsyncContextManager[dict[int, PartitionService]]:
        """Read from the log where to go on, and yield the services of these partitions.

        They get batches from then on. Errors of the broker and records that cannot be read mean: again later.
        """

    @property
    def partitions(self) -> Sequence[PartitionService]:
        """Return the services that run now."""
        return list(self._partitions.values())

    def may_act(self) -> bool:
        """Whether the lease holds: a worker that was frozen may have lost its partitions without knowing."""
        return self.tasks.lease_holds()

    # -- SideConsumer

    def submit(self, batch: RecordBatch) -> None:
        """Hand a batch to its partition."""
        service = self._partitions.get(batch.partition)
        if service is not None:
            service.submit(batch)

    def take_over(self, assigned: set[tuple[str, int]]) -> None:
        """Serve the partitions of which all topics are assigned to this worker."""
        numbers = {number for _, number in assigned}
        whole = {number for number in numbers if all((topic, number) in assigned for topic in self.topics)}
        if whole != numbers:
            log.warning("%s of partitions %s are split between workers", self._name, sorted(numbers - whole))
        if whole:
            self._serving = supervise(partial(self._serve, whole), self._name, self.tasks.fatal)

    async def drain(self) -> None:
        """Wait briefly for what is in flight."""
        await asyncio.gather(*(service.drain() for service in self._partitions.values()))

    async def suspend(self) -> None:
        """Stop until the next take-over, which repeats what is not committed."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    def offsets_to_commit(self) -> Offsets:
        """Return the offsets at which the next owner continues."""
        positions: Offsets = {}
        for service in self._partitions.values():
            positions |= service.positions()
        return positions

    # -- serving

    async def _serve(self, numbers: set[int]) -> None:
        while True:
            try:
                with translated():
                    await self._serve_once(numbers)
            except BROKER_AWAY as error:
                log.warning("%s wait for the broker: %r", self._name, error)
            except UnreadableRecordError as error:
                log.error("%s wait: %s", self._name, error)  # noqa: TRY400 - the message is complete
            except Exception:
                log.exception("%s failed; they start again from what the log holds", self._name)
            await asyncio.sleep(RETRY_SECONDS)

    async def _serve_once(self, numbers: set[int]) -> None:
        async with self.open(numbers) as opened:
            self._partitions = opened
            try:
                await _run_all(list(opened.values()))
            finally:
                services, self._partitions = self._partitions, {}
                for topic in self.topics:
                    for number in numbers:
                        self.tasks.pause(topic, number)
                await asyncio.gather(*(service.stop() for service in services.values()))


async def _run_all(services: Sequence[PartitionService]) -> None:
    """Run all until one fails, then cancel the others."""
    running = [asyncio.create_task(service.run()) for service in services]
    try:
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
