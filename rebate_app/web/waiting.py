"""`?wait_ms=`: wait until the accounts hold what was written, or the time is up (contracts.md 5).

Law: `visible` is true only when the account of the line's owner (or the named user's) holds the fact, over
every hop: line, attribution id, user. Facts that changed nothing are held as soon as they were processed.
It is separate from the writes because they are done when the broker has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeVar

from .api import Desk
from .owners import ask_all
from .progress import (
    FACT_PROCESSED,
    LINES_HELD,
    LINES_MOVED,
    LINES_SENT,
    FactAsked,
    Held,
    HeldAsked,
    LinesAsked,
    MovedAsked,
)

POLL_S: Final = 0.005
LAST_WORD_S: Final = 0.05  # even without time to wait, the owners may say what is the case

T = TypeVar("T")


class Wait:
    """One wait with its deadline; `request_id` goes along with every question."""

    def __init__(self, desk: Desk, wait_ms: int, request_id: str) -> None:
        self._desk = desk
        self._request_id = request_id
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + wait_ms / 1_000

    async def lines(self, facts: Mapping[str, int]) -> bool:
        """Wait for order facts: line → offset of its last fact; return whether all are held."""
        waiting = dict(facts)
        held: list[Held] = []
        while True:
            held += await self._sent(waiting)
            if any(not item.account for item in held):
                return False  # refused by the line, a dead letter: no account will ever hold it
            held = await self._not_held(held)
            if not waiting and not held:
                return True
            if not await self._again():
                return False

    async def profile(self, user_id: str, offset: int) -> bool:
        """Wait for a fact in the user's own log."""
        partition = self._desk.placement.partition_of(user_id)
        while True:
            asked = [FactAsked(partition, offset, user_id)]
            (told,) = await ask_all(FACT_PROCESSED, self._desk, asked, self._request_id, self._left())
            if told is not None and told.processed:
                return True
            if not await self._again():
                return False

    async def bind(self, attribution_id: str, user_id: str | None, offset: int) -> bool:
        """Wait until the binding has moved all lines, and the user's account holds them."""
        partition = self._desk.placement.partition_of(attribution_id)
        start = 0
        while True:
            (told,) = await ask_all(
                LINES_MOVED,
                self._desk,
                [MovedAsked(partition, attribution_id, user_id, offset, start)],
                self._request_id,
                self._left(),
            )
            held = [] if told is None else await self._not_held(told.held)
            if told is not None and told.done and not held:
                if told.next is None:
                    return True
                start = told.next
            elif not await self._again():
                return False

    async def _sent(self, waiting: dict[str, int]) -> list[Held]:
        """Take the lines that were processed out of `waiting`; return what their accounts should hold."""
        asked = [
            LinesAsked(partition, [(line, waiting[line]) for line in lines])
            for partition, lines in self._by_partition((line, line) for line in waiting)
        ]
        answers = await ask_all(LINES_SENT, self._desk, asked, self._request_id, self._left())
        held: list[Held] = []
        for question, told in zip(asked, answers, strict=True):
            for (line, _), (processed, account, version) in zip(
                question.facts, [] if told is None else told.lines, strict=told is not None
            ):
                if processed:
                    del waiting[line]
                    held.append(Held(account or "", line, "", version))
        return held

    async def _not_held(self, held: list[Held]) -> list[Held]:
        """Return what is not held yet; a line that an id forwards has to be held by the user then."""
        asked = [
            HeldAsked(partition, items)
            for partition, items in self._by_partition((item.account, item) for item in held)
        ]
        answers = await ask_all(LINES_HELD, self._desk, asked, self._request_id, self._left())
        rest: list[Held] = []
        onward: list[Held] = []
        for question, told in zip(asked, answers, strict=True):
            verdicts = [(False, None)] * len(question.held) if told is None else told.held
            for item, (is_held, forwarded_to) in zip(question.held, verdicts, strict=True):
                if not is_held:
                    rest.append(item)
                elif forwarded_to is not None:
                    onward.append(Held(forwarded_to, item.line, item.account, item.line_version))
        return rest + (await self._not_held(onward) if onward else [])

    def _by_partition(self, items: Iterable[tuple[str, T]]) -> list[tuple[int, list[T]]]:
        placed = [(self._desk.placement.partition_of(key), item) for key, item in items]
        placed.sort(key=itemgetter(0))
        return [(number, [item for _, item in group]) for number, group in groupby(placed, itemgetter(0))]

    def _left(self) -> float:
        return max(self._until - self._loop.time(), LAST_WORD_S)

    async def _again(self) -> bool:
        """Sleep a little; return whether there is time to ask again."""
        left = self._until - self._loop.time()
        if left <= 0:
            return False
        await asyncio.sleep(min(left, POLL_S))
        return True
