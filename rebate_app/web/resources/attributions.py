"""`GET /v1/attributions/{attribution_id}`: the user to whom an attribution id is bound, and its lines.

See docs/spec/http.md#resources.
"""

from __future__ import annotations

from rebate_app.domain.account.attribution_account import IdHead, net_at
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.streams.failures.record_kinds import read_parked
from rebate_app.wire.moments import format_moment
from tables.accounts import ID_HEAD

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..request_params import attribution_id_of, moment_of
from ..routing.forwarding import ACCOUNTS, records_or_response
from .formatting import as_of, marks


async def read_attribution(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/attributions/{attribution_id}`; zeros when it was never seen."""
    attribution_id, at = attribution_id_of(request), moment_of(context, request)
    local = await records_or_response(context, request, ACCOUNTS, attribution_id)
    if isinstance(local, HttpResponse):
        return local
    head = ID_HEAD.read(local.store, ID_HEAD.key(attribution_id)) or IdHead()
    members = {
        "attribution_id": attribution_id,
        "user_id": head.bound,
        "lines": head.lines,
        "net": net_at(head.net, day_of(at)),
        "version": head.version,
        "as_of": as_of(local),
        "at": format_moment(at),
    }
    if read_parked(local.store, attribution_id) is not None:
        members["under_review"] = True
    return json_response(members | marks(local))
