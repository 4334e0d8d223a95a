"""A job for a contender: a feed is written, and what has to stand in the accounts in the end is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.facts import facts, five, life, people
from bench.gate import pour
from bench.orders import PARTITIONS, Row, orders
from bench.place import Run
from bench.watch import AccountSums, LineRecords, Watch

FEEDS: dict[str, Callable[..., Iterable[Row]]] = {"toy": orders, "paid": facts, "life": life, "five": five}


def nothing() -> None:
    """Do nothing."""


class Job:
    """A feed, and how it is known that all of it is done: by what the changelog of accounts holds."""

    def __init__(self, run: Run, feed: str, accounts: str) -> None:
        self._run = run
        self._feed: Callable[..., Iterable[Row]] = FEEDS[feed]
        self._real = feed != "toy"
        tally = LineRecords() if self._real else AccountSums()
        self._watch = Watch(run.place.broker, accounts, tally)
        self._wanted: tuple[int, ...] = (0,) if self._real else (0, 0, 0)
        self._check: Callable[[], None] = nothing

    async def prepare(self) -> None:
        """For the real domain, write the profiles: who invited whom is known before the first order."""
        if self._real:
            await pour(self._run.place.broker, self._run.topics.user_log, PARTITIONS, people())

    def watch(self, check: Callable[[], None]) -> Watch:
        """Return what has to be open meanwhile; `check` raises when the contender has died."""
        self._check = check
        return self._watch

    async def fill(self, count: int, first: int, before_commit: Callable[[], None] = nothing) -> float:
        """Write orders; return the moment of their commit."""
        found: tuple[int, ...] = (0,) if self._real else (0, 0, 0)

        def counted() -> Iterable[Row]:
            nonlocal found
            for row in self._feed(count, first=first):
                found = tuple(map(sum, zip(found, row.raises, strict=True)))
                yield row

        run = self._run
        at = await pour(run.place.broker, run.topics.orders, PARTITIONS, counted(), before_commit)
        self._wanted = tuple(map(sum, zip(self._wanted, found, strict=True)))
        return at

    async def done(self, seconds_max: float) -> float:
        """Return the moment at which all of it was done."""
        await self._watch.appear(seconds_max, self._check)
        return await self._watch.done_at(self._wanted, seconds_max, self._check)
