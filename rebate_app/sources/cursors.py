"""The topic `rebate-fetch-cursors`: how far each job is read, and what operators decided about accounts.

A cursor has the key `account/job`. A decision has the key `account` alone: pause, resume, or a backfill.
Every worker reads the topic before it fetches, and follows it (docs/spec/sources.md#watermark).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder, Encoder
from msgspec.structs import replace

from rebate_app.streams.kafka.control_topic import ControlTopic
from rebate_app.wire.unreadable import Skip, UnreadableValueError, decode_with, ignore_skipped

from .job import JobCursor, decode_cursor

SEPARATOR = "/"
#: A poll that writes looks this often whether another one has come further.
LOOK_SECONDS = 5.0


class AccountDecision(Struct, frozen=True):
    """What an operator decided about an account: `at` in µs since 1970, by a clock that may be wrong.

    `paused`: it makes no calls. `backfill_from`, `backfill_to`: an interval to read again, Unix seconds.
    `backfill_id`: which request that is, 0 for the one that this decision itself makes.
    """

    paused: bool
    at: int
    by: str = ""
    backfill_from: int = 0
    backfill_to: int = 0
    backfill_id: int = 0

    @property
    def request(self) -> int:
        """Return which backfill is asked for: it is compared for equality only."""
        return self.backfill_id or self.at


def decided(known: AccountDecision | None, at: int, by: str, *, paused: bool) -> AccountDecision:
    """Return a pause or resumption after what is `known`, whose backfill stays asked for."""
    if known is None or known.backfill_to <= known.backfill_from:
        return AccountDecision(paused, at, by)
    return AccountDecision(paused, at, by, known.backfill_from, known.backfill_to, known.request)


def with_backfill(known: AccountDecision | None, at: int, by: str, start: int, end: int) -> AccountDecision:
    """Return the request of a backfill after what is `known`, whose pause stays."""
    if known is None:
        return AccountDecision(False, at, by, start, end, at)
    return AccountDecision(known.paused, at, by, start, end, max(at, known.request + 1))


_encode_decision = Encoder().encode
_decode_decision = Decoder(AccountDecision).decode


def encode_decision(account: str, decision: AccountDecision) -> tuple[bytes, bytes]:
    """Return the record of a decision."""
    return account.encode(), _encode_decision(decision)


class NewestCursors:
    """The cursors of a topic as they were at most `LOOK_SECONDS` ago, also after a process was frozen."""

    def __init__(self, topic: CursorTopic, read_on: Callable[[], Awaitable[object]]) -> None:
        self._topic = topic
        self._read_on = read_on
        self._reading = asyncio.Lock()
        self._read_at = time.monotonic()

    async def cursors(self, account: str) -> Mapping[str, JobCursor]:
        """Return the cursors of an account by job; BrokerAwayError."""
        async with self._reading:
            now = time.monotonic()
            if now - self._read_at > LOOK_SECONDS:
                await self._read_on()
                self._read_at = now
        return self._topic.cursors(account)


class CursorTopic(ControlTopic[str, JobCursor | AccountDecision]):
    """Cursors by `account/job` and decisions by `account`. A watermark that goes back is not taken.

    Of two decisions the one that stands later in the topic holds, whatever the clocks said that made them.
    """

    def __init__(self, topic: str, skip: Skip = ignore_skipped) -> None:
        super().__init__(topic, self._decoded, skip)
        self._places: dict[str, int] = {}

    def cursors(self, account: str) -> Mapping[str, JobCursor]:
        """Return the cursors of an account by job."""
        begin = account + SEPARATOR
        return {
            key.removeprefix(begin): entry
            for key, entry in self.entries.items()
            if key.startswith(begin) and isinstance(entry, JobCursor)
        }

    def decision(self, account: str) -> AccountDecision | None:
        """Return the newest decision about an account."""
        entry = self.entries.get(account)
        return entry if isinstance(entry, AccountDecision) else None

    def place(self, account: str) -> int:
        """Return where the newest decision about an account stands in the topic: a later one is greater."""
        return self._places.get(account, 0)

    def _decoded(
        self, key: bytes | None, value: bytes | None
    ) -> tuple[str, JobCursor | AccountDecision | None] | None:
        try:
            name = (key or b"").decode()
        except UnicodeDecodeError:
            raise UnreadableValueError("the key is not UTF-8") from None
        if not name:
            return None
        if value is None:
            return name, None
        if SEPARATOR not in name:
            decision = decode_with(_decode_decision, value)
            self._places[name] = self.position
            return name, decision
        try:
            return name, self._not_before(name, decode_cursor(value))
        except ValueError as error:
            raise UnreadableValueError(str(error)) from None

    def _not_before(self, name: str, cursor: JobCursor) -> JobCursor:
        """Return a cursor with the greater watermark: a worker that was frozen may write an old one.

        One that was corrected more often is newer, whatever its watermark.
        """
        known: Any = self.entries.get(name)
        if not isinstance(known, JobCursor) or known.watermark is None:
            return cursor
        is_old = cursor.corrections < known.corrections
        is_behind = cursor.watermark is None or cursor.watermark < known.watermark
        if is_old or (is_behind and cursor.corrections == known.corrections):
            return replace(cursor, watermark=known.watermark, corrections=known.corrections)
        return cursor
