"""Which worker reaches which: `GET /v1/workers/reach`, and what workers ask each other for it.

Requests are routed from any worker to any other, so a URL has to lead to its worker from everywhere, not only
from where an operator looks. Every worker of the group's last assignment asks every other who it is.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import Struct

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..routing.forwarding import OK, peer_headers
from ..routing.identity import Identity, identify
from ..routing.peer_client import UnreachableError

REACH_PATH = "/internal/reach"
#: Time-outs of a peer request that a worker may take to answer which others it reaches.
REACH_TIMEOUTS = 2.5


class Reached(Struct, frozen=True, rename={"outcome": "answered"}):
    """What answers at the URL of a member; `outcome` is one of `identity.ReachOutcome`, or `unknown`."""

    url: str
    outcome: str
    detail: str = ""


class ReachResponse(Struct, frozen=True):
    """What one worker finds at the URLs of all others."""

    items: list[Reached]


async def read_identity(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /internal/identity`, in every state of this worker."""
    del request
    identity = Identity(context.instance, context.placement.readiness()[0])
    return json_response(msgspec.to_builtins(identity))


async def read_own_reach(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /internal/reach`: whom this worker reaches."""
    return json_response(msgspec.to_builtins(await _own_reach(context, request.request_id)))


async def read_reach(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/workers/reach`: every pair of workers, each asked by this one."""
    urls = sorted(context.placement.assignment().members)
    reached = await asyncio.gather(*(_reach_of(context, url, urls, request.request_id) for url in urls))
    items: list[dict[str, Any]] = [
        {"from": url, "to": each.url, "answered": each.outcome, "detail": each.detail}
        for url, response in zip(urls, reached, strict=True)
        for each in response.items
    ]
    return json_response({"items": items, "next_cursor": None})


async def _reach_of(context: RequestContext, url: str, urls: list[str], request_id: str) -> ReachResponse:
    """Return what a worker reaches; `unknown` for all others where it does not answer."""
    if url == context.own_url:
        return await _own_reach(context, request_id)
    try:
        seconds = REACH_TIMEOUTS * context.peers.rpc_timeout_seconds
        headers = peer_headers(request_id)
        response = await context.peers.get(url, REACH_PATH, headers, timeout_seconds=seconds)
        if response.status == OK:
            return msgspec.json.decode(response.body, type=ReachResponse)
        detail = f"the worker answers {response.status}"
    except (UnreachableError, msgspec.DecodeError, UnicodeDecodeError) as error:
        detail = str(error)
    return ReachResponse([Reached(other, "unknown", detail) for other in urls if other != url])


async def _own_reach(context: RequestContext, request_id: str) -> ReachResponse:
    assignment = context.placement.assignment()
    urls = [url for url in sorted(assignment.members) if url != context.own_url]
    headers = peer_headers(request_id)
    instances = assignment.instances
    found = await asyncio.gather(
        *(identify(context.peers, url, headers, instances.get(url, "")) for url in urls)
    )
    return ReachResponse(
        [Reached(url, each.outcome, each.detail) for url, each in zip(urls, found, strict=True)]
    )
