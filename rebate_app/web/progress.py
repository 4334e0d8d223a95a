"""How far the logs were processed: the questions behind `?wait_ms=`, and their answers from local records.

It is separate from the waiting so that one question covers many lines of a partition: a batch of 500
facts costs a few questions, not 500.
"""

from __future__ import annotations

from msgspec import Struct

from rebate_app.domain.attribution import is_attribution_id
from rebate_app.domain.suspense import IdHead
from rebate_app.lane.store import Readable
from tables.accounts import ID_HEAD, ID_LINE, ID_LINE_NAME, LINE
from tables.order_lines import read_line
from tables.parking import read_parked

from .api import Desk
from .owners import ACCOUNTS, LINES, PartitionAsked, Question
from .ports import Local

MOVED_MAX = 250  # lines of an attribution id per question


class LinesAsked(PartitionAsked, frozen=True):
    """Ask whether these facts, (line, offset), were processed, and what was sent of their lines."""

    facts: list[tuple[str, int]]


class LinesTold(Struct, frozen=True):
    """(processed, log that the line was sent to, offset of the fact after which) for each."""

    lines: list[tuple[bool, str | None, int]]


class Held(Struct, frozen=True):
    """A line that an account should hold, as sent by `source` ("" the line itself) in `line_version`."""

    account: str
    line: str
    source: str
    line_version: int


class HeldAsked(PartitionAsked, frozen=True):
    """Ask whether these accounts hold these lines."""

    held: list[Held]


class HeldTold(Struct, frozen=True):
    """(held, the user it was forwarded to, if any) for each."""

    held: list[tuple[bool, str | None]]


class FactAsked(PartitionAsked, frozen=True):
    """Ask whether the user log of the partition was processed up to this offset; `key`: whose fact it is."""

    offset: int
    key: str = ""


class FactTold(Struct, frozen=True):
    """Whether it was."""

    processed: bool


class MovedAsked(PartitionAsked, frozen=True):
    """Ask which lines of the attribution id, from this number on, are forwarded to the user."""

    attribution_id: str
    user_id: str | None
    offset: int
    start: int


class MovedTold(Struct, frozen=True):
    """`done`: the binding was processed and no line waits to be moved; `next` None at the end."""

    done: bool
    held: list[Held]
    next: int | None


def tell_lines(desk: Desk, local: Local, asked: LinesAsked) -> LinesTold:
    """Answer from the lines' own records."""
    del desk
    told: list[tuple[bool, str | None, int]] = []
    for line, offset in asked.facts:
        if read_parked(local.store, line) is not None:
            told.append((False, None, -1))  # it waits with its line, and so does whoever asks
            continue
        state = read_line(local.store, line) if local.offset >= offset else None
        if state is None:
            told.append((local.offset >= offset, None, -1))
        else:
            told.append((True, state.sent_to, state.sent_offset))
    return LinesTold(told)


def tell_held(desk: Desk, local: Local, asked: HeldAsked) -> HeldTold:
    """Answer from the accounts' own records."""
    del desk
    return HeldTold([_held(local.store, item) for item in asked.held])


def _held(store: Readable, item: Held) -> tuple[bool, str | None]:
    if is_attribution_id(item.account):
        waiting = ID_LINE.read(store, ID_LINE.key(item.account, item.line))
        if waiting is None or waiting.line_version < item.line_version:
            return False, None
        return True, waiting.forwarded_to
    record = LINE.read(store, LINE.key(item.account, item.line))
    said = None if record is None else record.senders.get(">" + item.source)
    return said is not None and said.line_version >= item.line_version, None


def tell_fact(desk: Desk, local: Local, asked: FactAsked) -> FactTold:
    """Answer from the partition's watermark, and whether the fact waits with a parked key."""
    del desk
    waits = asked.key and read_parked(local.store, asked.key) is not None
    return FactTold(local.offset >= asked.offset and not waits)


def tell_moved(desk: Desk, local: Local, asked: MovedAsked) -> MovedTold:
    """Answer from the id's own records."""
    del desk
    store, own_id = local.store, asked.attribution_id
    head = ID_HEAD.read(store, ID_HEAD.key(own_id)) or IdHead()
    if local.offset < asked.offset or head.moving or read_parked(store, own_id) is not None:
        return MovedTold(done=False, held=[], next=None)
    end = min(head.line_count, asked.start + MOVED_MAX)
    held: list[Held] = []
    for seq in range(asked.start, end):
        name = ID_LINE_NAME.read(store, ID_LINE_NAME.key(own_id, seq))
        record = None if name is None else ID_LINE.read(store, ID_LINE.key(own_id, name))
        if record is not None and asked.user_id is not None and record.forwarded_to == asked.user_id:
            held.append(Held(asked.user_id, record.line, own_id, record.line_version))
    return MovedTold(done=True, held=held, next=end if end < head.line_count else None)


LINES_SENT = Question("lines-sent", LINES, LinesAsked, LinesTold, tell_lines)
LINES_HELD = Question("lines-held", ACCOUNTS, HeldAsked, HeldTold, tell_held)
FACT_PROCESSED = Question("fact-processed", ACCOUNTS, FactAsked, FactTold, tell_fact)
LINES_MOVED = Question("lines-moved", ACCOUNTS, MovedAsked, MovedTold, tell_moved)
