"""Writes of an owner: whole, in order, and a failure is known to whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from rebate_app.streams.task.owner_writes import RECORDS_AT_ONCE_MAX, OwnerWrites, WriteDroppedError
from rebate_app.streams.transaction.collector import OutgoingRecord

pytestmark = pytest.mark.asyncio


def records(number: int) -> list[OutgoingRecord]:
    """Return some records."""
    return [OutgoingRecord("t", b"k", b"v", 0)] * number


async def test_what_waits_is_one_transaction() -> None:
    """And each write is done once that is committed."""
    writes, sent = OwnerWrites(), list[int]()

    async def send(batch: Sequence[OutgoingRecord]) -> None:
        sent.append(len(batch))

    waiting = [writes.add(records(1)), writes.add(records(2))]
    assert writes
    await writes.commit(send)
    await asyncio.gather(*waiting)
    assert (sent, bool(writes)) == ([3], False)


async def test_a_write_is_never_split() -> None:
    """Those beyond the bound wait for the next transaction; a larger one goes alone."""
    writes, sent = OwnerWrites(), list[int]()

    async def send(batch: Sequence[OutgoingRecord]) -> None:
        sent.append(len(batch))

    for size in (RECORDS_AT_ONCE_MAX + 1, RECORDS_AT_ONCE_MAX - 1, 2):
        writes.add(records(size))
    while writes:
        await writes.commit(send)
    assert sent == [RECORDS_AT_ONCE_MAX + 1, RECORDS_AT_ONCE_MAX - 1, 2]


@pytest.mark.parametrize("error", [OSError("away"), asyncio.CancelledError()])
async def test_a_failure_is_known_to_all(error: BaseException) -> None:
    """A cancelled task leaves nobody waiting."""
    writes = OwnerWrites()

    async def send(batch: Sequence[OutgoingRecord]) -> None:
        raise error

    waiting, gone = writes.add(records(1)), writes.add(records(1))
    gone.cancel()
    with pytest.raises(type(error)):
        await writes.commit(send)
    with pytest.raises((OSError, WriteDroppedError)):
        await waiting


async def test_dropped() -> None:
    """What waits when the task ends was not written."""
    writes = OwnerWrites()
    waiting = writes.add(records(1))
    writes.drop(WriteDroppedError("ended"))
    with pytest.raises(WriteDroppedError):
        await waiting


async def test_what_is_not_allowed_any_more_is_dropped() -> None:
    """The condition is asked when it is about to be sent, not when it was queued."""
    writes, sent, holds = OwnerWrites(), list[int](), [True]

    async def send(batch: Sequence[OutgoingRecord]) -> None:
        sent.append(len(batch))

    dropped, kept = writes.add(records(2), lambda: holds[0]), writes.add(records(1))
    holds[0] = False
    await writes.commit(send)
    with pytest.raises(WriteDroppedError):
        await dropped
    await kept
    writes.add(records(1), lambda: False)
    await writes.commit(send)
    assert (sent, bool(writes)) == ([1], False)
