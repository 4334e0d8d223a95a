"""Lists over all users: withdrawals and adjustments, oldest first, and the openings of a batch.

Every partition has them in order of their moments, by state; a page merges the partitions, and its cursor is
the moment, user and id of its last item. ProblemError `not-ready` while an owner cannot be reached: a list
that leaves out a partition would hide money.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Final

from msgspec import Struct

from rebate_app.domain.money_out.facts import OWN_ID_PATTERN
from rebate_app.domain.money_out.money_records import ADJUSTMENT_STATES
from rebate_app.domain.money_out.states import STATES
from rebate_app.wire.facts.money import match_own_id
from rebate_app.wire.moments import MILLISECOND_US, SECOND_US
from tables.money_out import (
    ADJUSTMENT,
    ADJUSTMENT_BY_STATE,
    OPENING,
    OPENING_BY_BATCH,
    WITHDRAWAL,
    WITHDRAWAL_BY_STATE,
)

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..cursors import make_key_cursor, read_key_cursor
from ..problems import ProblemError, not_ready
from ..request_params import LIMIT_MAX, Parameter, choice_or_none, limit_of
from ..routing.forwarding import ACCOUNTS
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import Local
from .account_lists import READS_MAX
from .money_items import adjustment_item, opening_item, withdrawal_item

SECONDS_MAX: Final = 9_999_999_999
_OWN_ID: Final = {"type": "string", "pattern": f"^{OWN_ID_PATTERN}$"}
STATE: Final = Parameter(
    "state",
    "invalid-state",
    about="only those in this state",
    schema={"type": "string", "enum": list(STATES)},
    example="review",
)
ADJUSTMENT_STATE: Final = Parameter(
    "state",
    "invalid-state",
    about="only those in this state",
    schema={"type": "string", "enum": list(ADJUSTMENT_STATES)},
    example="proposed",
)
CHANNEL: Final = Parameter(
    "channel", "invalid-channel", about="only those of this channel", schema=_OWN_ID, example="bank"
)
OLDER_THAN: Final = Parameter(
    "older_than",
    "invalid-older_than",
    about="only those that were requested at least so many seconds ago",
    schema={"type": "integer", "minimum": 0, "maximum": SECONDS_MAX},
    example=86_400,
)
BATCH: Final = Parameter(
    "batch", "invalid-batch", about="the batch", schema=_OWN_ID, example="2026-03", required=True
)
WITHDRAWALS_LIST, ADJUSTMENTS_LIST, OPENINGS_LIST = "withdrawals", "adjustments", "openings"
_NO_KEY: Final = ""


class MoneyListRequest(PartitionRequest, frozen=True):
    """Items of one partition: `of_list` in those states, after a place of the list, before a moment in ms."""

    of_list: str
    states: list[str]
    after: str
    limit: int
    channel: str = ""
    before_ms: int = -1


class MoneyListResponse(Struct, frozen=True):
    """(place in the list, item), in order; `read_to`: the place up to which was read, if there is more."""

    items: list[tuple[str, dict[str, Any]]]
    read_to: str = ""


def answer_list(context: RequestContext, local: Local, request: MoneyListRequest) -> MoneyListResponse:
    """Answer from the partition's own index."""
    limit = min(request.limit, LIMIT_MAX)
    places = heapq.merge(*(_places(local, request, state) for state in request.states))
    items: list[tuple[str, dict[str, Any]]] = []
    last = ""
    for reads, place in enumerate(places, start=1):
        if 0 <= request.before_ms <= int(place.partition(" ")[0] or 0):
            return MoneyListResponse(items)
        item = _item(context, local, request, place)
        if item is not None:
            items.append((place, item))
        last = place
        if len(items) == limit or reads == READS_MAX:
            return MoneyListResponse(items, last)
    return MoneyListResponse(items)


def _places(local: Local, request: MoneyListRequest, state: str) -> list[str]:
    kinds = {WITHDRAWALS_LIST: WITHDRAWAL_BY_STATE, ADJUSTMENTS_LIST: ADJUSTMENT_BY_STATE}
    prefix = kinds.get(request.of_list, OPENING_BY_BATCH).key(state, "")
    after = prefix + request.after.encode() if request.after else b""
    keys = local.store.keys_after(prefix, after, READS_MAX)
    return [key[len(prefix) :].decode() for key in keys]


