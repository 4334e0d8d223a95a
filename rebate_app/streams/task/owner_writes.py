"""Records that the owner of a partition writes of its own accord, between two batches.

They go through the partition's fenced producers, so a worker that lost the partition cannot write them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from ..transaction.collector import OutgoingRecord

#: Of one transaction; more wait for the next one.
RECORDS_AT_ONCE_MAX = 500


class WriteDroppedError(Exception):
    """The records were not written: the task does not run any more, or what they depend on has changed."""


def always() -> bool:
    """Return True: the condition of records that depend on nothing."""
    return True


class OwnerWrite(Struct, eq=False):
    """Records of one transaction that wait; `holds`: whether what has been folded still allows them."""

    records: Sequence[OutgoingRecord]
    holds: Callable[[], bool]
    written: asyncio.Future[None]


class OwnerWrites:
    """Writes that wait, in order; each is committed whole."""

    def __init__(self) -> None:
        self._waiting: list[OwnerWrite] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(
        self, records: Sequence[OutgoingRecord], holds: Callable[[], bool] = always
    ) -> asyncio.Future[None]:
        """Queue records; the future is done once they are committed, or fails.

        `holds` is asked when they are about to be sent, with no batch in between: WriteDroppedError if not.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(OwnerWrite(records, holds, written))
        return written

    async def commit(self, send: Callable[[Sequence[OutgoingRecord]], Awaitable[None]]) -> None:
        """Send what waits, up to a bound, in one transaction; a failure reaches all who wait."""
        self._drop_unallowed()
        taken, records = 0, list[OutgoingRecord]()
        for each in self._waiting:
            if records and len(records) + len(each.records) > RECORDS_AT_ONCE_MAX:
                break
            records += each.records
            taken += 1
        begun, self._waiting = self._waiting[:taken], self._waiting[taken:]
        if not begun:
            return
        try:
            await send(records)
        except BaseException as error:
            cause = error if isinstance(error, Exception) else WriteDroppedError("the task was stopped")
            _settle(begun, cause)
            raise
        _settle(begun, None)

    def _drop_unallowed(self) -> None:
        unallowed = [each for each in self._waiting if not each.holds()]
        if unallowed:
            self._waiting = [each for each in self._waiting if each not in unallowed]
            _settle(unallowed, WriteDroppedError("what was folded meanwhile does not allow it any more"))

    def drop(self, error: Exception) -> None:
        """Fail everything that waits."""
        dropped, self._waiting = self._waiting, []
        _settle(dropped, error)


def _settle(writes: Sequence[OwnerWrite], error: Exception | None) -> None:
    for each in writes:
        written = each.written
        if written.done():  # its writer waits no longer
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)
