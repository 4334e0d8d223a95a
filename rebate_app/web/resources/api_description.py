"""`GET /openapi.json` and `GET /docs`: this API, described for machines and for people.

Both are made from the table of routes on the first request, in a thread: that takes longer than a slice of
the event loop.
"""

from __future__ import annotations

import asyncio
from functools import cache
from hashlib import blake2b

import orjson

from ..context import HttpRequest, HttpResponse, RequestContext

_ETAG_BYTES = 12


async def read_openapi(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /openapi.json`."""
    del context, request
    return await asyncio.to_thread(_openapi_response)


async def read_docs(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /docs`: a page without scripts and without anything from another host."""
    del context, request
    return await asyncio.to_thread(_docs_response)


@cache
def _openapi_response() -> HttpResponse:
    from ..openapi.document import openapi_document  # it reads the table of routes, which has this resource

    body = orjson.dumps(openapi_document())
    etag = f'"{blake2b(body, digest_size=_ETAG_BYTES).hexdigest()}"'
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache", "ETag": etag}
    return HttpResponse(200, body, headers)


@cache
def _docs_response() -> HttpResponse:
    from ..openapi.reference_page import POLICY, reference_page

    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
    }
    return HttpResponse(200, reference_page().encode(), headers)
