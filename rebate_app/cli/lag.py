"""How far the workers are behind, and when everything that was sent is in the balances.

Law: `settle` returns only when every record that was acknowledged before it began, and all that follows
from it over every hop, is committed by the workers (contracts.md 5). It trusts three things: a worker
commits watermark + 1 of a partition after the transaction that holds its effects; the commit's metadata
says how many ids are still moving lines; ends are taken from the log itself, where an acknowledged
record stands below the high watermark even while the last stable offset is held back.

It is separate from Kafka, behind `LogView`, so that the reasoning can be tested on every interleaving.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

#: From an attribution id to the buyer, to the inviter and to the inviter's inviter; each hop appends to
#: the user log what the next one has to process (contracts.md 3: two levels of inviters).
HOPS = 4
POLL_SECONDS = 0.1
#: Up to here the records behind the committed offset are counted one by one, above it is a difference.
COUNTED_MAX = 20_000


class Committed(Struct, frozen=True):
    """Where a partition's workers are: the next offset to process, and the ids that still move lines."""

    offset: int
    unfinished: int = 0


class Found(Struct, frozen=True):
    """What a read_committed reader finds between two offsets; `complete`: it could read up to the end."""

    records: int
    complete: bool
    rest: int = 0  # offsets that it could not read yet


class LogView(Protocol):
    """The two topics as they are on the broker."""

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the high watermark of every partition; {} while the topic does not exist."""
        ...

    async def committed(self, topic: str) -> dict[int, Committed]:
        """Return where the group is in every partition; the log's start where it never committed."""
        ...

    async def find(
        self, topic: str, spans: dict[int, tuple[int, int]], *, first_only: bool
    ) -> dict[int, Found]:
        """Return what read_committed finds from the first offset up to the second, by partition."""
        ...


class OutOfTimeError(Exception):
    """The time given is up, and not everything is processed."""


class PartitionLag(Struct, frozen=True):
    """How many records of a partition are not processed yet."""

    topic: str
    partition: int
    lag: int


class LagWatch:
    """Watches the workers' progress on `order_topic` and the user log.

    `deadline` on the monotonic clock; every wait raises OutOfTimeError after it. `tell` hears how many
    offsets the stage that is waited for is behind.
    """

    def __init__(
        self, view: LogView, orders: str, user_log: str, *, deadline: float, tell: Callable[[int], None]
    ) -> None:
        self._view = view
        self._orders = orders
        self._user_log = user_log
        self._deadline = deadline
        self._tell = tell
        self._verdicts: dict[tuple[str, int, int, int], bool] = {}

    async def settle(self) -> None:
        """Return when all that was acknowledged before, and all that follows from it, is processed.

        After the first pass over the user log every binding is folded and every line is with its id, so
        ids that move lines are known by then; once none does, all that they send is in the log too, and
        what is left are the hops from buyer to inviters.
        """
        await self._reach(self._orders)
        await self._finish(self._orders)
        await self._reach(self._user_log)
        await self._finish(self._user_log)
        for _ in range(HOPS):
            await self._reach(self._user_log)

    async def _reach(self, topic: str) -> None:
        """Return when the workers have processed what is in the topic now."""
        ends = await self._view.ends(topic)
        while not ends:
            await self._pause()
            ends = await self._view.ends(topic)
        waiting = set(ends)
        while True:
            committed = await self._view.committed(topic)
            spans = {p: (committed[p].offset, ends[p]) for p in waiting if committed[p].offset < ends[p]}
            waiting = await self._with_records(topic, spans)
            if not waiting:
                return
            self._tell(sum(ends[p] - committed[p].offset for p in waiting))
            await self._pause()

    async def _with_records(self, topic: str, spans: dict[int, tuple[int, int]]) -> set[int]:
        """Return the partitions that have more than transaction markers left; each span is read once."""
        unread = {p: span for p, span in spans.items() if (topic, p, *span) not in self._verdicts}
        if unread:
            for partition, found in (await self._view.find(topic, unread, first_only=True)).items():
                if found.records or found.complete:
                    self._verdicts[topic, partition, *unread[partition]] = found.records > 0
        return {p for p, span in spans.items() if self._verdicts.get((topic, p, *span), True)}

    async def _finish(self, topic: str) -> None:
        """Return when no attribution id moves its lines any more, and no parked key is being released."""
        while any(partition.unfinished for partition in (await self._view.committed(topic)).values()):
            await self._pause()

    async def _pause(self) -> None:
        """Wait a moment, or say that time is up."""
        if time.monotonic() >= self._deadline:
            raise OutOfTimeError
        await asyncio.sleep(POLL_SECONDS)


async def lag_of(view: LogView, topic: str) -> list[PartitionLag]:
    """Return the lag of each partition of a topic: exact up to COUNTED_MAX, else the difference of offsets.

    Transaction markers are no records, so a partition in which only they remain has lag 0.
    """
    ends = await view.ends(topic)
    committed = await view.committed(topic)
    behind = {p: max(0, end - committed[p].offset) for p, end in ends.items()}
    spans = {p: (committed[p].offset, ends[p]) for p, lag in behind.items() if 0 < lag <= COUNTED_MAX}
    found = await view.find(topic, spans, first_only=False) if spans else {}
    exact = {p: each.records + each.rest for p, each in found.items()}
    return [PartitionLag(topic, p, exact.get(p, behind[p])) for p in sorted(ends)]
