"""One HTTP response, and JSON as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct, field

REQUEST_ID_HEADER = "X-Request-Id"
#: Answers about people are kept by nobody on the way.
JSON_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class HttpResponse(Struct, frozen=True):
    """One response; `headers` hold the content type."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON_HEADERS)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] = JSON_HEADERS) -> HttpResponse:
    """Return a value as a JSON response."""
    return HttpResponse(status, orjson.dumps(value), headers)
