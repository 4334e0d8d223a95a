"""What a method of a route asks of its caller, and whether a caller has it.

The table of routes gives each method one `Access`; a method without one is refused when the table is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from rebate_app.auth.scopes import ADMIN, SCOPES

from ..problems import ProblemError

ANONYMOUS: Final = "anonymous"
KEY: Final = "key"
USER: Final = "user"


class Caller(Struct, frozen=True):
    """Who sends a request: nobody in particular (authentication off), the holder of a key, or a user."""

    kind: Literal["anonymous", "key", "user"]
    id: str = ""
    scopes: frozenset[str] = frozenset()
    name: str = field(default="")

    @property
    def actor(self) -> str:
        """Return who acts, as facts and the audit trail carry it."""
        return ANONYMOUS if self.kind == ANONYMOUS else f"{self.kind}:{self.id}"

    @property
    def is_user(self) -> bool:
        """Whether the caller is a user with a token, who sees only what concerns him."""
        return self.kind == USER

    def has(self, scope: str) -> bool:
        """Return whether the caller may do what the scope covers."""
        return self.kind == ANONYMOUS or scope in self.scopes or ADMIN in self.scopes


#: Everybody, while authentication is off.
ANYBODY: Final = Caller(ANONYMOUS)

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Caller).decode


def encode_caller(caller: Caller | None) -> str:
    """Return a caller as the header between workers carries it; "" for nobody, a worker's own request."""
    return "" if caller is None else _encode(caller).decode("ascii", "backslashreplace")


def decode_caller(text: str) -> Caller:
    """Return the caller; ValueError if it is none."""
    return _decode(text.encode())


class Access(Struct, frozen=True):
    """What a method needs. ValueError for a scope that there is not.

    `scope`: of keys; "" for every caller with valid credentials. `user`: what a user token may reach: "own"
    (the user of the path is he), "shared" (the handler leaves out what concerns others), "" for nothing.
    `is_open`: everybody, without credentials. `internal`: workers only. `or_scope`: may stand in for `scope`,
    where the handler decides by the body which of both it needs.
    """

    scope: str = ""
    user: Literal["", "own", "shared"] = ""
    is_open: bool = False
    internal: bool = False
    or_scope: str = ""

    def __post_init__(self) -> None:
        """Refuse a misspelt scope."""
        for scope in filter(None, (self.scope, self.or_scope)):
            if scope not in SCOPES:
                raise ValueError(f"there is no scope {scope!r}")

    def authorize(self, caller: Caller, params: Mapping[str, str]) -> None:
        """Accept the caller; ProblemError `forbidden`."""
        if self.is_open:
            return
        if caller.is_user:
            self._authorize_user(caller, params)
        elif self.scope and not (caller.has(self.scope) or (self.or_scope and caller.has(self.or_scope))):
            raise forbidden(f"it needs the scope {self.scope}")

    def _authorize_user(self, caller: Caller, params: Mapping[str, str]) -> None:
        if self.user == "own" and params.get("user_id") == caller.id:
            return
        if self.user == "shared" or not self.scope:
            return
        raise forbidden(
            "a user token reaches what is its user's own" if self.user else f"it needs the scope {self.scope}"
        )


#: Probes, the description of the API, and what authenticates itself.
OPEN: Final = Access(is_open=True)
#: Every caller with valid credentials.
AUTHENTICATED: Final = Access()
#: Other workers only.
INTERNAL: Final = Access(internal=True)


def own(scope: str) -> Access:
    """Return the access to something of the user of the path, by that scope or by the user himself."""
    return Access(scope, user="own")


def shared(scope: str) -> Access:
    """Return the access to something in which several users have a part."""
    return Access(scope, user="shared")


def forbidden(detail: str, **members: Any) -> ProblemError:
    """Return the 403."""
    return ProblemError("forbidden", detail, **members)
