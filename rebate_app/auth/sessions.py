"""Sessions of the web page: a signed value in a cookie, without state (docs/spec/page.md#signing-in).

A session names an API key and ends after SESSION_SECONDS. Its signature covers the digest of the key's
secret, so it ends with the key, and with a new secret under the same id. It is HMAC-SHA256 with the cluster
secret: every worker accepts it, and a rotation of the secret that keeps the old one ends no session.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

import orjson

from rebate_app.secret_ring import SecretRing

from .api_keys import ApiKey, ExpiredTokenError, InvalidTokenError, KeyRing

SESSION_SECONDS: Final = 8 * 3_600
MICROSECONDS: Final = 1_000_000
VERSION: Final = "rebate-session/1"

_SESSION = re.compile(r"v1\.([A-Za-z0-9_-]{1,32})\.([a-z0-9-]{1,32})\.(\d{1,12})\.([0-9a-f]{64})")


def sign_session(ring: SecretRing, key: ApiKey, now_us: int) -> str:
    """Return the session of a key, valid for SESSION_SECONDS from `now_us` (µs since 1970)."""
    ends_at = now_us // MICROSECONDS + SESSION_SECONDS
    return f"v1.{ring.first}.{key.id}.{ends_at}.{_mac(ring.secrets[ring.first], key, ends_at)}"


def verify_session(ring: SecretRing, keys: KeyRing, text: str, now_us: int) -> ApiKey:
    """Return the key of a session as the file has it now; InvalidTokenError, ExpiredTokenError."""
    match = _SESSION.fullmatch(text)
    if match is None:
        raise InvalidTokenError("the session is not well-formed")
    secret, key, ends_at = ring.secrets.get(match[1]), keys.keys.get(match[2]), int(match[3])
    if secret is None or key is None:
        raise InvalidTokenError("the session's key or secret is not there any more")
    if not hmac.compare_digest(match[4], _mac(secret, key, ends_at)):
        raise InvalidTokenError("the session is not signed by this system for this key")
    if now_us >= ends_at * MICROSECONDS or (key.not_after_us is not None and now_us >= key.not_after_us):
        raise ExpiredTokenError("the session or its key has expired")
    return key


def _mac(secret: bytes, key: ApiKey, ends_at: int) -> str:
    signed = orjson.dumps([VERSION, key.id, key.digest.hex(), ends_at])
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()
