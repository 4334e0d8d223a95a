"""`GET /v1/order-lines?order_id=`: lines by their own id or by the buyer's order number, over all partitions.

Every partition is asked, since a line lies where its own id puts it. The owner of a line that an attribution
id forwards is asked of that id's partition. See docs/spec/api-security.md#added-reads.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from rebate_app.domain.account.attribution_account import net_at, net_steps
from rebate_app.domain.order.attribution import is_attribution_id, owner_of
from rebate_app.domain.order.line import LineState
from rebate_app.domain.order.value import evaluate_line
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.networks import line_is_order
from rebate_app.streams.state.build import read_progress
from rebate_app.streams.state.store import Listable
from rebate_app.wire.facts.identifiers import match_line
from rebate_app.wire.moments import format_moment
from tables import order_lines, order_numbers
from tables.order_lines import read_line
from tables.order_numbers import ORDER_NUMBERS_NAME, PLATFORMS

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError, building, not_ready
from ..request_params import ORDER_ID, platform_or_none
from ..routing.forwarding import LINES
from ..routing.peer_rpc import PartitionRequest, PeerRpc, call_all
from ..routing.ports import Local
from .formatting import is_settled
from .shares import FORWARDED, SUSPENSE, ForwardedRequest

LINES_MAX = 200
TIMEOUT_SECONDS = 5.0


class SearchRequest(PartitionRequest, frozen=True):
    """Lines of the partition with that order number, of one platform ("" for all), at `at` (µs)."""

    number: str
    platform: str
    at: int


class FoundLine(Struct, frozen=True):
    """A line: what is shown of it, and the log that it was sent to, which decides its owner."""

    members: dict[str, Any]
    sent_to: str
    by: str


class SearchResponse(Struct, frozen=True):
    """The lines, one more than LINES_MAX at most; `visited`: the index is not built yet."""

    lines: list[FoundLine]
    visited: int | None = None


def answer_search(context: RequestContext, local: Local, request: SearchRequest) -> SearchResponse:
    """Answer from the partition's index and lines."""
    progress = read_progress(ORDER_NUMBERS_NAME, order_lines.is_fresh, local.store)
    if not progress.done:
        return SearchResponse([], progress.visited)
    found: list[FoundLine] = []
    for line in _lines(local.store, request):
        state = read_line(local.store, line)
        if state is not None and state.sent_to is not None:
            found.append(_found(context, line, state, state.sent_to, request.at))
    return SearchResponse(found[: LINES_MAX + 1])


def _lines(store: Listable, request: SearchRequest) -> list[str]:
    """Return the lines that the number may name: indexed ones, and networks' lines of that id."""
    number, platform = request.number, request.platform
    networks = PLATFORMS if not platform else (platform,)
    own = {line for each in networks if match_line(line := f"{each}:{number}")}
    return sorted(own.union(order_numbers.lines_of_number(store, number, platform, LINES_MAX + 1)))


def _found(context: RequestContext, line: str, state: LineState, sent_to: str, at: int) -> FoundLine:
    platform, _, order_line_id = line.partition(":")
    line_value, day = evaluate_line(state, platform), day_of(at)
    parent, order_id = order_numbers.display_numbers(state.display)
    members: dict[str, Any] = {
        "platform": platform,
        "order_line_id": order_line_id,
        "parent_order_id": parent or (order_line_id if line_is_order(platform) else None),
        "order_id": order_id,
        "status": line_value.status,
        "settled": is_settled(line_value, day),
        "paid_at": None if line_value.paid_at is None else format_moment(line_value.paid_at),
        "net": net_at(net_steps(line_value), day),
        "updated_at": format_moment(state.timeline[-1].at) if state.timeline else None,
    }
    return FoundLine(members, sent_to, owner_of(state, platform, context.user_id_fields).by)


SEARCH = PeerRpc("order-lines", LINES, SearchRequest, SearchResponse, answer_search)


async def search_order_lines(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/order-lines`; partitions whose owner cannot be reached are named in `unavailable`."""
    number = request.query.get(ORDER_ID.name, "")
    if order_numbers.match_order_number(number) is None:
        raise ProblemError(ORDER_ID.invalid, "order_id is 1-64 characters without spaces and controls")
    platform, at = platform_or_none(request) or "", context.clock()
    partitions = range(context.placement.partitions)
    requests = [SearchRequest(each, number, platform, at) for each in partitions]
    responses = await call_all(SEARCH, context, requests, request.request_id, TIMEOUT_SECONDS)
    found: list[FoundLine] = []
    for partition, response in zip(partitions, responses, strict=True):
        if response is not None and response.visited is not None:
            raise building(ORDER_NUMBERS_NAME, partition, response.visited)
        found += () if response is None else response.lines
    away = [each for each, response in zip(partitions, responses, strict=True) if response is None]
    if len(away) == len(partitions):
        raise not_ready("no partition's owner can be reached")
    found.sort(key=lambda line: (line.members["platform"], line.members["order_line_id"]))
    items = await _with_owners(context, found[:LINES_MAX], request.request_id)
    more = len(found) > LINES_MAX
    return json_response({"items": items, "more": more, "unavailable": away, "at": format_moment(at)})


async def _with_owners(
    context: RequestContext, found: list[FoundLine], request_id: str
) -> list[dict[str, Any]]:
    """Return the items, each with its owner; one whose owner cannot be asked says so."""
    forwarded = [line for line in found if is_attribution_id(line.sent_to)]
    requests = [
        ForwardedRequest(context.placement.partition_of(line.sent_to), line.sent_to, _name(line))
        for line in forwarded
    ]
    responses = await call_all(FORWARDED, context, requests, request_id, TIMEOUT_SECONDS)
    owners = dict(zip(map(_name, forwarded), responses, strict=True))
    items = []
    for line in found:
        owner: dict[str, Any] = {"user_id": line.sent_to, "by": line.by}
        if is_attribution_id(line.sent_to):
            response = owners[_name(line)]
            if response is None:
                owner = {"user_id": None, "by": None, "unavailable": True}
            else:
                owner = {"user_id": response.user_id, "by": response.by or SUSPENSE}
            owner["attribution_id"] = line.sent_to
        items.append(line.members | {"owner": owner})
    return items


def _name(line: FoundLine) -> str:
    return f"{line.members['platform']}:{line.members['order_line_id']}"
