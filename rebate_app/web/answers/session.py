"""Answers about signing in with a browser."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ..operation import Operation, RequestBody
from .accounts import Me


class Session(Struct, kw_only=True):
    """Who is signed in with this browser; `caller` is null for nobody."""

    signed_in: bool
    caller: Me | None


class SessionBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """An API key, unless it stands in `Authorization`."""

    key: Annotated[str, Meta(description="an API key, `rbk_…`")]


_ANOTHER_PAGE = {"forbidden": "a page of another host sends it: `Origin` or `Sec-Fetch-Site` says so"}
SESSION = Operation(Session)
SIGN_IN = Operation(
    Session,
    201,
    also={200: "authentication is off, so there is no cookie"},
    headers=("Set-Cookie?",),
    codes=("forbidden", "unauthenticated", "invalid-token", "expired-token", "too-many-requests"),
    body=RequestBody(SessionBody, ("missing-key", "unknown-member"), required=False),
    unforeseen=_ANOTHER_PAGE
    | {"invalid-token": "the key does not hold", "expired-token": "its time is over"},
)
SIGN_OUT = Operation(None, 204, headers=("Set-Cookie?",), codes=("forbidden",), unforeseen=_ANOTHER_PAGE)
