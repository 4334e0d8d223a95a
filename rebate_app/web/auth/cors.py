"""CORS (fetch.spec.whatwg.org), off unless origins are listed; and the headers that every answer has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PREFLIGHT_SECONDS: Final = 600

#: Nothing is framed, no type is guessed, no address of a page is sent along. A page sets its own policy.
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
REQUEST_HEADERS_ALLOWED: Final = "Authorization, Content-Type, If-None-Match, Idempotency-Key, X-Request-Id"
RESPONSE_HEADERS_EXPOSED: Final = "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"


def cors_headers(origin: str | None, allowed: frozenset[str]) -> dict[str, str]:
    """Return the headers for a request from a page of `origin`; {} unless that exact origin is allowed."""
    if not allowed:
        return {}
    if origin is None or origin not in allowed:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": RESPONSE_HEADERS_EXPOSED,
        "Vary": "Origin",
    }


def preflight_headers(methods: str) -> dict[str, str]:
    """Return the further headers of the answer to a preflight."""
    return {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": REQUEST_HEADERS_ALLOWED,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
