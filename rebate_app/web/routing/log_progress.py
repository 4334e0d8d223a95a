"""Requests between workers about how far the logs are processed, which `?wait_ms=` needs.

One request covers many lines of a partition, so a batch of 500 facts costs a few requests.
"""

from __future__ import annotations

from msgspec import Struct, field

from rebate_app.domain.account.attribution_account import IdHead
from rebate_app.domain.order.attribution import is_attribution_id
from rebate_app.streams.failures.record_kinds import read_parked
from rebate_app.streams.state.store import Readable
from tables.accounts import ID_HEAD, ID_LINE, ID_LINE_NAME, LINE, REPRICINGS
from tables.order_lines import read_line

from ..context import RequestContext
from .forwarding import ACCOUNTS, LINES
from .peer_rpc import PartitionRequest, PeerRpc
from .ports import Local

MOVED_MAX = 250  # lines of an attribution id per response


class LinesRequest(PartitionRequest, frozen=True):
    """Whether these facts, (line, offset), are processed, and where their lines were sent."""

    facts: list[tuple[str, int]]


class LinesResponse(Struct, frozen=True):
    """(processed, log that the line was sent to, offset of the fact after which) for each."""

    lines: list[tuple[bool, str | None, int]]


class PostedLine(Struct, frozen=True):
    """A line that an account should have posted: `line_version` from `source` ("" the line itself)."""

    account: str
    line: str
    source: str
    line_version: int


class PostedRequest(PartitionRequest, frozen=True):
    """Whether these accounts have posted these lines."""

    lines: list[PostedLine] = field(name="held")


class PostedResponse(Struct, frozen=True):
    """(posted, the user to whom an attribution id forwarded the line, if any) for each."""

    lines: list[tuple[bool, str | None]] = field(name="held")


class FactRequest(PartitionRequest, frozen=True):
    """Whether the user log of the partition is processed up to this offset; `key`: whose fact it is."""

    offset: int
    key: str = ""


class FactResponse(Struct, frozen=True):
    """Whether it is."""

    processed: bool


class MovedRequest(PartitionRequest, frozen=True):
    """Which lines of the attribution id, from number `start` on, are forwarded to the user."""

    attribution_id: str
    user_id: str | None
    offset: int
    start: int


class MovedResponse(Struct, frozen=True):
    """`done`: the binding is processed and no line waits to be moved; `next_start` is None at the end."""

    done: bool
    lines: list[PostedLine] = field(name="held")
    next_start: int | None = field(name="next")


def answer_lines(context: RequestContext, local: Local, request: LinesRequest) -> LinesResponse:
    """Answer from the lines' own records."""
    del context
    lines: list[tuple[bool, str | None, int]] = []
    for line, offset in request.facts:
        if read_parked(local.store, line) is not None:
            lines.append((False, None, -1))  # the fact waits with its line
            continue
        state = read_line(local.store, line) if local.offset >= offset else None
        if state is None:
            lines.append((local.offset >= offset, None, -1))
        else:
            lines.append((True, state.sent_to, state.sent_offset))
    return LinesResponse(lines)


def answer_posted(context: RequestContext, local: Local, request: PostedRequest) -> PostedResponse:
    """Answer from the accounts' own records."""
    del context
    return PostedResponse([_is_posted(local.store, line) for line in request.lines])


def _is_posted(store: Readable, expected: PostedLine) -> tuple[bool, str | None]:
    if is_attribution_id(expected.account):
        unbound = ID_LINE.read(store, ID_LINE.key(expected.account, expected.line))
        if unbound is None or unbound.line_version < expected.line_version:
            return False, None
        return True, unbound.forwarded_to
    record = LINE.read(store, LINE.key(expected.account, expected.line))
    contribution = None if record is None else record.senders.get(">" + expected.source)
    return contribution is not None and contribution.line_version >= expected.line_version, None


def answer_fact(context: RequestContext, local: Local, request: FactRequest) -> FactResponse:
    """Answer from the partition's watermark, and whether the fact waits with a parked key."""
    del context
    parked = request.key and read_parked(local.store, request.key) is not None
    return FactResponse(local.offset >= request.offset and not parked)


def answer_repriced(context: RequestContext, local: Local, request: FactRequest) -> FactResponse:
    """Answer whether a repricing is processed and has no lines left, from the user's own records."""
    if not answer_fact(context, local, request).processed:
        return FactResponse(processed=False)
    repricings = REPRICINGS.read(local.store, REPRICINGS.key(request.key))
    under_way = [] if repricings is None else repricings.under_way
    return FactResponse(all(repricing.offset != request.offset for repricing in under_way))


def answer_moved(context: RequestContext, local: Local, request: MovedRequest) -> MovedResponse:
    """Answer from the id's own records."""
    del context
    store, own_id = local.store, request.attribution_id
    head = ID_HEAD.read(store, ID_HEAD.key(own_id)) or IdHead()
    if local.offset < request.offset or head.moving or read_parked(store, own_id) is not None:
        return MovedResponse(done=False, lines=[], next_start=None)
    end = min(head.line_count, request.start + MOVED_MAX)
    lines: list[PostedLine] = []
    for number in range(request.start, end):
        name = ID_LINE_NAME.read(store, ID_LINE_NAME.key(own_id, number))
        record = None if name is None else ID_LINE.read(store, ID_LINE.key(own_id, name))
        if record is not None and request.user_id is not None and record.forwarded_to == request.user_id:
            lines.append(PostedLine(request.user_id, record.line, own_id, record.line_version))
    return MovedResponse(done=True, lines=lines, next_start=end if end < head.line_count else None)


LINES_SENT = PeerRpc("lines-sent", LINES, LinesRequest, LinesResponse, answer_lines)
LINES_POSTED = PeerRpc("lines-held", ACCOUNTS, PostedRequest, PostedResponse, answer_posted)
FACT_PROCESSED = PeerRpc("fact-processed", ACCOUNTS, FactRequest, FactResponse, answer_fact)
LINES_REPRICED = PeerRpc("lines-repriced", ACCOUNTS, FactRequest, FactResponse, answer_repriced)
LINES_MOVED = PeerRpc("lines-moved", ACCOUNTS, MovedRequest, MovedResponse, answer_moved)
