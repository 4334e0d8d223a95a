"""Parts of /openapi.json that operations share: path parameters, headers, credentials."""

from __future__ import annotations

from typing import Any, Final

from rebate_app.auth.scopes import SCOPES
from rebate_app.domain.facts import USER_ID_PATTERN
from rebate_app.networks import NETWORKS
from rebate_app.wire.facts.text_types import DEFINITIONS

from ..auth.session_cookie import COOKIE, HOST_COOKIE

_PLACE: Final = r"[A-Za-z0-9._-]{1,249}/[0-9]{1,9}/[0-9]{1,18}"


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{pattern}$"}


#: Name → (what it is, schema, example).
PATH_PARAMETERS: Final[dict[str, tuple[str, dict[str, Any], str]]] = {
    "user_id": ("the user", _text(USER_ID_PATTERN), "u1"),
    "attribution_id": (
        "platform:field:value, or platform:none",
        DEFINITIONS["AttributionId"],
        "taobao:relation_id:2233",
    ),
    "platform": ("the network", DEFINITIONS["Platform"], next(iter(NETWORKS))),
    "order_line_id": ("the id of the line at its network", DEFINITIONS["LineId"], "390000000000000001"),
    "id": (
        "place of a dead letter, topic/partition/offset with / as %2F; decisions take up to 25 and commas",
        _text(_PLACE),
        "order_topic/3/41",
    ),
    "withdrawal_id": ("the withdrawal, unique for the user", DEFINITIONS["OwnId"], "w-2026-03-01"),
    "adjustment_id": ("the adjustment, unique for the user", DEFINITIONS["OwnId"], "a-1"),
    "opening_id": ("the opening, unique for the user", DEFINITIONS["OwnId"], "o-1"),
    "payee_id": ("the payee", _text("[^/]+"), "9f2c4e6a8b0d1f35"),
    "name": ("the channel", _text("[^/]+"), "bank"),
    "channel": ("the channel whose service calls back", _text("[^/]+"), "alipay"),
    "account": ("the account of the file of sources", _text("[^/]+"), "mm-1188"),
    "key": ("the key of a line, user or attribution id", {"type": "string", "minLength": 1}, "u1"),
    "version": ("a rule version", {"type": "string", "minLength": 1}, "2026-01"),
}

#: Name → header object, of answers.
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {
        "description": "the client's own, or a new one; the log has it",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "7f3a5c0e9b1d2468",
    },
    "ETag": {
        "description": "of this content",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[^"]+"$'},
        "example": '"3f2a9c0d1e4b5a6978c0d1e2"',
    },
    "Location": {
        "description": "where to read what was written",
        "required": True,
        "schema": {"type": "string", "pattern": "^/v1/"},
        "example": "/v1/users/u1/balance",
    },
    "Location?": {
        "description": "where to read what was written; of a single order line only",
        "schema": {"type": "string", "pattern": "^/v1/"},
        "example": "/v1/order-lines/taobao/390000000000000001",
    },
    "Set-Cookie?": {
        "description": "the session, or its end; none where authentication is off",
        "schema": {"type": "string"},
        "example": "rebate-session=…; Path=/; HttpOnly; SameSite=Strict; Max-Age=28800",
    },
    "Retry-After": {
        "description": "seconds after which to try again",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "WWW-Authenticate": {
        "description": "how to authenticate",
        "required": True,
        "schema": {"type": "string", "const": "Bearer"},
        "example": "Bearer",
    },
    "RateLimit": {
        "description": "what is left of the quota: r requests, t seconds until there is more",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[a-z-]+";r=[0-9]+;t=[0-9]+$'},
        "example": '"requests";r=0;t=1',
    },
    "RateLimit-Policy": {
        "description": "the quota: q requests within w seconds",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[a-z-]+";q=[0-9]+;w=[0-9]+$'},
        "example": '"requests";q=40;w=2',
    },
}
#: Status of a problem → headers that it has.
PROBLEM_HEADERS: Final[dict[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "rbk_<id>_<secret>",
        "description": "For machines and staff (`rebate keys new`). Its scopes:\n\n"
        + "\n".join(f"- `{name}`: {about}" for name, about in SCOPES.items()),
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "Of a browser that signed in with an API key, whose scopes it has; over TLS "
        f"{HOST_COOKIE}. What it changes has to come from the page of this worker, as JSON.",
    },
    "userToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "For the platform's own app: reaches what is its user's own.",
    },
}

REQUEST_ID_PARAMETER: Final[dict[str, Any]] = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "1-128 of A-Za-z0-9._-, under which the log has the request; another text is replaced",
    "schema": {"type": "string"},
    "example": "7f3a5c0e9b1d2468",
}
IF_NONE_MATCH_PARAMETER: Final[dict[str, Any]] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "the ETag of an answer that the client has",
    "schema": {"type": "string"},
    "example": '"3f2a9c0d1e4b5a6978c0d1e2"',
}
