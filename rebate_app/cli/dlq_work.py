"""What `rebate dlq` does, apart from the words in which it is asked and said.

It is separate from the commands because they are read for their options, and this for its order of steps:
choose by reading, send a part at a time, at the rate that was asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from rebate_app.dead_letters.letters import Letter, in_full, in_words
from rebate_app.dead_letters.office import REPLAYED, Filter, Office
from rebate_app.dead_letters.open_letters import since as since_of
from rebate_app.dead_letters.rehearsal import GOOD
from rebate_app.dead_letters.sender import BATCH_LETTERS_MAX, DeadLetterSender
from rebate_app.settings import EXIT_FINDINGS, EXIT_USAGE, Settings
from rebate_app.wire.failure_headers import Place, parse_place
from rebate_app.wire.identifiers import match_line, match_user_id
from rebate_app.wire.moments import format_moment, parse_at
from rebate_app.wire.topics import Topics

from .exits import CommandError
from .show import Progress
from .worker_client import WorkerClient

__all__ = ["GOOD", "Chosen"]

HEX = "hex:"
MILLISECOND_US = 1_000
MICROSECONDS = 1_000_000
ASKED_AT_ONCE_MAX = 25


class Chosen(Struct):
    """The letters that are meant, and what is to become of each: an outcome by id, in order."""

    letters: dict[Place, Letter]
    outcomes: dict[Place, str]

    @property
    def replayable(self) -> list[Letter]:
        """Return those whose records may be sent again."""
        return [self.letters[place] for place, said in self.outcomes.items() if said == REPLAYED]


@asynccontextmanager
async def _office(settings: Settings) -> AsyncIterator[Office]:
    from rebate_app.lane.admin import ensure_topics

    await ensure_topics(settings)
    office = Office(settings)
    try:
        yield office
    finally:
        await office.close()


def key_of(text: str) -> bytes:
    """Return the bytes of a key: its text, or `hex:…`."""
    if not text.startswith(HEX):
        return text.encode()
    try:
        return bytes.fromhex(text.removeprefix(HEX))
    except ValueError:
        raise CommandError(f"{text} is no hexadecimal key.", EXIT_USAGE) from None


def filter_of(
    settings: Settings,
    topic: str | None,
    reason: str | None,
    key: str | None,
    since: str | None,
    *,
    open_only: bool,
) -> Filter:
    """Return the filter that the options say."""
    try:
        moment = None if since is None else parse_at(since) // MILLISECOND_US
    except ValueError as error:
        raise CommandError(f"--since: {error}.", EXIT_USAGE) from None
    return Filter(source_of(settings, topic), reason, None if key is None else key_of(key), moment, open_only)


def source_of(settings: Settings, topic: str | None) -> str | None:
    """Return the real name of a source, which may be called by it, by the name without prefix, or shortly."""
    if topic is None:
        return None
    topics, prefix = Topics.of(settings), settings.topic_prefix
    for real, short in (
        (topics.orders, "orders"),
        (topics.user_log, "user-log"),
        (topics.events, "events"),
    ):
        if topic in (real, real.removeprefix(prefix), short):
            return real
    raise CommandError(
        f"--topic is {topics.orders}, {topics.user_log} or {topics.events}, not {topic}.", EXIT_USAGE
    )


def _place(text: str) -> Place:
    try:
        return parse_place(text)
    except ValueError as error:
        raise CommandError(f"{error}.", EXIT_USAGE) from None


async def listed(settings: Settings, wanted: Filter, limit: int) -> list[dict[str, Any]]:
    """Return the rows of a list."""
    async with _office(settings) as office:
        rows = [in_words(letter, decision) async for letter, decision in office.letters(wanted)]
    return rows[:limit]


async def shown(settings: Settings, text: str) -> dict[str, Any]:
    """Return everything about a letter, and what the workers say of it, null where nobody answers."""
    async with _office(settings) as office:
        found = await office.show(_place(text))
    if found is None:
        raise CommandError(f"There is no dead letter {text}.", EXIT_FINDINGS)
    today = state = None
    try:
        async with WorkerClient(settings.url) as client:
            today = (await client.get(f"/v1/dead-letters/{quote(text, safe='')}"))["today"]
            path = _state_path(found[0])
            state = None if path is None else await client.get(path)
    except CommandError as error:
        today = today or {"outcome": "away", "reason": "", "detail": str(error)}
    return in_full(*found) | {"today": today, "state": state}


def _state_path(letter: Letter) -> str | None:
    """Return where a worker tells of the line or account that the record is about."""
    key = (letter.key or b"").decode("utf-8", "replace")
    if match_line(key) is not None:
        return "/v1/order-lines/" + key.replace(":", "/", 1)
    if match_user_id(key) is not None:
        return f"/v1/users/{quote(key, safe='')}/balance"
    return None


async def chosen(settings: Settings, texts: Sequence[str], wanted: Filter, *, again: bool) -> Chosen:
    """Return the letters that are named, or those that fit."""
    places = [_place(text) for text in texts]
    async with _office(settings) as office:
        if not places:
            found = {letter.place: (letter, decision) async for letter, decision in office.letters(wanted)}
            return Chosen(
                {place: letter for place, (letter, _) in found.items()},
                {
                    place: office.verdict(letter, decision, again=again)
                    for place, (letter, decision) in found.items()
                },
            )
        letters = await office.reader.find(places)
        decisions = await office.reader.decisions()
        return Chosen(
            letters,
            {
                place: office.verdict(letters.get(place), decisions.get(place), again=again)
                for place in dict.fromkeys(places)
            },
        )


async def replayed(
    settings: Settings, chosen: Chosen, by: str, why: str, rate: int, tell: Progress
) -> list[dict[str, Any]]:
    """Send what may be sent again, at most `rate` records a second; return the outcome of each letter."""
    letters = chosen.replayable
    size = min(rate, BATCH_LETTERS_MAX)
    stand: dict[Place, Place] = {}
    if letters:
        began = time.monotonic()
        async with DeadLetterSender(settings) as sender:
            for start in range(0, len(letters), size):
                await asyncio.sleep(max(0.0, began + start / rate - time.monotonic()))
                some = letters[start : start + size]
                places = await sender.replay(some, by, why)
                stand |= {letter.place: place for letter, place in zip(some, places, strict=True)}
                tell(len(stand), f"of {len(letters)} records sent again")
    return [
        {"id": str(place), "outcome": said} | ({"stands_at": str(stand[place])} if place in stand else {})
        for place, said in chosen.outcomes.items()
    ]


async def rehearsed(settings: Settings, chosen: Chosen) -> list[dict[str, Any]]:
    """Ask the workers what they would make of each; nothing is sent."""
    ids = [str(place) for place in chosen.outcomes]
    rows: list[dict[str, Any]] = []
    async with WorkerClient(settings.url) as client:
        for start in range(0, len(ids), ASKED_AT_ONCE_MAX):
            some = quote(",".join(ids[start : start + ASKED_AT_ONCE_MAX]), safe="")
            wish = {"by": "dry run", "dry_run": True}
            rows += (await client.post(f"/v1/dead-letters/{some}/replay", wish))["items"]
    return rows


async def discarded(settings: Settings, texts: Sequence[str], by: str, why: str) -> list[dict[str, Any]]:
    """Close letters; return the outcome of each."""
    async with _office(settings) as office:
        outcomes = await office.discard([_place(text) for text in texts], by, why)
    return [{"id": str(place), "outcome": said} for place, said in outcomes.items()]


async def counted(settings: Settings) -> list[dict[str, Any]]:
    """Return how many letters there are by source and reason."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    oldest: dict[tuple[str, str], float] = {}
    async with _office(settings) as office:
        async for letter, decision in office.letters(Filter()):
            name = (letter.place.topic, letter.reason)
            empty = {"topic": name[0], "reason": name[1], "open": 0, "replayed": 0, "discarded": 0}
            row = rows.setdefault(name, empty)
            row["open" if decision is None else decision.decision] += 1
            if decision is None:
                oldest[name] = min(oldest.get(name, since_of(letter)), since_of(letter))
    for name, row in rows.items():
        row["oldest_open"] = format_moment(int(oldest[name] * MICROSECONDS)) if name in oldest else None
    return [rows[name] for name in sorted(rows)]


async def parked(settings: Settings) -> list[dict[str, Any]]:
    """Return what is parked, as the workers say."""
    async with WorkerClient(settings.url) as client:
        return await client.parked_keys()


async def released(settings: Settings, key: str, topic: str | None, by: str) -> Place | None:
    """Ask for a release; return where the message stands, None when the key was never parked."""
    async with _office(settings) as office:
        return await office.release(key_of(key), by, source_of(settings, topic))
