"""Adjustments, openings and blocks over HTTP (docs/money-out.md#over-http)."""

from __future__ import annotations

from typing import Any, Final

from rebate_app.wire.facts.identifiers import path_segment
from rebate_app.wire.facts.money import (
    ADJUSTMENT_APPROVE,
    ADJUSTMENT_PROPOSE,
    ADJUSTMENT_REJECT,
    BLOCK,
    OPENING,
    OPENING_APPROVE,
    UNBLOCK,
)
from tables.money_out import ADJUSTMENT, ADJUSTMENT_ID, SUMMARY

from ..context import Handler, HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError
from ..request_params import user_id_of, written_user_id_of
from ..routing.forwarding import ACCOUNTS, records_or_response
from .account_lists import list_page
from .money_items import adjustment_item
from .money_requests import (
    ADJUSTMENT_KIND,
    OPENING_KIND,
    USER_KIND,
    MoneyRequest,
    accepted,
    check_body,
    request_money,
    unknown,
    write_and_wait,
)
from .writes import body_of, note_reason, owned

CREATED: Final = 201
#: Members in which a repeat of a proposal or opening has to be the same.
_ADJUSTMENT_CONTENT: Final = ("amount", "reason_code", "reason", "ref")


async def post_adjustment(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/users/{user_id}/adjustments`: 201, 200 for a repeat, 202, 409 `id-reused`."""
    user_id = written_user_id_of(request)
    document = owned(await body_of(request), "user_id", user_id)
    note_reason(request, document.get("reason"))
    check_body(request, ADJUSTMENT_PROPOSE, document)
    own_id = document["adjustment_id"]
    wanted = MoneyRequest(context.placement.partition_of(user_id), user_id, ADJUSTMENT_KIND, own_id)
    before = (await request_money(context, request, wanted)).item
    if before is not None:
        content = [document.get(name) or None for name in _ADJUSTMENT_CONTENT]
        if [before[name] for name in _ADJUSTMENT_CONTENT] != content:
            raise ProblemError("id-reused", "the id is known with another content")
        return json_response(before)
    return await _written(context, request, ADJUSTMENT_PROPOSE, document, wanted, CREATED)


async def read_adjustments(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/adjustments`, newest first."""

    def item_of(local: Any, user_id: str, number: int) -> dict[str, Any] | None:
        own_id = ADJUSTMENT_ID.read(local.store, ADJUSTMENT_ID.key(user_id, number))
        found = None if own_id is None else ADJUSTMENT.read(local.store, ADJUSTMENT.key(user_id, own_id))
        return None if found is None else adjustment_item(user_id, found)

    def count_of(local: Any, user_id: str) -> int:
        summary = SUMMARY.read(local.store, SUMMARY.key(user_id))
        return 0 if summary is None else summary.adjustments

    return await list_page(context, request, "adjustments", count_of, item_of)


async def read_adjustment(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/users/{user_id}/adjustments/{adjustment_id}`; 404 `unknown-adjustment`."""
    user_id = user_id_of(request)
    local = await records_or_response(context, request, ACCOUNTS, user_id)
    if isinstance(local, HttpResponse):
        return local
    found = ADJUSTMENT.read(local.store, ADJUSTMENT.key(user_id, request.params["adjustment_id"]))
    if found is None:
        raise unknown(ADJUSTMENT_KIND)
    return json_response(adjustment_item(user_id, found))


def _judge(fact: str, kind: str, member: str) -> Handler:
    async def post(context: RequestContext, request: HttpRequest) -> HttpResponse:
        """Answer a verdict: 200 once it is folded, 202 when the time was up, 404, 409."""
        user_id, own_id = written_user_id_of(request), request.params[member]
        document = owned(owned(await body_of(request), "user_id", user_id), member, own_id)
        note_reason(request, document.get("reason"))
        wanted = MoneyRequest(context.placement.partition_of(user_id), user_id, kind, own_id)
        if (await request_money(context, request, wanted)).item is None:
            raise unknown(kind)
        return await _written(context, request, fact, document, wanted)

    return post


post_approve = _judge(ADJUSTMENT_APPROVE, ADJUSTMENT_KIND, "adjustment_id")
post_reject = _judge(ADJUSTMENT_REJECT, ADJUSTMENT_KIND, "adjustment_id")
post_opening_approve = _judge(OPENING_APPROVE, OPENING_KIND, "opening_id")


async def post_opening(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/users/{user_id}/openings`: 201, also for a repeat; 202, 409 `id-reused`."""
    user_id = written_user_id_of(request)
    document = owned(await body_of(request), "user_id", user_id)
    check_body(request, OPENING, document)
    own_id = document["opening_id"]
    wanted = MoneyRequest(context.placement.partition_of(user_id), user_id, OPENING_KIND, own_id)
    return await _written(context, request, OPENING, document, wanted, CREATED)


def _block(fact: str) -> Handler:
    async def post(context: RequestContext, request: HttpRequest) -> HttpResponse:
        """Answer with whether the user is blocked, once it is folded."""
        user_id = written_user_id_of(request)
        document = owned(await body_of(request), "user_id", user_id)
        note_reason(request, document.get("reason"))
        wanted = MoneyRequest(context.placement.partition_of(user_id), user_id, USER_KIND)
        return await _written(context, request, fact, document, wanted)

    return post


post_block = _block(BLOCK)
post_unblock = _block(UNBLOCK)


async def _written(
    context: RequestContext,
    request: HttpRequest,
    fact: str,
    document: dict[str, Any],
    wanted: MoneyRequest,
    status: int = 200,
) -> HttpResponse:
    """Write a fact; return what came of it with the status, or the 202 when the time was up."""
    written = await write_and_wait(context, request, fact, document, wanted)
    item = written.response.item
    if written.in_time and item is not None:
        return json_response(item, status)
    user_id = path_segment(wanted.user_id)
    place = {ADJUSTMENT_KIND: f"adjustments/{wanted.own_id}"}.get(wanted.kind, "balance")
    return accepted({"user_id": wanted.user_id}, f"/v1/users/{user_id}/{place}")
