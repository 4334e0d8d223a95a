"""`GET /metrics`: the worker's metrics in Prometheus' text format (docs/metrics.md).

It depends on nothing outside this process, so it answers while the broker is away.
"""

from __future__ import annotations

from ..context import HttpRequest, HttpResponse, RequestContext

#: Prometheus negotiates by this; the version is the text format's, not ours.
METRICS_HEADERS = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"}


async def read_metrics(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /metrics`."""
    del request
    return HttpResponse(200, context.metrics.exposition(), METRICS_HEADERS)
