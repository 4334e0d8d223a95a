"""`POST /v1/users/{user_id}/claims`: a user says that an order line is his."""

from __future__ import annotations

from typing import Any, Final

from rebate_app.domain.faults import UNKNOWN_MEMBER, Fault

from ..context import HttpRequest, HttpResponse, RequestContext
from ..problems import refused
from ..request_params import wait_ms_of, written_user_id_of
from .writes import body_of, owned, send_orders

MEMBERS: Final = ("platform", "order_line_id", "claimed_at", "user_id")


async def post_claim(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/users/{user_id}/claims`: an `order.claim` fact, as `POST /v1/orders` takes it."""
    user_id, wait_ms = written_user_id_of(request), wait_ms_of(request)
    document = owned(await body_of(request), "user_id", user_id)
    unknown = [name for name in document if name not in MEMBERS]
    if unknown:
        raise refused([("", Fault(UNKNOWN_MEMBER, name, "a claim has no such member")) for name in unknown])
    fact: dict[str, Any] = {"schema": "order-event/1", "kind": "order.claim", **document}
    return await send_orders(context, request, fact, wait_ms)
