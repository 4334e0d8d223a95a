"""Signatures of requests between workers (docs/spec/api-security.md#worker-traffic).

A signature is HMAC-SHA256 over the target worker, method, target, digest of the body, the caller for whom the
request is made, the sender, a nonce and the time. One that is older than MAX_AGE_SECONDS, of the future, used
before, meant for another worker or changed in any of these is refused. Nonces are remembered in memory: after
a restart an old request can be repeated for MAX_AGE_SECONDS, and requests between workers change nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

import orjson
from msgspec import Struct

from rebate_app.secret_ring import SecretRing

VERSION: Final = "rebate-peer/1"
MAX_AGE_SECONDS: Final = 30
NONCE_BYTES: Final = 16
MICROSECONDS: Final = 1_000_000

_SIGNATURE = re.compile(r"v1 ([A-Za-z0-9_-]{1,32}) (\d{1,19}) ([0-9a-f]{32}) ([0-9a-f]{64})")


class PeerRequest(Struct, frozen=True):
    """What is signed. `worker`: URL of the receiver. `caller`: for whom, as its header says it."""

    worker: str
    method: str
    target: str
    body: bytes
    caller: str
    sender: str


class InvalidSignatureError(Exception):
    """The request is not signed by a worker of ours for this worker, or not now."""


def sign(ring: SecretRing, request: PeerRequest, now_us: int) -> str:
    """Return the value of the signature's header."""
    nonce = secrets.token_hex(NONCE_BYTES)
    mac = _mac(ring.secrets[ring.first], request, str(now_us), nonce)
    return f"v1 {ring.first} {now_us} {nonce} {mac}"


class SignatureVerifier:
    """Verifies what `sign` returned, each signature once."""

    def __init__(self, ring: SecretRing) -> None:
        self._ring = ring
        self._nonces: set[str] = set()
        self._nonces_before: set[str] = set()
        self._turned_at_us = 0

    def verify(self, request: PeerRequest, signature: str, now_us: int) -> None:
        """Accept a signature; InvalidSignatureError for one that does not hold."""
        match = _SIGNATURE.fullmatch(signature)
        if match is None:
            raise InvalidSignatureError("the signature is not well-formed")
        key_id, signed_at, nonce, mac = match.groups()
        secret = self._ring.secrets.get(key_id)
        if secret is None:
            raise InvalidSignatureError("the signature names an unknown secret")
        if not hmac.compare_digest(mac, _mac(secret, request, signed_at, nonce)):
            raise InvalidSignatureError("the signature is another request's")
        if abs(now_us - int(signed_at)) > MAX_AGE_SECONDS * MICROSECONDS:
            raise InvalidSignatureError("the signature is too old, or one of both clocks is wrong")
        self._remember(nonce, now_us)

    def _remember(self, nonce: str, now_us: int) -> None:
        """Note the nonce for longer than its signature is valid; InvalidSignatureError for a repeated one."""
        if abs(now_us - self._turned_at_us) > 2 * MAX_AGE_SECONDS * MICROSECONDS:
            self._nonces_before, self._nonces, self._turned_at_us = self._nonces, set(), now_us
        if nonce in self._nonces or nonce in self._nonces_before:
            raise InvalidSignatureError("the signature was used before")
        self._nonces.add(nonce)


def _mac(secret: bytes, request: PeerRequest, signed_at: str, nonce: str) -> str:
    digest = hashlib.sha256(request.body).hexdigest()
    parts = [
        VERSION,
        request.worker,
        request.method,
        request.target,
        digest,
        request.caller,
        request.sender,
        signed_at,
        nonce,
    ]
    return hmac.new(secret, orjson.dumps(parts), hashlib.sha256).hexdigest()
