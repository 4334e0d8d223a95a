"""What a task needs from the worker around it, and the interface of consumers beside the stages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.settings import Settings

from ..errors import FencedError, StreamsError
from ..kafka.resumptions import Resumption
from .batch import RecordBatch
from .pacing import BatchPacer
from .source_check import LogIdentity


class SideConsumer(Protocol):
    """Processes other topics of the same consumer, outside the transactions of the stages."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the topics that it processes."""
        ...

    def submit(self, batch: RecordBatch) -> None:
        """Queue a batch."""
        ...

    def take_over(self, assigned: set[tuple[str, int]]) -> None:
        """Begin to process these partitions, and return at once."""
        ...

    async def drain(self) -> None:
        """Accept no more batches and finish what is nearly done, within about a second."""
        ...

    async def suspend(self) -> None:
        """Stop and drop everything that is not committed."""
        ...

    def offsets_to_commit(self) -> dict[tuple[str, int], int]:
        """Return the offsets to commit for its topics, by topic and partition."""
        ...


class NoSideConsumer:
    """Processes nothing (implements SideConsumer)."""

    topics: tuple[str, ...] = ()

    def submit(self, batch: RecordBatch) -> None:
        """Drop the batch."""

    def take_over(self, assigned: set[tuple[str, int]]) -> None:
        """Do nothing."""

    async def drain(self) -> None:
        """Return at once."""

    async def suspend(self) -> None:
        """Return at once."""

    def offsets_to_commit(self) -> dict[tuple[str, int], int]:
        """Return no offsets."""
        return {}


class TaskEnvironment(Protocol):
    """The worker, as one task sees it."""

    settings: Settings
    client_options: Mapping[str, Any]
    metrics: MetricsRegistry
    compute_lock: asyncio.Lock  # held by the partition that computes
    pacer: BatchPacer

    async def source_offsets(self, topic: str, partition: int) -> tuple[int, int, int | None]:
        """Return (log start, end, offset committed by the group or None)."""
        ...

    async def log_identity(self, topic: str) -> LogIdentity:
        """Return cluster and topic id of a source. KafkaError, OSError: not known now."""
        ...

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Continue reading at that offset."""
        ...

    def pause(self, topic: str, partition: int) -> None:
        """Fetch nothing more of that partition."""
        ...

    def resume(self, topic: str, partition: int) -> None:
        """Fetch from that partition again."""
        ...

    def resumption(self, topic: str, partition: int) -> Resumption | None:
        """Return the resumption of a partition that is known here, None without one."""
        ...

    def lease_holds(self) -> bool:
        """Whether the last accepted heartbeat is recent enough for the partitions to be still ours."""
        ...

    def fatal(self, error: StreamsError) -> None:
        """End the worker with the error's exit code."""
        ...

    def fenced(self, error: FencedError) -> None:
        """Leave the group and join again: another worker has taken a partition over."""
        ...

    def fault_point(self, name: str) -> None:
        """Mark a place at which the fault rig of the tests may kill or freeze the process."""
        ...
