"""`GET /v1/audit-trail`: who did what, newest first (docs/spec/api-security.md#audit-trail)."""

from __future__ import annotations

from typing import Final

from msgspec import to_builtins

from rebate_app.audit_trail.reader import TrailFilter
from rebate_app.streams.kafka.log_reader import NoSuchPlaceError
from rebate_app.wire.moments import MILLISECOND_US, parse_at

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..cursors import invalid_cursor, make_cursor, read_cursor
from ..problems import ProblemError, broker_away
from ..request_params import SINCE, Parameter, limit_of
from ..routing.ports import BrokerAwayError

OF_LIST: Final = "audit-trail"
TRAIL_FILTERS: Final = (
    Parameter("subject", "invalid-filter", about="about exactly this", example="u1"),
    Parameter("actor", "invalid-filter", about="by exactly this actor", example="key:crm"),
    Parameter("action", "invalid-filter", about="of this action", example="profile.put"),
    SINCE,
)


async def read_audit_trail(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/audit-trail`. A page may be empty and have a next one."""
    wanted, limit = _filter_of(request), limit_of(request)
    before = read_cursor(OF_LIST, request.query.get("cursor"), 1)
    try:
        page = await context.trail.page(wanted, None if before is None else before[0], limit)
    except NoSuchPlaceError:
        raise invalid_cursor() from None
    except BrokerAwayError as error:
        raise broker_away(str(error)) from error
    cursor = None if page.next is None else make_cursor(OF_LIST, page.next)
    return json_response({"items": [to_builtins(item) for item in page.items], "next_cursor": cursor})


def _filter_of(request: HttpRequest) -> TrailFilter:
    query = request.query
    try:
        since_ms = parse_at(query["since"]) // MILLISECOND_US if "since" in query else None
    except ValueError as error:
        raise ProblemError("invalid-filter", f"since: {error}") from None
    return TrailFilter(query.get("subject"), query.get("actor"), query.get("action"), since_ms)
