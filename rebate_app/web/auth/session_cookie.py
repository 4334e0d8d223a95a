"""The cookie of a session, and which requests of a browser are believed to come from the page itself.

A browser sends the cookie along with requests that other pages make it send. SameSite=Strict keeps other
sites from that. A request that changes something has to prove besides that its page is this worker's own:
by `Sec-Fetch-Site`, by `Origin`, and by a content type that no form of another page can send.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from rebate_app.auth.sessions import SESSION_SECONDS

from ..problems import ProblemError
from .access import forbidden

COOKIE: Final = "rebate-session"
#: Over TLS: a browser takes it from no other host and no unencrypted page (RFC 6265bis, 4.1.3.2).
HOST_COOKIE: Final = f"__Host-{COOKIE}"
JSON_TYPE: Final = "application/json"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def session_of(headers: Mapping[str, str]) -> str | None:
    """Return the value of the session's cookie, that of TLS first; None without one."""
    found: dict[str, str] = {}
    for part in headers.get("Cookie", "").split(";"):
        name, equals, value = part.strip().partition("=")
        if equals and value and name in (COOKIE, HOST_COOKIE):
            found.setdefault(name, value)
    return found.get(HOST_COOKIE, found.get(COOKIE))


def is_secure(own_url: str, headers: Mapping[str, str]) -> bool:
    """Return whether the browser reaches this worker over TLS: its own, or that of a proxy before it."""
    return own_url.startswith("https://") or headers.get("Origin", "").startswith("https://")


def set_cookie(value: str, *, secure: bool) -> str:
    """Return the header that keeps a session, for as long as it is valid."""
    return _cookie(value, SESSION_SECONDS, secure=secure)


def clear_cookie(*, secure: bool) -> str:
    """Return the header that ends a session in its browser."""
    return _cookie("", 0, secure=secure)


def _cookie(value: str, seconds: int, *, secure: bool) -> str:
    name = HOST_COOKIE if secure else COOKIE
    attributes = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict"
    return f"{name}={value}; {attributes}" + ("; Secure" if secure else "")


def check_same_origin(method: str, headers: Mapping[str, str], *, needed: bool = True) -> None:
    """Accept a request that changes something only from a page of this worker; ProblemError 403 or 415.

    `needed`: it uses a session, so it has to say where it comes from, and its body has to be JSON.
    """
    if method in SAFE_METHODS:
        return
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site not in (None, "same-origin") or (origin is not None and not _is_host(origin, headers)):
        raise forbidden("a session is used from the page of this worker only, and this is another one")
    if not needed:
        return
    if site is None and origin is None:
        raise forbidden("with a session, a request that changes something needs Origin or Sec-Fetch-Site")
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    has_body = headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers
    if content_type != JSON_TYPE and (method != "DELETE" or has_body):
        raise ProblemError("unsupported-media-type", f"Content-Type has to be {JSON_TYPE}")


def _is_host(origin: str, headers: Mapping[str, str]) -> bool:
    """Return whether an origin names the host that the request is for, which `server.hosts` has checked."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == headers.get("Host", "").lower()
