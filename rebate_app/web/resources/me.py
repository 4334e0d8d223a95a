"""`GET /v1/me`: who the caller is, and what he may do."""

from __future__ import annotations

from typing import Any

from rebate_app.auth.scopes import ADMIN, SCOPES

from ..auth.access import ANONYMOUS, Caller
from ..context import HttpRequest, HttpResponse, RequestContext, json_response


async def read_me(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/me`; `may` lists the scopes, with all of them for an administrator."""
    del context
    return json_response(caller_members(request.caller))


def caller_members(caller: Caller) -> dict[str, Any]:
    """Return a caller as JSON."""
    may = [scope for scope in SCOPES if scope != ADMIN and caller.has(scope)]
    return {
        "kind": caller.kind,
        "actor": caller.actor,
        "id": caller.id or None,
        "name": caller.name or None,
        "user_id": caller.id if caller.is_user else None,
        "scopes": sorted(caller.scopes),
        "may": [] if caller.is_user else may,
        "authentication": "off" if caller.kind == ANONYMOUS else "on",
    }