def _item(
    context: RequestContext, local: Local, request: MoneyListRequest, place: str
) -> dict[str, Any] | None:
    user_id, _, own_id = place.rpartition(" ")
    user_id = user_id.rpartition(" ")[2]
    store = local.store
    if request.of_list == WITHDRAWALS_LIST:
        withdrawal = WITHDRAWAL.read(store, WITHDRAWAL.key(user_id, own_id))
        if withdrawal is None or request.channel not in ("", withdrawal.channel):
            return None
        payee = context.payees.find(local.partition, user_id, withdrawal.payee_id)
        return withdrawal_item(user_id, withdrawal, payee)
    if request.of_list == ADJUSTMENTS_LIST:
        adjustment = ADJUSTMENT.read(store, ADJUSTMENT.key(user_id, own_id))
        return None if adjustment is None else adjustment_item(user_id, adjustment)
    opening = OPENING.read(store, OPENING.key(user_id, own_id))
    return None if opening is None else opening_item(user_id, opening)


MONEY_LIST = PeerRpc("money-list", ACCOUNTS, MoneyListRequest, MoneyListResponse, answer_list)


async def read_all_withdrawals(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/withdrawals?state=&channel=&older_than=`: over all users, oldest first."""
    state = choice_or_none(request, STATE, STATES)
    channel = request.query.get(CHANNEL.name)
    if channel is not None and match_own_id(channel) is None:
        raise ProblemError(CHANNEL.invalid, "a channel is 1-64 of A-Za-z0-9._-")
    return await _answer(
        context,
        request,
        WITHDRAWALS_LIST,
        STATES if state is None else (state,),
        channel=channel or "",
        before_ms=_before_ms(context, request),
    )


async def read_all_adjustments(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/adjustments?state=`: over all users, oldest first."""
    state = choice_or_none(request, ADJUSTMENT_STATE, ADJUSTMENT_STATES)
    return await _answer(context, request, ADJUSTMENTS_LIST, ADJUSTMENT_STATES if state is None else (state,))


async def read_openings(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/openings?batch=`: the openings of a batch, by user."""
    batch = request.query.get(BATCH.name, "")
    if match_own_id(batch) is None:
        raise ProblemError(BATCH.invalid, "name a batch, 1-64 of A-Za-z0-9._-")
    return await _answer(context, request, OPENINGS_LIST, (batch,))


def _before_ms(context: RequestContext, request: HttpRequest) -> int:
    """Return the moment before which a request was made, -1 without the filter."""
    text = request.query.get(OLDER_THAN.name)
    if text is None:
        return -1
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(SECONDS_MAX))):
        raise ProblemError(OLDER_THAN.invalid, "older_than is a number of seconds")
    return max(context.clock() - int(text) * SECOND_US, 0) // MILLISECOND_US


async def _answer(
    context: RequestContext,
    request: HttpRequest,
    of_list: str,
    states: Iterable[str],
    *,
    channel: str = "",
    before_ms: int = -1,
) -> HttpResponse:
    limit = limit_of(request)
    cursor = read_key_cursor(of_list, request.query.get("cursor"))
    after = _NO_KEY if cursor is None else cursor[1]
    requests = [
        MoneyListRequest(number, of_list, list(states), after, limit, channel, before_ms)
        for number in range(context.placement.partitions)
    ]

    async def call(wanted: MoneyListRequest) -> MoneyListResponse:
        return await MONEY_LIST.call(context, wanted, request.request_id)

    try:
        pages = await asyncio.gather(*map(call, requests))
    except UnreachableError as error:
        raise not_ready(str(error)) from error
    # Beyond the place that a partition has read to, another one's items would come too early.
    bound = min((page.read_to for page in pages if page.read_to), default="")
    found = [each for page in pages for each in page.items if not bound or each[0] <= bound]
    found.sort(key=itemgetter(0))
    shown = found[:limit]
    last = shown[-1][0] if len(found) > limit else bound
    next_cursor = make_key_cursor(of_list, 0, last) if last else None
    return json_response({"items": [item for _, item in shown], "next_cursor": next_cursor})
