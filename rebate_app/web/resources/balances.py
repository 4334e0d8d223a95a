"""`GET /v1/users/{user_id}/balance` and `GET /v1/balances`: heads of accounts on one day.

See docs/spec/http.md#balance and docs/spec/api-security.md#added-reads.

A user that was never seen has zeros and version 0. The ETag covers the body without `at` and `as_of`, so a
client that knows a balance which did not change otherwise gets 304. Two records are read for each user.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import Any

import orjson
from msgspec import Struct

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.balance import balance_on
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.streams.failures.record_kinds import read_parked
from rebate_app.streams.state.store import StoreClosedError, StoreDamagedError
from rebate_app.wire.balance import balance_members
from rebate_app.wire.facts.identifiers import match_user_id
from rebate_app.wire.moments import format_moment
from tables.accounts import HEAD
from tables.money_out import SUMMARY

from ..context import JSON_HEADERS, HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError
from ..request_params import USER_IDS, moment_of, user_id_of, values_of
from ..routing.forwarding import ACCOUNTS, OK, UNAVAILABLE, records_or_response, stale_records
from ..routing.peer_client import UnreachableError
from ..routing.peer_rpc import PartitionRequest, PeerRpc
from ..routing.ports import Local
from .formatting import as_of, marks

NOT_MODIFIED = 304
USERS_MAX = 100
_ETAG_BYTES = 12


async def read_balance(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/balance`; 304 when the client knows it."""
    user_id, at = user_id_of(request), moment_of(context, request)
    local = await records_or_response(context, request, ACCOUNTS, user_id)
    if isinstance(local, HttpResponse):
        return local
    covered = orjson.dumps(_members(local, user_id, at))
    etag = f'"{blake2b(covered, digest_size=_ETAG_BYTES).hexdigest()}"'
    headers = {**JSON_HEADERS, "ETag": etag}
    known = request.headers.get("If-None-Match")
    if known is not None and _names_tag(known, etag):
        return HttpResponse(NOT_MODIFIED, b"", headers)
    rest = orjson.dumps(_place(local, at))
    return HttpResponse(200, b"%b,%b" % (covered[:-1], rest[1:]), headers)


def _members(local: Local, user_id: str, at: int) -> dict[str, Any]:
    """Return a balance from its owner's records, without the members that say as of when."""
    head = HEAD.read(local.store, HEAD.key(user_id)) or Head()
    members = balance_members(user_id, head.version, balance_on(head, day_of(at)))
    members |= marks(local)
    summary = SUMMARY.read(local.store, SUMMARY.key(user_id))
    if summary is not None and summary.blocked:
        members["blocked"] = True
    if read_parked(local.store, user_id) is not None:
        members["under_review"] = True
    return members


def _place(local: Local, at: int) -> dict[str, Any]:
    return {"as_of": as_of(local), "at": format_moment(at)}


class BalancesRequest(PartitionRequest, frozen=True):
    """The balances of these users, at that moment in µs."""

    user_ids: list[str]
    at: int


class BalancesResponse(Struct, frozen=True):
    """The balance of each user, in the order of the request."""

    balances: list[dict[str, Any]]


def answer_balances(context: RequestContext, local: Local, request: BalancesRequest) -> BalancesResponse:
    """Answer from the users' heads."""
    del context
    place = _place(local, request.at)
    return BalancesResponse([_members(local, each, request.at) | place for each in request.user_ids])


BALANCES = PeerRpc("balances", ACCOUNTS, BalancesRequest, BalancesResponse, answer_balances)


async def read_balances(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/balances`: each user's balance or why there is none, in the order of the request."""
    user_ids, at = values_of(request, USER_IDS), moment_of(context, request)
    if not 1 <= len(user_ids) <= USERS_MAX:
        raise ProblemError(USER_IDS.invalid, f"name 1 to {USERS_MAX} users")
    by_partition: dict[int, list[str]] = {}
    for user_id in dict.fromkeys(user_ids):
        if match_user_id(user_id) is not None:
            by_partition.setdefault(context.placement.partition_of(user_id), []).append(user_id)
    found: dict[str, dict[str, Any]] = {}
    for balances in await asyncio.gather(
        *(
            _balances_of(context, BalancesRequest(partition, known, at), request.request_id)
            for partition, known in by_partition.items()
        )
    ):
        found |= {balance["user_id"]: balance for balance in balances}
    return json_response({"items": [_item(user_id, found.get(user_id)) for user_id in user_ids]})


async def _balances_of(
    context: RequestContext, wanted: BalancesRequest, request_id: str
) -> list[dict[str, Any]]:
    """Return the balances of one partition's users, from stale records while its owner is away, else none."""
    try:
        return (await BALANCES.call(context, wanted, request_id)).balances
    except (UnreachableError, StoreClosedError, StoreDamagedError):
        stale = stale_records(context, ACCOUNTS, wanted.partition)
        return [] if stale is None else answer_balances(context, stale, wanted).balances


def _item(user_id: str, balance: dict[str, Any] | None) -> dict[str, Any]:
    if match_user_id(user_id) is None:
        return {"user_id": user_id, "status": 400, "code": USER_IDS.invalid}
    if balance is None:
        return {"user_id": user_id, "status": UNAVAILABLE, "code": "not-ready"}
    return {"user_id": user_id, "status": OK, "balance": balance}


def _names_tag(if_none_match: str, etag: str) -> bool:
    """Return whether the header names the tag; weak ones match too (RFC 9110, 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == etag for tag in if_none_match.split(","))
