"""What the audit needs of a cluster: a port, so that its laws are tested on lists.

Law: everything is read `read_committed`, by position. `stable_end` is the last stable offset, before
which every transaction is decided; `end` is the high watermark, before which everything stands that was
acknowledged until now, decided or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from rebate_app.lane.stage import Record

__all__ = ["Logs", "Record"]


class Logs(Protocol):
    """Partitions of topics, to be read one at a time."""

    async def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that the log still has."""
        ...

    async def stable_end(self, topic: str, partition: int) -> int:
        """Return the last stable offset: no transaction is open before it."""
        ...

    async def end(self, topic: str, partition: int) -> int:
        """Return the high watermark; what was acknowledged stands before it."""
        ...

    def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Iterate over the committed records from `start` to before `end`, in order, some at a time.

        Waits for transactions that are open before `end`: they are decided when it ends.
        """
        ...
