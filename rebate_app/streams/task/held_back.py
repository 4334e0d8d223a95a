"""Partitions whose reading an open transaction holds back.

A read_committed reader that has everything below the last stable offset has lag 0, even if acknowledged
records lie above it. Transactions of ours are open for milliseconds; what counts is for how long the last
stable offset does not move.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from .backoff import StallDetector

if TYPE_CHECKING:
    from .manager import TaskManager

#: Shorter ones are ordinary transactions, our own among them.
SHOWN_AFTER_SECONDS = 1.0
MEASURE_EVERY_SECONDS = 1.0


class HeldBack(Struct, frozen=True):
    """A partition with records above the last stable offset; `seconds`: since all below it are processed."""

    topic: str
    partition: int
    stable_end: int
    unstable: int
    seconds: float

    @property
    def is_lasting(self) -> bool:
        """Whether it is held back for longer than an ordinary transaction."""
        return self.unstable > 0 and self.seconds >= SHOWN_AFTER_SECONDS


class HeldBackWatch:
    """Measures for how long each owned partition is held back."""

    def __init__(self, tasks: TaskManager) -> None:
        self._tasks = tasks
        self._clocks: dict[tuple[str, int], StallDetector] = {}

    async def watch(self) -> None:
        """Measure every second, so that times are right for whoever reads them first."""
        while True:
            self.look_at_all()
            await asyncio.sleep(MEASURE_EVERY_SECONDS)

    def look(self, topic: str, partition: int) -> HeldBack:
        """Return the state of a partition as of its last fetch."""
        tasks, key = self._tasks, (topic, partition)
        unstable = tasks.unstable(topic, partition)
        stable_end, position = tasks.stable_end(topic, partition), tasks.partitions[key].position
        clock = self._clocks.setdefault(key, StallDetector())
        seconds = clock.seconds(stable_end, has_work=unstable > 0 and position >= stable_end)
        return HeldBack(topic, partition, stable_end, unstable, seconds)

    def look_at_all(self) -> list[HeldBack]:
        """Return the state of all owned partitions, and forget the others."""
        owned = list(self._tasks.partitions)
        self._clocks = {key: clock for key, clock in self._clocks.items() if key in owned}
        return [self.look(*key) for key in owned]
