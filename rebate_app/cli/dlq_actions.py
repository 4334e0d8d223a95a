"""The work of the `rebate dlq` commands, without options and output.

A replay selects letters by reading, then sends them in groups at the given rate. CommandError for what the
user can correct.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from rebate_app.dead_letters.dead_letter import DeadLetter, full_document, list_row
from rebate_app.dead_letters.open_dead_letters import open_since
from rebate_app.dead_letters.outcomes import CLOSED, GOOD, NOT_REPLAYED, REPLAYED, UNKNOWN, Outcome
from rebate_app.dead_letters.replayer import GROUP_LETTERS_MAX
from rebate_app.dead_letters.service import DeadLetterService, Filter, Trail
from rebate_app.settings import EXIT_FINDINGS, EXIT_USAGE, Settings
from rebate_app.wire.audit_trail import encode_trail
from rebate_app.wire.decisions import Decision
from rebate_app.wire.facts.identifiers import match_line, match_user_id, path_segment
from rebate_app.wire.failure_headers import Place, parse_place
from rebate_app.wire.moments import MILLISECOND_US, SECOND_US, format_moment, parse_at
from rebate_app.wire.topics import Topics

from .command_trail import command_record
from .exits import CommandError
from .terminal import Progress
from .worker_client import WorkerClient

__all__ = ["GOOD", "NOT_REPLAYED", "Selection"]

HEX = "hex:"
DRY_RUN_IDS_MAX = 25

Rank = tuple[int, Place]


class Selection(Struct):
    """The selected letters, and the outcome that a replay of each would have, in order."""

    letters: dict[Place, DeadLetter]
    outcomes: dict[Place, str]

    @property
    def replayable(self) -> list[DeadLetter]:
        """Return the letters whose records may be sent again."""
        return [self.letters[place] for place, outcome in self.outcomes.items() if outcome == REPLAYED]


@asynccontextmanager
async def _open_service(settings: Settings) -> AsyncIterator[DeadLetterService]:
    from rebate_app.streams.kafka.admin import ensure_topics

    await ensure_topics(settings)
    service = DeadLetterService(settings)
    try:
        yield service
    finally:
        await service.close()


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
    """Return the filter of the options."""
    try:
        moment = None if since is None else parse_at(since) // MILLISECOND_US
    except ValueError as error:
        raise CommandError(f"--since: {error}.", EXIT_USAGE) from None
    return Filter(source_of(settings, topic), reason, None if key is None else key_of(key), moment, open_only)


def source_of(settings: Settings, topic: str | None) -> str | None:
    """Return the source topic of its full name, its name without prefix, or its short name."""
    if topic is None:
        return None
    topics, prefix = Topics.of(settings), settings.topic_prefix
    short_names = {stage.source: stage.spec.name for stage in topics.stages} | {topics.events: "events"}
    for real, short in short_names.items():
        if topic in (real, real.removeprefix(prefix), short):
            return real
    raise CommandError(f"--topic is {', '.join(topics.sources)} or {topics.events}, not {topic}.", EXIT_USAGE)


def _place(text: str) -> Place:
    try:
        return parse_place(text)
    except ValueError as error:
        raise CommandError(f"{error}.", EXIT_USAGE) from None


class LetterList(Struct, frozen=True):
    """Rows of dead letters, newest failure first, and how many that match are not among them.

    `before`, `beyond`: letters before the cursor and after the last row. `decided`: letters that match but
    for being decided. `next_cursor` continues the list, None at its end.
    """

    rows: list[dict[str, Any]]
    next_cursor: str | None
    before: int
    beyond: int
    decided: int


async def list_letters(
    settings: Settings, wanted: Filter, limit: int, cursor: str | None = None
) -> LetterList:
    """Return a list from the cursor on; CommandError for a cursor that no list gave."""
    start = None if cursor is None else _cursor_rank(cursor)
    matching: list[tuple[DeadLetter, Decision | None]] = []
    decided = 0
    async with _open_service(settings) as service:
        async for letter, decision in service.letters(replace(wanted, open_only=False)):
            if wanted.open_only and decision is not None:
                decided += 1
            else:
                matching.append((letter, decision))
    matching.sort(key=lambda each: _rank(each[0]), reverse=True)
    following = [each for each in matching if start is None or _rank(each[0]) < start]
    listed = following[:limit]
    return LetterList(
        [list_row(letter, decision) for letter, decision in listed],
        _cursor_of(listed[-1][0]) if len(listed) < len(following) else None,
        len(matching) - len(following),
        len(following) - len(listed),
        decided,
    )


def _rank(letter: DeadLetter) -> Rank:
    """Return what lists are sorted by: when it failed in microseconds, then its place."""
    return int(open_since(letter) * SECOND_US), letter.place


def _cursor_of(letter: DeadLetter) -> str:
    failed_at_us, place = _rank(letter)
    return f"{failed_at_us}/{place}"


def _cursor_rank(cursor: str) -> Rank:
    failed_at, _, place = cursor.partition("/")
    if not (failed_at.isascii() and failed_at.isdigit()):
        raise CommandError(f"--cursor {cursor} is none that a list gave.", EXIT_USAGE)
    return int(failed_at), _place(place)


async def show_letter(settings: Settings, text: str) -> dict[str, Any]:
    """Return a letter with dry run and state from a worker, null where none answers."""
    async with _open_service(settings) as service:
        found = await service.show(_place(text))
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
    return full_document(*found) | {"today": today, "state": state}


def _state_path(letter: DeadLetter) -> str | None:
    """Return the worker's path of the record's order line or account, None for other keys."""
    key = (letter.key or b"").decode("utf-8", "replace")
    if match_line(key) is not None:
        platform, _, order_line_id = key.partition(":")
        return f"/v1/order-lines/{platform}/{path_segment(order_line_id)}"
    if match_user_id(key) is not None:
        return f"/v1/users/{path_segment(key)}/balance"
    return None


async def select_letters(settings: Settings, ids: Sequence[str], wanted: Filter, *, again: bool) -> Selection:
    """Return the named letters, or those that match the filter."""
    places = [_place(text) for text in ids]
    async with _open_service(settings) as service:
        if not places:
            found = {letter.place: (letter, decision) async for letter, decision in service.letters(wanted)}
            return Selection(
                {place: letter for place, (letter, _) in found.items()},
                {
                    place: service.replay_outcome(letter, decision, again=again)
                    for place, (letter, decision) in found.items()
                },
            )
        letters = await service.reader.find(places)
        decisions = await service.reader.decisions()
        return Selection(
            letters,
            {
                place: service.replay_outcome(letters.get(place), decisions.get(place), again=again)
                for place in dict.fromkeys(places)
            },
        )


async def replay_letters(
    settings: Settings, selection: Selection, by: str, why: str, rate: int, progress: Progress
) -> list[dict[str, Any]]:
    """Send what may be sent again, at most `rate` records a second; return the outcome of each letter."""
    letters = selection.replayable
    size = min(rate, GROUP_LETTERS_MAX)
    outcomes = {place: Outcome(outcome) for place, outcome in selection.outcomes.items()}
    if letters:
        began = time.monotonic()
        trail = _trail("dead-letter.replay", map(str, selection.letters), by, why)
        async with _open_service(settings) as service, service.replayer(letters, trail) as replayer:
            for start in range(0, len(letters), size):
                await asyncio.sleep(max(0.0, began + start / rate - time.monotonic()))
                some = letters[start : start + size]
                outcomes |= await replayer.replay(some, by, why)
                progress(start + len(some), f"of {len(letters)} letters done")
    return [_row(place, outcome) for place, outcome in outcomes.items()]


def _row(place: Place, outcome: Outcome) -> dict[str, Any]:
    row = {"id": str(place), "outcome": outcome.outcome}
    if outcome.detail:
        row["detail"] = outcome.detail
    if outcome.place is not None:
        row["stands_at"] = str(outcome.place)
    return row


async def dry_run_letters(settings: Settings, selection: Selection) -> list[dict[str, Any]]:
    """Return the outcome of each letter's dry run on the workers; nothing is sent."""
    ids = [str(place) for place in selection.outcomes]
    rows: list[dict[str, Any]] = []
    async with WorkerClient(settings.url) as client:
        for start in range(0, len(ids), DRY_RUN_IDS_MAX):
            some = quote(",".join(ids[start : start + DRY_RUN_IDS_MAX]), safe="")
            body = {"by": "dry run", "dry_run": True}
            rows += (await client.post(f"/v1/dead-letters/{some}/replay", body))["items"]
    return rows


