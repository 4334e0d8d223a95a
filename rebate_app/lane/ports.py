"""What a partition's lane needs of the worker around it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from rebate_app.metrics.figures import Figures
from rebate_app.settings import Settings

from .chunk import Chunk
from .failures import FencedError, LaneError


class Companion(Protocol):
    """Who reads other topics with the lane's consumer, and commits by itself: never in the lane's way."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the topics whose chunks it takes."""
        ...

    def submit(self, chunk: Chunk) -> None:
        """Take a chunk."""
        ...

    def take_over(self, assigned: set[tuple[str, int]]) -> None:
        """Begin with these partitions, and return at once."""
        ...

    async def drain(self) -> None:
        """Take nothing more and finish what is nearly done, within a moment."""
        ...

    async def suspend(self) -> None:
        """Drop everything that is not committed."""
        ...

    def offsets_to_commit(self) -> dict[tuple[str, int], int]:
        """Return where the group goes on in its topics."""
        ...


class LaneEnvironment(Protocol):
    """The worker, as one partition sees it."""

    settings: Settings
    client_options: Mapping[str, Any]
    figures: Figures
    turn: asyncio.Lock  # held by the partition that computes

    async def source_offsets(self, topic: str, partition: int) -> tuple[int, int, int | None]:
        """Return (log start, end, offset committed by the group or None)."""
        ...

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Have the reader go on at that offset."""
        ...

    def pause(self, topic: str, partition: int) -> None:
        """Have the reader fetch nothing more of that partition."""
        ...

    def resume(self, topic: str, partition: int) -> None:
        """Have the reader fetch again."""
        ...

    def lease_holds(self) -> bool:
        """Whether the group has heard of this worker lately enough for its partitions to be its own."""
        ...

    def fatal(self, error: LaneError) -> None:
        """End the worker with the error's exit code."""
        ...

    def fenced(self, error: FencedError) -> None:
        """Give everything up and join again: another worker has taken a partition over."""
        ...

    def fault_point(self, name: str) -> None:
        """Named place at which the fault rig may kill or freeze the process."""
        ...
