"""How many dead letters are open, and since when the oldest is: for metrics.

Law: read on from time to time, never from the beginning again; what is said is at most some seconds old. It
is separate because a scrape must not wait for the broker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

from rebate_app.lane.connection import BrokerAwayError
from rebate_app.metrics.catalogue import OLDEST_LETTER, OPEN_LETTERS
from rebate_app.metrics.figures import Sample
from rebate_app.settings import Settings
from rebate_app.wire.failure_headers import AT, Place
from rebate_app.wire.moments import parse_moment

from .letters import Letter
from .reader import DeadLetterReader

EVERY_S = 10.0
#: More open letters than anybody will look at one by one: beyond them the figure says "at least".
OPEN_MAX = 200_000
MICROSECONDS = 1_000_000

log = logging.getLogger(__name__)


class OpenLetters:
    """The open letters of both sources: id → since when, in Unix seconds."""

    def __init__(self, settings: Settings) -> None:
        self._reader = DeadLetterReader(settings)
        self._open: dict[str, dict[Place, float]] = {source: {} for source in self._reader.sources.values()}
        self._positions: dict[tuple[str, int], int] = {}

    async def watch(self) -> None:
        """Read on for ever; while the broker is away, what is said stays what it was."""
        try:
            while True:
                try:
                    await self.refresh()
                except BrokerAwayError as error:
                    log.info("dead letters are not counted now: %s", error)
                await asyncio.sleep(EVERY_S)
        finally:
            await self._reader.close()

    async def refresh(self) -> None:
        """Read on to the end of now."""
        spans = await self._reader.whole()
        on = {
            where: (max(begin, self._positions.get(where, 0)), end) for where, (begin, end) in spans.items()
        }
        async for letter in self._reader.letters(on):
            known = self._open[letter.place.topic]
            if len(known) < OPEN_MAX:
                known.setdefault(letter.place, since(letter))
        self._positions = {where: max(start, end) for where, (start, end) in on.items()}
        for place in await self._reader.decisions():
            if place.topic in self._open:
                self._open[place.topic].pop(place, None)

    def read(self) -> Iterator[Sample]:
        """Yield what is known now."""
        now = time.time()
        for source, letters in self._open.items():
            yield Sample(OPEN_LETTERS, (source,), len(letters))
            yield Sample(OLDEST_LETTER, (source,), max(0.0, now - min(letters.values(), default=now)))


def since(letter: Letter) -> float:
    """Return since when a letter has been one, in Unix seconds; its record's time where it does not say."""
    try:
        return parse_moment(letter.told[AT]) / MICROSECONDS
    except (KeyError, ValueError):
        return letter.timestamp / 1_000
