"""Find the worker that may answer for a key: this one, else its owner (docs/spec/http.md#routing).

Any worker answers for any user. A request that was forwarded once is answered or refused. While no worker can
answer, the response is 503 `not-ready` with Retry-After.
"""

from __future__ import annotations

from rebate_app.wire.stages import ORDERS, USER_LOG

from ..context import REQUEST_ID_HEADER, HttpRequest, HttpResponse, RequestContext
from ..problems import ProblemError, not_ready
from .peer_client import UnreachableError
from .ports import Local, Nobody, Place, Remote

LINES, ACCOUNTS = ORDERS.records, USER_LOG.records
OK = 200
UNAVAILABLE = 503
UNAUTHENTICATED = 401

#: Headers that change the answer are passed on to the owner, all others stay between client and worker.
_FORWARDED_HEADERS = ("If-None-Match", "Accept")


async def records_or_response(
    context: RequestContext, request: HttpRequest, table: str, key: str
) -> Local | HttpResponse:
    """Return a key's records when this worker may answer from them, else the owner's response.

    While the owner cannot answer, stale records of this worker stand in, if it has any; else ProblemError
    `not-ready`.
    """
    partition = context.placement.partition_of(key)
    place = place_of(context, table, partition)
    if isinstance(place, Local):
        return place
    try:
        response = await forward(context, request, place)
    except ProblemError:
        stale = stale_records(context, table, partition)
        if stale is None:
            raise
        return stale
    if response.status == UNAVAILABLE:
        return stale_records(context, table, partition) or response
    return response


def place_of(context: RequestContext, table: str, partition: int) -> Place:
    """Return who has a partition of the table of a stage; a Remote that is this worker is Nobody."""
    placement = context.placement
    if not 0 <= partition < placement.partitions:
        return Nobody(f"there is no partition {partition} here")
    place = placement.place(table, partition)
    if isinstance(place, Remote) and place.url.rstrip("/") == context.own_url:
        return Nobody("this worker is being given the partition")
    return place


def stale_records(context: RequestContext, table: str, partition: int) -> Local | None:
    """Return records that may be behind their owner's, None without any; the answer is marked `stale`."""
    return context.placement.kept_place(table, partition)


async def forward(context: RequestContext, request: HttpRequest, place: Place) -> HttpResponse:
    """Return the owner's response, headers included; ProblemError `not-ready`."""
    if isinstance(place, Nobody):
        raise not_ready(place.reason, place.retry_after_seconds)
    if request.forwarded or not isinstance(place, Remote):
        raise not_ready("the owner has just changed")
    headers = {name: request.headers[name] for name in _FORWARDED_HEADERS if name in request.headers}
    headers |= {"Accept-Encoding": "identity", **peer_headers(request.request_id)}
    try:
        response = await context.peers.get(place.url.rstrip("/"), request.target, headers, request.caller)
    except UnreachableError as error:
        raise not_ready(str(error)) from error
    if response.status == UNAUTHENTICATED:  # the caller is known here: it is us whom the owner does not know
        raise not_ready("the owner does not accept our signature: another REBATE_CLUSTER_SECRET, or clock")
    return HttpResponse(response.status, response.body, response.headers)


def peer_headers(request_id: str) -> dict[str, str]:
    """Return the headers of every request to another worker; the client adds who sends it."""
    return {REQUEST_ID_HEADER: request_id}
