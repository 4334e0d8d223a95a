"""`POST /v1/users/{user_id}/reprice`: price a user's own lines again (docs/spec/rules.md#repricing)."""

from __future__ import annotations

from typing import Any

from rebate_app.auth.scopes import ADJUSTMENTS_APPROVE, ADJUSTMENTS_WRITE
from rebate_app.wire.facts.identifiers import path_segment
from rebate_app.wire.facts.reprice import with_reason
from rebate_app.wire.facts.user import check_reprice, encode_reprice

from ..auth.access import forbidden
from ..context import JSON_HEADERS, HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import refused
from ..request_params import wait_ms_of, written_user_id_of
from ..routing.read_your_writes import Wait
from .writes import ACCEPTED, author_warnings, body_of, note_reason, owned, send_facts


async def post_reprice(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer with 202 once the fact is sent; released lines need another scope: their money may be gone.

    A body without reason names who asked in its place.
    """
    user_id, wait_ms = written_user_id_of(request), wait_ms_of(request)
    document = owned(await body_of(request), "user_id", user_id)
    note_reason(request, document.get("reason"))
    document = with_reason(document, request.caller.actor)
    verdict = check_reprice(document)
    if isinstance(verdict, list):
        raise refused([("", fault) for fault in verdict])
    needed = ADJUSTMENTS_APPROVE if verdict.released else ADJUSTMENTS_WRITE
    if not request.caller.has(needed):
        raise forbidden(f"it needs the scope {needed}")
    record = encode_reprice(document, request.caller.actor, request.request_id)
    ((_, offset),) = await send_facts(context, request, context.topics.user_log, [record])
    members: dict[str, Any] = {"accepted": 1, "user_id": user_id} | author_warnings(document)
    if wait_ms is not None:
        wait = Wait(context, wait_ms, request.request_id)
        members["visible"] = await context.wait_slots.visible(lambda: wait.reprice(user_id, offset))
    location = f"/v1/users/{path_segment(user_id)}/ledger"
    return json_response(members, ACCEPTED, JSON_HEADERS | {"Location": location})
