"""Lists over all partitions: every user, and every attribution id whose lines wait in suspense.

They are ordered by partition and by the number under which the partition first saw an item; a cursor holds
both, so new items never shift what follows (docs/spec/http.md#lists). One page may need every worker.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct, field

from rebate_app.domain.account.attribution_account import net_at
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.wire.moments import format_moment
from tables.accounts import COUNTERS, COUNTERS_KEY, ID_HEAD, ID_NAME, USER_NAME, Counters

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..cursors import invalid_cursor, make_cursor, read_cursor
from ..problems import ProblemError, not_ready
from ..request_params import LIMIT_MAX, limit_of, moment_of
from ..routing.forwarding import ACCOUNTS
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import Local
from .account_lists import READS_MAX


class PageRequest(PartitionRequest, frozen=True):
    """The items of the partition from number `start` on, at most `limit`."""

    start: int
    limit: int
    day: int = 0


class UsersResponse(Struct, frozen=True):
    """Users, and the number to continue at, None at the end; `beyond`: no cursor has that `start`."""

    items: list[str]
    next_start: int | None = field(name="next")
    beyond: bool = False


class UnboundResponse(Struct, frozen=True):
    """(attribution id, unclaimed lines, their net in fen), and the number to continue at."""

    items: list[tuple[str, int, int]]
    next_start: int | None = field(name="next")
    beyond: bool = False


def answer_users(context: RequestContext, local: Local, request: PageRequest) -> UsersResponse:
    """Answer from the partition's own numbers."""
    del context
    counters = COUNTERS.read(local.store, COUNTERS_KEY) or Counters()
    end = min(counters.users, request.start + min(request.limit, LIMIT_MAX))
    names = (USER_NAME.read(local.store, USER_NAME.key(number)) for number in range(request.start, end))
    items = [name for name in names if name is not None]
    beyond = request.start > 0 and request.start >= counters.users
    return UsersResponse(items, end if end < counters.users else None, beyond)


def answer_unbound(context: RequestContext, local: Local, request: PageRequest) -> UnboundResponse:
    """Answer from the partition's own numbers; bound ids and claimed lines are left out."""
    del context
    store = local.store
    counters = COUNTERS.read(store, COUNTERS_KEY) or Counters()
    items: list[tuple[str, int, int]] = []
    number, last = request.start, min(counters.ids, request.start + READS_MAX)
    while number < last and len(items) < min(request.limit, LIMIT_MAX):
        name = ID_NAME.read(store, ID_NAME.key(number))
        head = None if name is None else ID_HEAD.read(store, ID_HEAD.key(name))
        if name is not None and head is not None and head.bound is None and head.lines > head.claimed:
            net = net_at(head.net, request.day) - net_at(head.claimed_net, request.day)
            items.append((name, head.lines - head.claimed, net))
        number += 1
    beyond = request.start > 0 and request.start >= counters.ids
    return UnboundResponse(items, number if number < counters.ids else None, beyond)


USERS = PeerRpc("users", ACCOUNTS, PageRequest, UsersResponse, answer_users)
UNBOUND = PeerRpc("unbound", ACCOUNTS, PageRequest, UnboundResponse, answer_unbound)

Response = TypeVar("Response", UsersResponse, UnboundResponse)


async def read_users(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users`."""
    items, cursor = await _merged(context, request, USERS, "users", 0)
    return json_response({"items": [{"user_id": user_id} for user_id in items], "next_cursor": cursor})


async def read_unbound(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/attributions?unbound=true`."""
    if request.query.get("unbound") != "true":
        raise ProblemError("invalid-unbound", "say unbound=true: the ids whose lines belong to nobody")
    at = moment_of(context, request)
    items, cursor = await _merged(context, request, UNBOUND, "unbound", day_of(at))
    listed = [{"attribution_id": name, "lines": lines, "net": net} for name, lines, net in items]
    return json_response({"items": listed, "next_cursor": cursor, "at": format_moment(at)})


async def _merged(
    context: RequestContext, request: HttpRequest, rpc: PeerRpc[PageRequest, Response], of_list: str, day: int
) -> tuple[list[Any], str | None]:
    """Return one page over all partitions and its cursor; ProblemError `not-ready` when one is away."""
    limit = limit_of(request)
    partition, start = read_cursor(of_list, request.query.get("cursor"), 2) or (0, 0)
    if partition >= context.placement.partitions:
        raise invalid_cursor()
    items: list[Any] = []
    while partition < context.placement.partitions and len(items) < limit:
        page_request = PageRequest(partition, start, limit - len(items), day)
        try:
            page = await rpc.call(context, page_request, request.request_id)
        except UnreachableError as error:
            raise not_ready(f"partition {partition}: {error}") from error
        if page.beyond:
            raise invalid_cursor()
        items += page.items
        partition, start = (partition + 1, 0) if page.next_start is None else (partition, page.next_start)
        if not page.items and page.next_start is not None:
            break  # an empty page with a cursor: the client decides whether to go on
    more = partition < context.placement.partitions
    return items, make_cursor(of_list, partition, start) if more else None
