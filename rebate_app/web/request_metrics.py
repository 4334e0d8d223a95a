"""Count answered requests by route, method and status (docs/metrics.md)."""

from __future__ import annotations

from rebate_app.metrics.catalogue import HTTP_FAILED, HTTP_SECONDS
from rebate_app.metrics.registry import MetricsRegistry

#: The route of a request that reaches no resource.
NO_ROUTE = "none"
INTERNAL_ERROR_STATUS = 500
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def count_request(metrics: MetricsRegistry, route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request; a method that HTTP does not know is `other`, which bounds the labels."""
    known = method if method in METHODS else "other"
    metrics.histogram(HTTP_SECONDS, (route, known, str(status))).observe(seconds)
    if status == INTERNAL_ERROR_STATUS:
        metrics.add(HTTP_FAILED)
