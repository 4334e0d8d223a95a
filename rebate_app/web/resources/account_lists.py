"""`GET /v1/users/{user_id}/lines` and `…/ledger`, newest first (docs/spec/http.md#lists).

Lists are ordered by the number under which an item was first seen, and a cursor holds that number: a change
between two pages neither repeats nor omits an item. One record is read per item.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from rebate_app.domain.account.account import AccountLine, Head, chain_of, value_of
from rebate_app.domain.account.balance import line_buckets
from rebate_app.domain.account.ledger import Entry
from rebate_app.domain.facts import STATUS_RANK
from rebate_app.domain.order.value import LineValue
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.streams.state.store import Readable
from rebate_app.wire.moments import format_moment
from tables.accounts import ENTRY, HEAD, LINE, LINE_NAME

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..cursors import invalid_cursor, make_cursor, read_cursor
from ..request_params import (
    PAID_FROM,
    PAID_TO,
    ROLE,
    STATUS,
    choice_or_none,
    limit_of,
    moment_of,
    moment_or_none,
    platform_or_none,
    user_id_of,
)
from ..routing.forwarding import ACCOUNTS, records_or_response
from ..routing.ports import Local
from .formatting import as_of, compact_or_none, date_or_none, is_settled, marks
from .line_display import add_display
from .money_items import entry_money

#: Records read for one page; lines that left are skipped, so a page may be shorter.
READS_MAX = 1_000

BUYER, INVITER = "buyer", "inviter"


class LineFilter(Struct, frozen=True):
    """Which lines of a user are listed; None admits all. Moments in µs, `paid_to` is excluded."""

    status: str | None = None
    platform: str | None = None
    role: str | None = None
    paid_from: int | None = None
    paid_to: int | None = None

    def admits(self, platform: str, role: str, line_value: LineValue) -> bool:
        """Return whether a line is listed; one that nobody paid has no place between two moments."""
        if self.status not in (None, line_value.status) or self.platform not in (None, platform):
            return False
        if self.role not in (None, role):
            return False
        if self.paid_from is None and self.paid_to is None:
            return True
        paid_at = line_value.paid_at
        return (
            paid_at is not None
            and (self.paid_from is None or paid_at >= self.paid_from)
            and (self.paid_to is None or paid_at < self.paid_to)
        )


#: Returns the item of a number, None when there is nothing to show.
ItemOf = Callable[[int], dict[str, Any] | None]


async def read_lines(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/lines`: the lines that are the user's now."""
    user_id, at = user_id_of(request), moment_of(context, request)
    wanted = _filter_of(request)
    local = await _records(context, request, user_id, "lines")
    if isinstance(local, HttpResponse):
        return local
    store, day = local.store, day_of(at)
    head = HEAD.read(store, HEAD.key(user_id)) or Head()
    start = _start(request, f"lines {user_id}", head.line_count, local)
    page = _newest_first(
        request, f"lines {user_id}", start, lambda number: line_item(store, user_id, number, day, wanted)
    )
    await add_display(context, page["items"], request.request_id)
    return _answer(local, page | {"at": format_moment(at)})


