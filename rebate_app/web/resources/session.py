"""`/v1/session`: an API key is exchanged for the cookie of a session (docs/spec/page.md#signing-in).

Signing in and out changes nothing that is kept, so the audit trail has no record of it; what is done with the
session is recorded under the key's name.
"""

from __future__ import annotations

from typing import Any

from rebate_app.domain.faults import UNKNOWN_MEMBER, Fault

from ..auth.access import ANYBODY, Caller
from ..auth.authenticator import BEARER, unauthorized
from ..auth.session_cookie import check_same_origin, clear_cookie, is_secure, set_cookie
from ..context import JSON_HEADERS, HttpRequest, HttpResponse, RequestContext, json_response
from ..problems import refused
from .me import caller_members
from .writes import body_of

MEMBER = "key"


async def read_session(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `GET /v1/session`: who is signed in with this browser; 200 also for nobody."""
    if not context.authenticator.required:
        return json_response(_members(ANYBODY))
    return json_response(_members(context.authenticator.session_caller(request.headers)))


async def post_session(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `POST /v1/session`: 201 with the cookie; 401 for a key that does not hold.

    The key is the bearer token, else `{"key": …}` in the body; a body beside a token has to be well formed.
    Of another page's request it is refused, so that nobody is signed in under a key that he did not give.
    While authentication is off, 200 without a cookie.
    """
    _skip_trail(request)
    check_same_origin(request.method, request.headers, needed=False)
    if not context.authenticator.required:
        await _checked_body(request)
        return json_response(_members(ANYBODY))
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == BEARER:
        caller, session = context.authenticator.session(token.strip(), request.address)
        await _checked_body(request)
    else:
        caller, session = context.authenticator.session(await _key_of(request), request.address)
    cookie = set_cookie(session, secure=is_secure(context.own_url, request.headers))
    return json_response(_members(caller), 201, JSON_HEADERS | {"Set-Cookie": cookie})


async def delete_session(context: RequestContext, request: HttpRequest) -> HttpResponse:
    """Answer `DELETE /v1/session`: 204, and the browser forgets the cookie."""
    _skip_trail(request)
    check_same_origin(request.method, request.headers, needed=False)
    cookie = clear_cookie(secure=is_secure(context.own_url, request.headers))
    return HttpResponse(204, b"", {"Cache-Control": "no-store", "Set-Cookie": cookie})


def _members(caller: Caller | None) -> dict[str, Any]:
    return {"signed_in": caller is not None, "caller": None if caller is None else caller_members(caller)}


async def _key_of(request: HttpRequest) -> str:
    """Return the key in the body; ProblemError 401 without a body."""
    key = await _checked_body(request)
    if key is None:
        raise unauthorized("unauthenticated", "send an API key, in the body or as a bearer token")
    return key


async def _checked_body(request: HttpRequest) -> str | None:
    """Return the key in the body, None without a body; ProblemError for another body."""
    if not await request.read_body():
        return None
    document = await body_of(request)
    if not isinstance(document, dict) or not isinstance(document.get(MEMBER), str):
        raise refused([("", Fault("missing-key", MEMBER, "the body is an object with the API key as `key`"))])
    unknown = [name for name in document if name != MEMBER]
    if unknown:
        raise refused([("", Fault(UNKNOWN_MEMBER, name, "there is no such member")) for name in unknown])
    return str(document[MEMBER]).strip()


def _skip_trail(request: HttpRequest) -> None:
    if request.trail is not None:
        request.trail.skip()
