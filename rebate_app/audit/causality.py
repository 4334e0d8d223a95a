"""Which record of which partition caused a message, according to the message itself.

A message that the fold did not send is invented if its cause lies at or before the cut, or does not exist;
if its cause lies after the cut, the system has gone on. A target's version is the offset of its cause in
its sender's partition. A cursor follows from the cursor before it, or from the binding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from rebate_app.domain.account.attribution_account import MOVES_MAX
from rebate_app.domain.messages import BonusTarget, Cursor, LineTarget, Message
from rebate_app.wire import failure_headers as names
from rebate_app.wire.failure_headers import parse_place, place_in, texts_of

from .logs import Record

Source = tuple[str, int]  # topic and partition


class Cut(Struct, frozen=True):
    """The last folded offset of a source partition, and the partition's end (exclusive)."""

    watermark: int
    end: int


class RecordCause(Struct, frozen=True):
    """The place of a record in a source partition."""

    source: Source
    offset: int


class RecordCauses:
    """Finds the cause of each message of the user log."""

    def __init__(self, orders: str, user_log: str, partition_of: Callable[[str], int]) -> None:
        self._orders = orders
        self._user_log = user_log
        self._partition_of = partition_of
        self._cursors: dict[Cursor, int] = {}

    def add_cursor(self, cursor: Cursor, offset: int) -> None:
        """Remember the offset of a cursor: the next one of its binding follows from it."""
        self._cursors.setdefault(cursor, offset)

    def cause_of(self, message: Message) -> RecordCause | None:
        """Return the cause that the message names; None when it cannot have any."""
        if isinstance(message, LineTarget):
            if message.source:
                return self._in_user_log(message.source, message.version)
            return RecordCause((self._orders, self._partition_of(message.line)), message.version)
        if isinstance(message, BonusTarget):
            return self._in_user_log(message.chain[-1], message.version) if message.chain else None
        return self._cause_of_cursor(message)

    def _cause_of_cursor(self, cursor: Cursor) -> RecordCause | None:
        if cursor.position == MOVES_MAX:
            return self._in_user_log(cursor.to, cursor.binding)
        before = self._cursors.get(Cursor(cursor.to, cursor.binding, cursor.position - MOVES_MAX))
        return None if before is None else self._in_user_log(cursor.to, before)

    def _in_user_log(self, sender: str, offset: int) -> RecordCause:
        return RecordCause((self._user_log, self._partition_of(sender)), offset)


def writer_in_headers(record: Record) -> str | None:
    """Return the app that the headers of a dead letter or parked record name, None if they name none."""
    return texts_of(record.headers).get(names.APP)


def cause_in_headers(record: Record, source: str) -> RecordCause | None:
    """Return the cause that the headers of a dead letter or parked record of that source name.

    None if they name none. The cause of a failure during a release is the release.
    """
    headers = texts_of(record.headers)
    try:
        if names.PARKED_FROM in headers:
            place = parse_place(headers[names.PARKED_FROM])
        elif names.RELEASE in headers:
            place = parse_place(headers[names.RELEASE])
        else:
            place = place_in(headers)
    except ValueError:
        return None
    return RecordCause((source, place.partition), place.offset) if place.topic == source else None


def is_invented(cause: RecordCause | None, cuts: Mapping[Source, Cut]) -> bool:
    """Return whether a message with that cause, which the fold did not send, follows from nothing.

    False if the cause lies in a partition that could not be audited.
    """
    if cause is None:
        return True
    cut = cuts.get(cause.source)
    return cut is not None and not cut.watermark < cause.offset < cut.end
