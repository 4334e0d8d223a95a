"""Accounts whose orders are fetched: how far, by whom, what holds them back; their pause and resumption.

Each worker knows the accounts that it runs; those that no worker runs are listed by their cursors. A decision
is a record on the cursors' topic, which every worker follows (docs/sources.md).
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from rebate_app.sources.cursors import decided, encode_decision
from rebate_app.wire.moments import format_moment

from ..context import Handler, HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError, broker_away
from ..routing.forwarding import OK, peer_headers
from ..routing.peer_client import UnreachableError
from ..routing.ports import BrokerAwayError
from .writes import members_of

PATH = "/v1/sources"
Item = dict[str, Any]


async def read_sources(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/sources`; to another worker, only for this one."""
    if request.forwarded:
        return json_response({"items": context.sources(None), "next_cursor": None})
    urls = sorted(set(context.placement.assignment().members) - {context.own_url})
    found = await asyncio.gather(*(_peer_items(context, url, request) for url in urls))
    others = [item for items in found for item in items]
    own = context.sources({item["account"] for item in others})
    newest = {item["account"]: item for item in [*others, *own]}  # one account may be handed over just now
    return json_response(
        {"items": sorted(newest.values(), key=lambda item: str(item["account"])), "next_cursor": None}
    )


async def _peer_items(context: RequestContext, url: str, request: HttpRequest) -> list[Item]:
    """Return the accounts of another worker, [] if it does not answer in time."""
    try:
        async with asyncio.timeout(context.peers.rpc_timeout_seconds):
            response = await context.peers.get(url, PATH, peer_headers(request.request_id), request.caller)
        if response.status == OK:
            items: list[Item] = orjson.loads(response.body)["items"]
            return items
    except (UnreachableError, TimeoutError, ValueError, LookupError):
        pass
    return []


def _setter(*, paused: bool) -> Handler:
    async def post(context: RequestContext, request: HttpRequest) -> HttpResponse:
        """Answer the pausing or resuming of an account."""
        account = request.params["account"]
        if account not in {item["account"] for item in context.sources(set())}:
            raise ProblemError("unknown-source", "no account of this name is configured")
        await members_of(request)
        if request.trail is None:
            raise TypeError("the route is recorded")
        known = context.source_decision(account)
        decision = decided(known, context.clock(), request.caller.actor, paused=paused)
        try:
            await request.trail.write(context.topics.fetch_cursors, [encode_decision(account, decision)])
        except BrokerAwayError as error:
            raise broker_away("the decision may not be written; send the same again") from error
        members = {"account": account, "paused": paused, "by": decision.by, "at": format_moment(decision.at)}
        return json_response(members)

    return post


post_pause, post_resume = _setter(paused=True), _setter(paused=False)
