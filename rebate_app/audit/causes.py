"""Which record of which partition a message says that it follows from.

Law: a message that the fold did not send is invented if its cause lies before the cut, or nowhere; if
its cause comes after the cut, this audit knows nothing of it. A target carries its cause as its version:
the offset in the log of its sender. A cursor follows from the one before it, or from its binding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from rebate_app.domain.messages import BonusTarget, Cursor, LineTarget, Message
from rebate_app.domain.suspense import MOVES_MAX
from rebate_app.wire import failure_headers as names
from rebate_app.wire.failure_headers import Place, parse_place, texts_of

from .logs import Record

Source = tuple[str, int]


class Cut(Struct, frozen=True):
    """Up to where a source partition was folded, and where it ends now (the first offset not there yet)."""

    watermark: int
    end: int


class Cause(Struct, frozen=True):
    """A place in a source partition."""

    source: Source
    offset: int


class Causes:
    """Finds the cause of each message of the user log."""

    def __init__(self, orders: str, user_log: str, partition_of: Callable[[str], int]) -> None:
        self._orders = orders
        self._user_log = user_log
        self._partition_of = partition_of
        self._cursors: dict[Cursor, int] = {}

    def meet_cursor(self, cursor: Cursor, offset: int) -> None:
        """Remember where a cursor stands: the next one of its binding follows from it."""
        self._cursors.setdefault(cursor, offset)

    def cause_of(self, message: Message) -> Cause | None:
        """Return the cause that the message names; None when it cannot have any."""
        if isinstance(message, LineTarget):
            if message.source:
                return self._in_user_log(message.source, message.version)
            return Cause((self._orders, self._partition_of(message.line)), message.version)
        if isinstance(message, BonusTarget):
            return self._in_user_log(message.chain[-1], message.version) if message.chain else None
        return self._cause_of_cursor(message)

    def _cause_of_cursor(self, cursor: Cursor) -> Cause | None:
        if cursor.position == MOVES_MAX:
            return self._in_user_log(cursor.to, cursor.binding)
        before = self._cursors.get(Cursor(cursor.to, cursor.binding, cursor.position - MOVES_MAX))
        return None if before is None else self._in_user_log(cursor.to, before)

    def _in_user_log(self, sender: str, offset: int) -> Cause:
        return Cause((self._user_log, self._partition_of(sender)), offset)


def cause_in_headers(record: Record, source: str, app: str) -> Cause | None:
    """Return the cause that a dead letter, or a copy of what waits, of that source names in its headers.

    None if it names none, or is another app's. What failed in a release follows from the release.
    """
    told = texts_of(record.headers)
    if told.get(names.APP, app) != app:
        return None
    try:
        if names.PARKED_FROM in told:
            place = parse_place(told[names.PARKED_FROM])
        elif names.RELEASE in told:
            place = parse_place(told[names.RELEASE])
        else:
            place = Place(told[names.TOPIC], int(told[names.PARTITION]), int(told[names.OFFSET]))
    except (KeyError, ValueError):
        return None
    return Cause((source, place.partition), place.offset) if place.topic == source else None


def is_invented(cause: Cause | None, cuts: Mapping[Source, Cut]) -> bool:
    """Whether a message that the fold did not send, with that cause, follows from nothing.

    A cause in a partition that could not be audited says nothing.
    """
    if cause is None:
        return True
    cut = cuts.get(cause.source)
    return cut is not None and not cut.watermark < cause.offset < cut.end
