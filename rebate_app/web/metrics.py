"""`GET /metrics`: the worker's figures as Prometheus reads them (docs/metrics.md).

Law: it depends on nothing outside this process, so it answers also when the broker is away. It is separate
from the figures because only the web room knows requests.
"""

from __future__ import annotations

from rebate_app.metrics.catalogue import HTTP_SECONDS
from rebate_app.metrics.figures import Figures

from .api import Answer, Call, Desk

#: Prometheus negotiates by this; the version is the text format's, not ours.
METRICS_HEADERS = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"}
NO_ROUTE = "none"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


async def read_metrics(desk: Desk, call: Call) -> Answer:
    """Answer `GET /metrics`."""
    del call
    return Answer(200, desk.figures.exposition(), METRICS_HEADERS)


def count_request(figures: Figures, route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request; a method that HTTP does not know is `other`, so that nobody fills labels."""
    known = method if method in METHODS else "other"
    figures.histogram(HTTP_SECONDS, (route, known, str(status))).observe(seconds)
