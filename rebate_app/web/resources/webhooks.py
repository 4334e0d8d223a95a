"""`GET /v1/webhooks`: what each worker delivers, to where, and what holds it back (docs/webhooks.md).

A worker that does not answer is listed with `"alive": false`, never left out.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import orjson

from rebate_app.webhooks.state import WebhookState

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..routing.forwarding import OK, peer_headers
from ..routing.peer_client import UnreachableError

PATH = "/v1/webhooks"


async def read_webhooks(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/webhooks`; to another worker, only for this one."""
    own = _item(context.own_url, context.webhooks())
    if request.forwarded:
        return json_response({"items": [own], "next_cursor": None})
    urls = sorted(set(context.placement.assignment().members) | {context.own_url})
    others = [url for url in urls if url != context.own_url]
    items = await asyncio.gather(*(_peer_item(context, url, request) for url in others))
    listed = sorted([own, *items], key=lambda item: str(item["worker"]))
    return json_response({"items": listed, "next_cursor": None})


def _item(url: str, state: WebhookState) -> dict[str, Any]:
    return {"worker": url, "alive": True, **msgspec.to_builtins(state)}


async def _peer_item(context: RequestContext, url: str, request: HttpRequest) -> dict[str, Any]:
    """Return what another worker answers within the time-out of a peer request."""
    try:
        async with asyncio.timeout(context.peers.rpc_timeout_seconds):
            response = await context.peers.get(url, PATH, peer_headers(request.request_id), request.caller)
        if response.status == OK:
            item: dict[str, Any] = orjson.loads(response.body)["items"][0]
            return item
    except (UnreachableError, TimeoutError, ValueError, LookupError):
        pass
    return {"worker": url, "alive": False}
