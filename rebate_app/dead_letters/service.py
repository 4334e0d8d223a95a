"""List, replay, discard and release dead letters; the commands and the web server share this service.

A letter is open until a decision names it. Replaying an open letter twice sends it once. A record that waits
for a parked key is never replayed while its letter is open: it would overtake the records before it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from msgspec import Struct

from rebate_app.settings import Settings
from rebate_app.streams.kafka.log_reader import NoSuchPlaceError
from rebate_app.wire.decisions import DISCARDED, Decision
from rebate_app.wire.failure_headers import Place

from .dead_letter import DeadLetter, list_row
from .outcomes import CLOSED, DECIDED, OUTCOMES, PARKED, REPLAYED, UNKNOWN, Outcome
from .reader import DeadLetterReader
from .replayer import Replayer, size_limits
from .sender import DeadLetterSender

__all__ = ["OUTCOMES", "REPLAYED", "UNKNOWN", "DeadLetterService", "Filter", "LetterPage", "Trail"]

#: Records of the audit trail as (key, value), emptied when they are committed.
Trail = list[tuple[bytes, bytes]]
#: Most letters that one page of a list reads, so that a filter without matches ends in time.
SCANNED_MAX = 5_000
#: Most letters that are closed in one transaction.
CLOSED_MAX = 2_000


class Filter(Struct, frozen=True):
    """Which letters to select: all members that are set have to match. `since` in ms."""

    topic: str | None = None
    reason: str | None = None
    key: bytes | None = None
    since: int | None = None
    open_only: bool = False

    def matches(self, letter: DeadLetter, decision: Decision | None) -> bool:
        """Whether the letter is selected."""
        return (
            self.topic in (None, letter.place.topic)
            and self.reason in (None, letter.reason)
            and self.key in (None, letter.key)
            and (self.since is None or letter.timestamp >= self.since)
            and not (self.open_only and decision is not None)
        )


class LetterPage(Struct, frozen=True):
    """Rows, and the start of the next page (index of the topic, partition, offset), None at the end."""

    items: list[dict[str, Any]]
    next: tuple[int, int, int] | None


class DeadLetterService:
    """Reads with one connection that it keeps; opens a sender for each decision."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.reader = DeadLetterReader(settings)

    async def close(self) -> None:
        """Close the connection."""
        await self.reader.close()

    async def letters(self, wanted: Filter) -> AsyncGenerator[tuple[DeadLetter, Decision | None], None]:
        """Iterate over the selected letters, the newest of each id, with their decisions."""
        newest: dict[Place, DeadLetter] = {}
        async for letter in self.reader.letters(await self.reader.whole(self._topics(wanted))):
            newest[letter.place] = letter.without_large_value()
        decisions = await self.reader.decisions()
        for place in sorted(newest):
            letter, decision = newest[place], decisions.get(place)
            if wanted.matches(letter, decision):
                yield letter, decision

    def _topics(self, wanted: Filter) -> list[str]:
        return [
            dead_letter_topic
            for dead_letter_topic, source in self.reader.sources.items()
            if wanted.topic in (None, source)
        ]

    async def page(self, wanted: Filter, start: tuple[int, int, int], limit: int) -> LetterPage:
        """Return at most `limit` rows from a place on, by topic, partition and offset; NoSuchPlaceError."""
        reader = self.reader
        topics = list(reader.sources)
        decisions = await reader.decisions()
        spans = await reader.whole()
        items: list[dict[str, Any]] = []
        scanned = 0
        topic, partition, offset = start
        _require_place(topics, spans, start)
        while topic < len(topics):
            where = (topics[topic], partition)
            begin, end = spans.get(where, (0, 0))
            if topics[topic] in self._topics(wanted):
                async with aclosing(reader.letters({where: (max(begin, offset), end)})) as letters:
                    async for letter in letters:
                        if len(items) == limit or scanned == SCANNED_MAX:
                            return LetterPage(items, (topic, partition, letter.stored_at.offset))
                        scanned += 1
                        decision = decisions.get(letter.place)
                        if wanted.matches(letter, decision):
                            items.append(list_row(letter, decision))
            offset = 0
            topic, partition = (topic, partition + 1) if partition + 1 < reader.partitions else (topic + 1, 0)
        return LetterPage(items, None)

    async def show(self, place: Place) -> tuple[DeadLetter, Decision | None] | None:
        """Return a letter and its decision, None if there is no such letter."""
        found = (await self.reader.find([place])).get(place)
        letter = None if found is None else await self.reader.with_value(found)
        return None if letter is None else (letter, (await self.reader.decisions()).get(place))

    async def replay(
        self,
        places: Iterable[Place],
        by: str,
        why: str = "",
        *,
        again: bool = False,
        trail: Trail | None = None,
    ) -> dict[Place, Outcome]:
        """Send the records of these letters again; return the outcome of each.

        `trail` (`DeadLetterSender`) stays as it is where nothing is sent.
        """
        wanted = list(dict.fromkeys(places))
        found = await self.reader.find(wanted)
        decisions = await self.reader.decisions()
        outcomes = {
            place: Outcome(self.replay_outcome(found.get(place), decisions.get(place), again=again))
            for place in wanted
        }
        chosen = [found[place] for place in wanted if outcomes[place].outcome == REPLAYED]
        if chosen:
            async with self.replayer(chosen, trail) as replayer:
                outcomes |= await replayer.replay(chosen, by, why)
        return outcomes

    @asynccontextmanager
    async def replayer(
        self, letters: Iterable[DeadLetter], trail: Trail | None = None
    ) -> AsyncIterator[Replayer]:
        """Open a replayer for these letters."""
        limits = await size_limits(self.settings, {letter.place.topic for letter in letters})
        async with DeadLetterSender(self.settings, trail=trail) as sender:
            yield Replayer(self.settings, self.reader, sender, limits)

    def replay_outcome(self, letter: DeadLetter | None, decision: Decision | None, *, again: bool) -> str:
        """Return the outcome that a replay of the letter would have, before its size is known."""
        if letter is None:
            return UNKNOWN
        if decision is not None:
            return REPLAYED if again else DECIDED
        return PARKED if letter.is_parked else REPLAYED

    async def discard(
        self, places: Iterable[Place], by: str, why: str, trail: Trail | None = None
    ) -> dict[Place, str]:
        """Close these letters; return the outcome of each."""
        wanted = list(dict.fromkeys(places))
        found = await self.reader.find(wanted)
        outcomes = {place: CLOSED if place in found else UNKNOWN for place in wanted}
        if found:
            await self.close_letters([place for place in wanted if place in found], by, why, trail)
        return outcomes

    async def close_letters(
        self, places: Sequence[Place], by: str, why: str, trail: Trail | None = None
    ) -> None:
        """Close letters that exist, in transactions of at most CLOSED_MAX."""
        async with DeadLetterSender(self.settings, trail=trail) as sender:
            for start in range(0, len(places), CLOSED_MAX):
                await sender.discard(places[start : start + CLOSED_MAX], by, why)

    async def release(
        self, key: bytes, by: str, source: str | None = None, trail: Trail | None = None
    ) -> Place | None:
        """Send the release of a parked key, leaving out discarded records; None if it was never parked.

        The key's newest dead letter decides in which source it is parked.
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
        async with DeadLetterSender(self.settings, trail=trail) as sender:
            return await sender.release(newest.topic, newest.partition, key, by, skip)


def _require_place(
    topics: list[str], spans: Mapping[tuple[str, int], tuple[int, int]], place: tuple[int, int, int]
) -> None:
    """Raise NoSuchPlaceError unless the log of that topic and partition has reached the offset."""
    topic, partition, offset = place
    span = spans.get((topics[topic], partition)) if topic < len(topics) else None
    if span is None or (offset > 0 and offset >= span[1]):
        raise NoSuchPlaceError(f"no letter was ever at {place}")
