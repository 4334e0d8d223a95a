"""The signature that proves a webhook to be ours: HMAC-SHA256 over moment and body (docs/webhooks.md).

Law: what is signed are the very bytes that are sent, and the moment at which this attempt was made.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from msgspec import DecodeError, Struct
from msgspec.json import Decoder

VERSION = "v1"
UNKNOWN = "unknown"
_match_word = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII).fullmatch


class _Told(Struct):
    event_id: str = UNKNOWN
    kind: str = UNKNOWN


_decode = Decoder(_Told).decode


def signature(secrets: Sequence[bytes], timestamp: int, body: bytes) -> str:
    """Return the value of `Rebate-Signature`: one `v1=<hex>` per secret, the newest first."""
    signed = str(timestamp).encode() + b"." + body
    marks = (hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join(f"{VERSION}={mark}" for mark in marks)


def headers_of(body: bytes, secrets: Sequence[bytes], timestamp: int, attempt: int) -> dict[str, str]:
    """Return the headers of one attempt. `timestamp` in Unix seconds, `attempt` from 1."""
    try:
        told = _decode(body)
    except DecodeError:  # what others put there is brought as it is
        told = _Told()
    return {
        "Content-Type": "application/json",
        "Rebate-Event-Id": _word(told.event_id),
        "Rebate-Event-Kind": _word(told.kind),
        "Rebate-Delivery-Attempt": str(attempt),
        "Rebate-Timestamp": str(timestamp),
        "Rebate-Signature": signature(secrets, timestamp, body),
    }


def _word(text: str) -> str:
    """Return the text if it may stand in a header."""
    return text if _match_word(text) else UNKNOWN
