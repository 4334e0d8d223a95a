"""`/livez` and `/readyz` (docs/spec/running.md#probes).

`/livez` depends on nothing but the event loop that answers it. `/readyz` is 200 only while the worker has
joined and all its partitions are restored and being processed. A halted partition does not make it 503: the
worker answers for it, and the answer names it.
"""

from __future__ import annotations

from ..context import HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import ProblemError
from .formatting import halted_members


async def read_live(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /livez`."""
    del context, request
    return json_response({"status": "alive"})


async def read_ready(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /readyz`."""
    del request
    ready, reason = context.placement.readiness()
    if not ready:
        raise ProblemError("not-ready", reason, headers={"Retry-After": "1"}, ready=False, reason=reason)
    halted = [halted_members(each) for each in context.placement.halted()]
    return json_response({"status": "ready", "ready": True, "reason": reason, "halted": halted})
