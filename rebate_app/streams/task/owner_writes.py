"""Records that the owner of a partition writes of its own accord, between two batches.

They go through the partition's fenced producers, so a worker that lost the partition cannot write them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ..transaction.collector import OutgoingRecord

#: Of one transaction; more wait for the next one.
RECORDS_AT_ONCE_MAX = 500


class WriteDroppedError(Exception):
    """The records were not written: the task does not run any more."""


class OwnerWrites:
    """Writes that wait, in order; each is committed whole."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Sequence[OutgoingRecord], asyncio.Future[None]]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, records: Sequence[OutgoingRecord]) -> asyncio.Future[None]:
        """Queue records; the future is done once they are committed, or fails."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, written))
        return written

    async def commit(self, send: Callable[[Sequence[OutgoingRecord]], Awaitable[None]]) -> None:
        """Send what waits, up to a bound, in one transaction; a failure reaches all who wait."""
        taken, records = 0, list[OutgoingRecord]()
        for each, _ in self._waiting:
            if records and len(records) + len(each) > RECORDS_AT_ONCE_MAX:
                break
            records += each
            taken += 1
        begun, self._waiting = self._waiting[:taken], self._waiting[taken:]
        try:
            await send(records)
        except BaseException as error:
            cause = error if isinstance(error, Exception) else WriteDroppedError("the task was stopped")
            _settle(begun, cause)
            raise
        _settle(begun, None)

    def drop(self, error: Exception) -> None:
        """Fail everything that waits."""
        dropped, self._waiting = self._waiting, []
        _settle(dropped, error)


def _settle(
    writes: Sequence[tuple[Sequence[OutgoingRecord], asyncio.Future[None]]], error: Exception | None
) -> None:
    for _, written in writes:
        if written.done():  # its writer waits no longer
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)
