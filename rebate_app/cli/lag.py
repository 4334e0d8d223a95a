"""Compute the workers' lag, and wait until everything that was sent is in the balances.

`settle` returns only when every record acknowledged before it began, and everything that follows from it over
every hop, is committed by the workers (docs/spec/cli.md#lag). It relies on three facts: a worker commits
watermark + 1 of a partition after the transaction that holds its effects; the commit's metadata states how
many ids still move lines; ends are read from the log itself, where an acknowledged record is below the high
watermark even while the last stable offset is held back.

Kafka is behind `LogView`, so that tests cover every interleaving.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

#: From an attribution id to the buyer, to the inviter and to the inviter's inviter; each hop appends to
#: the user log what the next one has to process (docs/spec/money.md#shares: two levels of inviters).
HOPS = 4
#: Over each source: the records, and the copies of those in the wrong partition.
PASSES = 2
POLL_SECONDS = 0.1
#: Up to here the records behind the committed offset are counted one by one, above it is a difference.
COUNTED_MAX = 20_000


class Committed(Struct, frozen=True):
    """Where a partition's workers are: the next offset to process, and the ids that still move lines.

    `halted`: why the partition is halted, "" while it is not; `halted_at`: before which offset.
    """

    offset: int
    unfinished: int = 0
    halted: str = ""
    halted_at: int = -1


class SpanContent(Struct, frozen=True):
    """What a read_committed reader finds between two offsets; `complete`: it could read up to the end.

    `rest`: offsets that it could not read yet. `first_ms`: timestamp of the first record, None without one.
    """

    records: int
    complete: bool
    rest: int = 0
    first_ms: int | None = None


class LogView(Protocol):
    """The two topics as they are on the broker."""

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the high watermark of every partition; {} while the topic does not exist."""
        ...

    async def stable_ends(self, topic: str) -> dict[int, int]:
        """Return the last stable offset of every partition: no open transaction begins before it."""
        ...

    async def committed(self, topic: str) -> dict[int, Committed]:
        """Return where the group is in every partition; the log's start where it never committed."""
        ...

    async def find(
        self, topic: str, spans: dict[int, tuple[int, int]], *, first_only: bool
    ) -> dict[int, SpanContent]:
        """Return what read_committed finds from the first offset up to the second, by partition."""
        ...


class OutOfTimeError(Exception):
    """The time given is up, and not everything is processed."""


class PartitionLag(Struct, frozen=True):
    """How many records of a partition are not processed yet.

    `lag`: those that a read_committed reader finds. `unstable`: offsets from the last stable one to the high
    watermark, which nobody reads before the transaction that is open there ends. `halted`: why the partition
    is halted, "" while it is not. `unfinished`: attribution ids that still move lines. `oldest_ms`: timestamp
    of the first record that is not processed.
    """

    topic: str
    partition: int
    lag: int
    unstable: int = 0
    halted: str = ""
    unfinished: int = 0
    oldest_ms: int | None = None

    @property
    def is_behind(self) -> bool:
        """Whether something of the partition is not in the balances."""
        return bool(self.lag or self.unstable or self.halted or self.unfinished)


class LagWatch:
    """Watches the workers' progress on the sources, in the order in which records pass through them.

    `deadline` on the monotonic clock; every wait raises OutOfTimeError after it. `on_progress` gets the
    number of offsets by which the awaited stage is behind.
    """

    def __init__(
        self,
        view: LogView,
        sources: Sequence[str],
        *,
        deadline: float,
        on_progress: Callable[[int], None],
    ) -> None:
        self._view = view
        self._sources = sources
        self._deadline = deadline
        self._on_progress = on_progress
        self._verdicts: dict[tuple[str, int, int, int], bool] = {}

    async def settle(self) -> None:
        """Return when all that was acknowledged before, and all that follows from it, is processed.

        A record in the wrong partition is sent on to the same topic, so each source is passed twice: the
        second pass reaches the copies, which are in the right partition. After the passes over the user log,
        the last source, every binding is folded and every line is with its id, so ids that move lines are
        known by then; once none does, all that they send is in the log too, and what is left are the hops
        from buyer to inviters.
        """
        for source in self._sources:
            for _ in range(PASSES):
                await self._reach(source)
            await self._finish(source)
        for _ in range(HOPS):
            await self._reach(self._sources[-1])

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
            self._on_progress(sum(ends[p] - committed[p].offset for p in waiting))
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
        """Wait POLL_SECONDS; OutOfTimeError after the deadline."""
        if time.monotonic() >= self._deadline:
            raise OutOfTimeError
        await asyncio.sleep(POLL_SECONDS)


async def lag_of(view: LogView, topic: str) -> list[PartitionLag]:
    """Return the lag of each partition of a topic: exact up to COUNTED_MAX, else the difference of offsets.

    Transaction markers are no records, so a partition in which only they remain has lag 0.
    """
    ends = await view.ends(topic)
    stable = await view.stable_ends(topic)
    committed = await view.committed(topic)
    readable = {p: min(end, stable.get(p, end)) for p, end in ends.items()}
    behind = {p: max(0, end - committed[p].offset) for p, end in readable.items()}
    spans = {p: (committed[p].offset, readable[p]) for p, lag in behind.items() if lag}
    counted = {p: span for p, span in spans.items() if behind[p] <= COUNTED_MAX}
    others = {p: span for p, span in spans.items() if p not in counted}
    found = await view.find(topic, counted, first_only=False) if counted else {}
    exact = {p: each.records + each.rest for p, each in found.items()}
    found |= await view.find(topic, others, first_only=True) if others else {}
    return [
        PartitionLag(
            topic,
            p,
            exact.get(p, behind[p]),
            ends[p] - readable[p],
            committed[p].halted,
            committed[p].unfinished,
            found[p].first_ms if p in found else None,
        )
        for p in sorted(ends)
    ]
