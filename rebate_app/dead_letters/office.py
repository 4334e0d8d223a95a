"""The dead-letter office: what operators ask and decide, the same for commands and for the web server.

Law: open = dead letters minus decisions. Replaying what is open twice replays it once; a record that waits
for a parked key is never replayed while its letter is open, since it would overtake what waits before it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

from msgspec import Struct

from rebate_app.settings import Settings
from rebate_app.wire.decisions import DISCARDED, Decision
from rebate_app.wire.failure_headers import Place

from .letters import Letter, in_words
from .reader import DeadLetterReader
from .sender import DeadLetterSender

#: How many letters one page of a list looks at: a filter that finds nothing must not read for minutes.
LOOKED_AT_MAX = 5_000

REPLAYED, PARKED, DECIDED, UNKNOWN, CLOSED = "replayed", "parked", "decided", "unknown", "discarded"
#: What becomes of each letter that is named, and why it may not be what was asked.
OUTCOMES = {
    REPLAYED: "its record was sent again",
    CLOSED: "it is closed, its record is not sent again",
    PARKED: "its record waits for its key: release the key",
    DECIDED: "somebody has replayed or discarded it already",
    UNKNOWN: "there is no such dead letter",
}


class Filter(Struct, frozen=True):
    """Which letters: all members that are given have to fit. `since` in ms."""

    topic: str | None = None
    reason: str | None = None
    key: bytes | None = None
    since: int | None = None
    open_only: bool = False

    def fits(self, letter: Letter, decision: Decision | None) -> bool:
        """Whether the letter is meant."""
        return (
            self.topic in (None, letter.place.topic)
            and self.reason in (None, letter.reason)
            and self.key in (None, letter.key)
            and (self.since is None or letter.timestamp >= self.since)
            and not (self.open_only and decision is not None)
        )


class Page(Struct, frozen=True):
    """Rows, and where to go on: (number of the topic, partition, offset), None at the end."""

    items: list[dict[str, Any]]
    next: tuple[int, int, int] | None


class Office:
    """Reads with a connection that is kept, sends with one of its own each time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.reader = DeadLetterReader(settings)

    async def close(self) -> None:
        """Close the connection."""
        await self.reader.close()

    async def letters(self, wanted: Filter) -> AsyncGenerator[tuple[Letter, Decision | None], None]:
        """Iterate over all letters that fit, the newest of each id, with what was decided."""
        newest: dict[Place, Letter] = {}
        async for letter in self.reader.letters(await self.reader.whole(self._topics(wanted))):
            newest[letter.place] = letter
        decisions = await self.reader.decisions()
        for place in sorted(newest):
            letter, decision = newest[place], decisions.get(place)
            if wanted.fits(letter, decision):
                yield letter, decision

    def _topics(self, wanted: Filter) -> list[str]:
        return [dlt for dlt, source in self.reader.sources.items() if wanted.topic in (None, source)]

    async def page(self, wanted: Filter, start: tuple[int, int, int], limit: int) -> Page:
        """Return some rows from a place on, by topic, partition and offset."""
        reader = self.reader
        topics = list(reader.sources)
        decisions = await reader.decisions()
        spans = await reader.whole()
        items: list[dict[str, Any]] = []
        looked = 0
        topic, partition, offset = start
        while topic < len(topics):
            where = (topics[topic], partition)
            begin, end = spans.get(where, (0, 0))
            if topics[topic] in self._topics(wanted):
                async with aclosing(reader.letters({where: (max(begin, offset), end)})) as letters:
                    async for letter in letters:
                        if len(items) == limit or looked == LOOKED_AT_MAX:
                            return Page(items, (topic, partition, letter.stands.offset))
                        looked += 1
                        decision = decisions.get(letter.place)
                        if wanted.fits(letter, decision):
                            items.append(in_words(letter, decision))
            offset = 0
            topic, partition = (topic, partition + 1) if partition + 1 < reader.partitions else (topic + 1, 0)
        return Page(items, None)

    async def show(self, place: Place) -> tuple[Letter, Decision | None] | None:
        """Return a letter and what was decided about it, None when there is no such letter."""
        letter = (await self.reader.find([place])).get(place)
        return None if letter is None else (letter, (await self.reader.decisions()).get(place))

    async def replay(
        self, places: Iterable[Place], by: str, why: str = "", *, again: bool = False
    ) -> dict[Place, str]:
        """Send the records of these letters again; return the outcome of each."""
        wanted = list(dict.fromkeys(places))
        found = await self.reader.find(wanted)
        decisions = await self.reader.decisions()
        outcomes = {
            place: self.verdict(found.get(place), decisions.get(place), again=again) for place in wanted
        }
        chosen = [found[place] for place in wanted if outcomes[place] == REPLAYED]
        if chosen:
            async with DeadLetterSender(self.settings) as sender:
                await sender.replay(chosen, by, why)
        return outcomes

    def verdict(self, letter: Letter | None, decision: Decision | None, *, again: bool) -> str:
        """Return what would become of a letter that is to be replayed."""
        if letter is None:
            return UNKNOWN
        if decision is not None:
            return REPLAYED if again else DECIDED
        return PARKED if letter.waits_parked else REPLAYED

    async def discard(self, places: Iterable[Place], by: str, why: str) -> dict[Place, str]:
        """Close these letters; return the outcome of each."""
        wanted = list(dict.fromkeys(places))
        found = await self.reader.find(wanted)
        outcomes = {place: CLOSED if place in found else UNKNOWN for place in wanted}
        if found:
            async with DeadLetterSender(self.settings) as sender:
                await sender.discard([place for place in wanted if place in found], by, why)
        return outcomes

    async def release(self, key: bytes, by: str, source: str | None = None) -> Place | None:
        """Ask for a parked key's release, leaving out what was discarded; None when it was never parked.

        The key's dead letters tell where it is parked; of two sources the newest letter decides.
        """
        wanted = Filter(topic=source, reason="internal-error", key=key)
        letters = [(letter, decision) async for letter, decision in self.letters(wanted)]
        if not letters:
            return None
        newest = max((letter for letter, _ in letters), key=lambda letter: letter.timestamp).place
        skip = [
            letter.place.offset
            for letter, decision in letters
            if letter.place[:2] == newest[:2] and decision is not None and decision.decision == DISCARDED
        ]
        async with DeadLetterSender(self.settings) as sender:
            return await sender.release(newest.topic, newest.partition, key, by, skip)
