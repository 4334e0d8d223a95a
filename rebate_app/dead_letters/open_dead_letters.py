"""Gauges of open dead letters: how many per source, and the age of the oldest.

A task reads on every 10 s from where it stopped, so that a scrape never waits for the broker; the gauges are
at most that old.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

from rebate_app.metrics.catalogue import OLDEST_LETTER, OPEN_LETTERS
from rebate_app.metrics.registry import Sample
from rebate_app.settings import Settings
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.wire.failure_headers import AT, Place
from rebate_app.wire.moments import SECOND_US, parse_moment
from rebate_app.wire.unreadable import Skip, ignore_skipped

from .dead_letter import DeadLetter
from .reader import DeadLetterReader

REFRESH_SECONDS = 10.0
#: Most letters counted per source; the gauge stops there.
OPEN_MAX = 200_000

log = logging.getLogger(__name__)


class OpenDeadLetters:
    """The open letters of each source: id → since when, in Unix seconds."""

    def __init__(self, settings: Settings, skip: Skip = ignore_skipped) -> None:
        self._reader = DeadLetterReader(settings, skip)
        self._open: dict[str, dict[Place, float]] = {source: {} for source in self._reader.sources.values()}
        self._positions: dict[tuple[str, int], int] = {}

    async def watch(self) -> None:
        """Refresh until cancelled; while the broker is away the gauges keep their values."""
        try:
            while True:
                try:
                    await self.refresh()
                except BrokerAwayError as error:
                    log.info("dead letters are not counted now: %s", error)
                await asyncio.sleep(REFRESH_SECONDS)
        finally:
            await self._reader.close()

    async def refresh(self) -> None:
        """Read on to the present end."""
        spans = await self._reader.whole()
        on = {
            where: (max(begin, self._positions.get(where, 0)), end) for where, (begin, end) in spans.items()
        }
        async for letter in self._reader.letters(on):
            known = self._open[letter.place.topic]
            if len(known) < OPEN_MAX:
                known.setdefault(letter.place, open_since(letter))
        self._positions = {where: max(start, end) for where, (start, end) in on.items()}
        for place in await self._reader.decisions():
            if place.topic in self._open:
                self._open[place.topic].pop(place, None)

    def read(self) -> Iterator[Sample]:
        """Yield the gauges."""
        now = time.time()
        for source, letters in self._open.items():
            yield Sample(OPEN_LETTERS, (source,), len(letters))
            yield Sample(OLDEST_LETTER, (source,), max(0.0, now - min(letters.values(), default=now)))


def open_since(letter: DeadLetter) -> float:
    """Return the time of a letter's failure in Unix seconds, without one its record's time."""
    try:
        return parse_moment(letter.header_texts[AT]) / SECOND_US
    except (KeyError, ValueError):
        return letter.timestamp / 1_000