async def read_ledger(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/ledger`: every signed change; a sum over them is the account."""
    user_id = user_id_of(request)
    moment_of(context, request)  # each entry has its own day; a malformed moment is refused all the same
    local = await _records(context, request, user_id, "ledger")
    if isinstance(local, HttpResponse):
        return local
    store = local.store
    head = HEAD.read(store, HEAD.key(user_id)) or Head()
    start = _start(request, f"ledger {user_id}", head.entry_count, local)
    page = _newest_first(
        request, f"ledger {user_id}", start, lambda number: entry_item(store, user_id, number)
    )
    return _answer(local, page)


async def list_page(
    context: RequestContext,
    request: HttpRequest,
    of_list: str,
    count_of: Callable[[Local, str], int],
    item_of: Callable[[Local, str, int], dict[str, Any] | None],
) -> HttpResponse:
    """Return a page of one user's numbered items, newest first; `count_of`: how many there are."""
    user_id = user_id_of(request)
    local = await _records(context, request, user_id, of_list)
    if isinstance(local, HttpResponse):
        return local
    name = f"{of_list} {user_id}"
    start = _start(request, name, count_of(local, user_id), local)
    page = _newest_first(request, name, start, lambda number: item_of(local, user_id, number))
    return _answer(local, page)


def _filter_of(request: HttpRequest) -> LineFilter:
    """Return which lines the request wants; ProblemError with the code of a parameter."""
    return LineFilter(
        choice_or_none(request, STATUS, STATUS_RANK),
        platform_or_none(request),
        choice_or_none(request, ROLE, (BUYER, INVITER)),
        moment_or_none(request, PAID_FROM),
        moment_or_none(request, PAID_TO),
    )


async def _records(
    context: RequestContext, request: HttpRequest, user_id: str, of_list: str
) -> Local | HttpResponse:
    """Return the user's records when this worker may answer from them, else the owner's response."""
    limit_of(request)
    read_cursor(f"{of_list} {user_id}", request.query.get("cursor"), 1)  # refused before it is forwarded
    return await records_or_response(context, request, ACCOUNTS, user_id)


def _start(request: HttpRequest, of_list: str, count: int, local: Local) -> int:
    """Return the number below which the page begins; ProblemError `invalid-cursor` for no place of the list.

    Stale records may lack the place: then the page begins with the newest that they have.
    """
    cursor = read_cursor(of_list, request.query.get("cursor"), 1)
    if cursor is None:
        return count
    if cursor[0] >= count and not local.stale:
        raise invalid_cursor()
    return min(cursor[0], count)


def _newest_first(request: HttpRequest, of_list: str, number: int, item_of: ItemOf) -> dict[str, Any]:
    limit, reads = limit_of(request), 0
    items: list[dict[str, Any]] = []
    while number > 0 and len(items) < limit and reads < READS_MAX:
        number -= 1
        reads += 1
        item = item_of(number)
        if item is not None:
            items.append(item)
    return {"items": items, "next_cursor": make_cursor(of_list, number) if number else None}


def _answer(local: Local, page: dict[str, Any]) -> HttpResponse:
    page["as_of"] = as_of(local)
    return json_response(page | marks(local))


def line_item(
    store: Readable, user_id: str, number: int, day: int, wanted: LineFilter
) -> dict[str, Any] | None:
    """Return the user's line of that number on that day, None when it is not wanted or no longer theirs."""
    name = LINE_NAME.read(store, LINE_NAME.key(user_id, number))
    record: AccountLine | None = None if name is None else LINE.read(store, LINE.key(user_id, name))
    effective = None if record is None else record.effective()
    if record is None or effective is None:
        return None
    sender, contribution = effective
    line_value = value_of(contribution)
    platform, _, order_line_id = record.line.partition(":")
    chain = chain_of(sender)
    role = INVITER if chain else BUYER
    if not wanted.admits(platform, role, line_value):
        return None
    settled = is_settled(line_value, day)
    buckets = line_buckets(record.posted, day)
    return {
        "platform": platform,
        "order_line_id": order_line_id,
        "role": role,
        "depth": len(chain),
        "status": line_value.status,
        "paid_at": None if line_value.paid_at is None else format_moment(line_value.paid_at),
        "settled": settled,
        **buckets,
        "release_on": date_or_none(line_value.release_on) if settled else None,
        "updated_at": format_moment(record.updated_at),
    }


def entry_item(store: Readable, user_id: str, number: int) -> dict[str, Any]:
    """Return the user's ledger entry of that number."""
    entry: Entry | None = ENTRY.read(store, ENTRY.key(user_id, number))
    assert entry is not None  # noqa: S101 - the head counts existing entries only
    platform, _, order_line_id = entry.line.partition(":")
    return {
        "entry_id": f"{user_id}:{number}",
        "at": format_moment(entry.at),
        "modified_at": compact_or_none(entry.modified_at),
        "effective_on": date_or_none(entry.effective_on),
        "platform": platform,
        "order_line_id": order_line_id,
        "role": entry.role,
        "kind": entry.kind,
        "estimated": entry.estimated,
        "settled": entry.settled,
        "held": entry.held,
        "reason": entry.cause,
        "rule_version": entry.rule or None,
        **entry_money(entry),
    }
