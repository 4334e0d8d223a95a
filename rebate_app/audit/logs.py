"""The port through which the audit reads partitions: of a Kafka cluster, or of lists in tests.

Everything is read `read_committed`, by position. `stable_end` is the last stable offset, before which every
transaction is decided; `end` is the high watermark, before which every acknowledged record is, decided or
not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from rebate_app.streams.task.stage import Record

__all__ = ["Logs", "Record"]


class Logs(Protocol):
    """Reads partitions of topics, one at a time."""

    async def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that the log still has."""
        ...

    async def stable_end(self, topic: str, partition: int) -> int:
        """Return the last stable offset: no transaction is open before it."""
        ...

    async def end(self, topic: str, partition: int) -> int:
        """Return the high watermark: every acknowledged record is before it."""
        ...

    def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Iterate over the committed records from `start` to before `end`, in order, some at a time.

        Waits for transactions that are open before `end`.
        """
        ...
