"""A service beside a partition: begins with the take-over, again after a failure, and ends before release."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from rebate_app.streams.side import service as side
from rebate_app.streams.side.service import Offsets, PartitionService, SideService
from rebate_app.streams.task.batch import RecordBatch

if TYPE_CHECKING:
    from rebate_app.streams.errors import StreamsError
    from rebate_app.streams.task.manager import TaskManager

TOPICS = ("events", "retries")


class Tasks:
    """The part of a TaskManager that a service needs."""

    def __init__(self) -> None:
        self.paused: list[tuple[str, int]] = []
        self.failed: list[StreamsError] = []
        self.holds = True

    def pause(self, topic: str, partition: int) -> None:
        """Record what is paused."""
        self.paused.append((topic, partition))

    def fatal(self, error: StreamsError) -> None:
        """Record what would end the worker."""
        self.failed.append(error)

    def lease_holds(self) -> bool:
        """Return what the test says."""
        return self.holds


class Partition:
    """Counts what is submitted; fails when it is told so (implements PartitionService)."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.submitted: list[int] = []
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopped = False

    async def run(self) -> None:
        """Run until it fails or is cancelled."""
        await self.failure

    async def drain(self) -> None:
        """Nothing is in flight."""

    async def stop(self) -> None:
        """Note it."""
        self.stopped = True

    def submit(self, batch: RecordBatch) -> None:
        """Note where the batch ends."""
        self.submitted.append(batch.end)

    def positions(self) -> Offsets:
        """Return the end of the last batch."""
        return {("events", self.number): max(self.submitted, default=0)}


class Service(SideService):
    """Opens Partitions; `errors` are raised by the next openings."""

    def __init__(self, tasks: Tasks) -> None:
        super().__init__("tests", TOPICS, cast("TaskManager", tasks))
        self.opened: list[Partition] = []
        self.errors: list[Exception] = []
        self.changed = asyncio.Event()

    @asynccontextmanager
    async def open(self, numbers: set[int]) -> AsyncGenerator[dict[int, PartitionService], None]:
        """Open anew, or fail."""
        self.changed.set()
        if self.errors:
            raise self.errors.pop(0)
        fresh = [Partition(number) for number in sorted(numbers)]
        self.opened += fresh
        yield {each.number: each for each in fresh}

    async def opened_so_many(self, count: int) -> None:
        """Wait until so many were opened."""
        async with asyncio.timeout(10):
            while len(self.opened) < count or len(self.partitions) == 0:
                self.changed.clear()
                await asyncio.sleep(0)


def assigned(*numbers: int) -> set[tuple[str, int]]:
    """Return the assignment of whole partitions."""
    return {(topic, number) for topic in TOPICS for number in numbers}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "RETRY_SECONDS", 0.0)


def batch(number: int, end: int) -> RecordBatch:
    """Return an empty batch that ends there."""
    return RecordBatch("events", number, 0, end, end, [])


class TestSideService:
    """The life of a service, and that nothing outlives the ownership of a partition."""

    def test_it_serves_whole_partitions_only(self) -> None:
        """A partition of which one topic is assigned elsewhere is left alone."""

        async def scenario() -> None:
            service = Service(Tasks())
            service.take_over(assigned(1, 2) | {("events", 3)})
            await service.opened_so_many(2)
            assert [each.number for each in service.opened] == [1, 2]
            service.submit(batch(2, 7))
            service.submit(batch(3, 9))  # not ours: dropped
            assert service.offsets_to_commit() == {("events", 1): 0, ("events", 2): 7}
            await service.suspend()

        asyncio.run(scenario())

    @pytest.mark.parametrize("error", [KafkaConnectionError(), OSError("disk"), RuntimeError("bug")])
    def test_it_begins_again_after_any_failure(self, error: Exception) -> None:
        """Of opening as of running: the old partitions are stopped and paused, new ones are opened."""

        async def scenario() -> None:
            tasks = Tasks()
            service = Service(tasks)
            service.errors = [error]
            service.take_over(assigned(1, 2))
            await service.opened_so_many(2)
            service.opened[0].failure.set_exception(error)
            await service.opened_so_many(4)
            assert [each.stopped for each in service.opened] == [True, True, False, False]
            assert set(tasks.paused) == assigned(1, 2)
            assert tasks.failed == []
            await service.suspend()

        asyncio.run(scenario())

    def test_it_ends_before_the_partitions_are_given_up(self) -> None:
        """After `suspend` everything is stopped, and nothing more is committed."""

        async def scenario() -> None:
            service = Service(Tasks())
            service.take_over(assigned(4))
            await service.opened_so_many(1)
            service.submit(batch(4, 5))
            await service.drain()
            await service.suspend()
            assert service.opened[0].stopped
            assert service.offsets_to_commit() == {}
            assert list(service.partitions) == []

        asyncio.run(scenario())

    def test_it_may_act_while_the_lease_holds(self) -> None:
        """A worker that was frozen calls nobody."""
        tasks = Tasks()
        service = Service.__new__(Service)
        service.tasks = cast("TaskManager", tasks)
        assert service.may_act()
        tasks.holds = False
        assert not service.may_act()