async def discard_letters(
    settings: Settings, selection: Selection, by: str, why: str
) -> list[dict[str, Any]]:
    """Close the selected letters; return the outcome of each."""
    if selection.letters:
        trail = _trail("dead-letter.discard", map(str, selection.letters), by, why)
        async with _open_service(settings) as service:
            await service.close_letters(list(selection.letters), by, why, trail)
    return [
        {"id": str(place), "outcome": CLOSED if place in selection.letters else UNKNOWN}
        for place in selection.outcomes
    ]


async def count_letters(settings: Settings) -> list[dict[str, Any]]:
    """Return how many letters there are by source and reason."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    oldest: dict[tuple[str, str], float] = {}
    async with _open_service(settings) as service:
        async for letter, decision in service.letters(Filter()):
            name = (letter.place.topic, letter.reason)
            empty = {"topic": name[0], "reason": name[1], "open": 0, "replayed": 0, "discarded": 0}
            row = rows.setdefault(name, empty)
            row["open" if decision is None else decision.decision] += 1
            if decision is None:
                oldest[name] = min(oldest.get(name, open_since(letter)), open_since(letter))
    for name, row in rows.items():
        row["oldest_open"] = format_moment(int(oldest[name] * SECOND_US)) if name in oldest else None
    return [rows[name] for name in sorted(rows)]


async def list_parked_keys(settings: Settings) -> list[dict[str, Any]]:
    """Return the parked keys of all workers."""
    async with WorkerClient(settings.url) as client:
        return await client.parked_keys()


async def release_key(
    settings: Settings, key: str, topic: str | None, by: str, why: str = ""
) -> Place | None:
    """Send the release of a key; return the place of the message, None if the key was never parked."""
    async with _open_service(settings) as service:
        trail = _trail("parked-key.release", [key], by, why)
        return await service.release(key_of(key), by, source_of(settings, topic), trail)


def _trail(action: str, subjects: Iterable[str], by: str, reason: str) -> Trail:
    """Return what the first transaction of a command adds to the audit trail."""
    return [encode_trail(command_record(action, ",".join(subjects), by, reason))]
