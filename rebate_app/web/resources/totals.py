"""`GET /v1/totals`: what is owed to all users on a day (docs/spec/api-security.md#added-reads).

Each partition answers from its records of totals, a few hundred at most, so the answer takes the same time
for ten users and for a million. A partition whose owner cannot be reached is named in `unavailable` and left
out.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from rebate_app.domain.account.totals import PlatformSums, Sums
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.streams.state.build import read_progress
from rebate_app.wire.moments import format_date, format_moment
from tables import accounts, totals
from tables.accounts import COUNTERS, COUNTERS_KEY, TOTALS_NAME

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import building, not_ready
from ..request_params import moment_of
from ..routing.forwarding import ACCOUNTS
from ..routing.peer_rpc import PartitionRequest, PeerRpc, call_all
from ..routing.ports import Local

TIMEOUT_SECONDS = 5.0


class TotalsRequest(PartitionRequest, frozen=True):
    """The totals of the partition on that day."""

    day: int


class TotalsResponse(Struct, frozen=True):
    """The totals, and as of when; `visited`: so many parts are built so far, and there are no totals yet."""

    sums: Sums
    offset: int
    lag: int
    visited: int | None = None


def answer_totals(context: RequestContext, local: Local, request: TotalsRequest) -> TotalsResponse:
    """Answer from the partition's own records of totals."""
    del context
    progress = read_progress(TOTALS_NAME, accounts.is_fresh, local.store)
    if not progress.done:
        return TotalsResponse(Sums(), local.offset, local.lag, progress.visited)
    sums = totals.read_sums(local.store, request.day)
    counters = COUNTERS.read(local.store, COUNTERS_KEY)
    sums.users = 0 if counters is None else counters.users
    return TotalsResponse(sums, local.offset, local.lag)


TOTALS = PeerRpc("totals", ACCOUNTS, TotalsRequest, TotalsResponse, answer_totals)


async def read_totals(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/totals`; 503 `building` after an update, `not-ready` when nobody can be reached."""
    at = moment_of(context, request)
    numbers = range(context.placement.partitions)
    requests = [TotalsRequest(number, day_of(at)) for number in numbers]
    responses = await call_all(TOTALS, context, requests, request.request_id, TIMEOUT_SECONDS)
    sums, places = Sums(), []
    for number, response in zip(numbers, responses, strict=True):
        if response is None:
            continue
        if response.visited is not None:
            raise building(TOTALS_NAME, number, response.visited)
        sums.add(response.sums)
        places.append({"partition": number, "offset": response.offset, "lag": response.lag})
    if not places:
        raise not_ready("no partition's owner can be reached")
    away = [number for number, response in zip(numbers, responses, strict=True) if response is None]
    members = _members(sums) | {"as_of": places, "unavailable": away, "at": format_moment(at)}
    return json_response(members)


def _members(sums: Sums) -> dict[str, Any]:
    money = _money(sums.total)
    return {
        "currency": "CNY",
        "unit": "fen",
        "users": sums.users,
        "lines": {"open": sums.open, "settled": sums.settled, "closed": sums.closed},
        **money,
        "frozen": sums.frozen,
        "withdrawn": sums.withdrawn,
        "debt": sums.debt,
        "suspense": sums.suspense,
        "adjustments": sums.adjustments,
        "openings": sums.openings,
        "platforms": {name: _money(each) for name, each in sorted(sums.platforms.items()) if name},
        "maturing": [
            {"on": format_date(on), "amount": amount}
            for on, amount in sorted(sums.maturing.items())
            if amount
        ],
    }


def _money(sums: PlatformSums) -> dict[str, int]:
    return {
        "estimated": sums.estimated,
        "confirmed": sums.confirmed,
        "held": sums.held,
        "available": sums.available,
    }
