"""Sign webhooks: HMAC-SHA256 over the time of the attempt and the bytes sent (docs/webhooks.md)."""

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


class _EventHead(Struct):
    event_id: str = UNKNOWN
    kind: str = UNKNOWN


_decode = Decoder(_EventHead).decode


def signature(secrets: Sequence[bytes], timestamp: int, body: bytes) -> str:
    """Return the value of `Rebate-Signature`: one `v1=<hex>` per secret, the newest first."""
    signed = str(timestamp).encode() + b"." + body
    digests = (hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join(f"{VERSION}={digest}" for digest in digests)


def headers_of(body: bytes, secrets: Sequence[bytes], timestamp: int, attempt: int) -> dict[str, str]:
    """Return the headers of one attempt. `timestamp` in Unix seconds, `attempt` from 1."""
    try:
        head = _decode(body)
    except (DecodeError, UnicodeDecodeError, RecursionError):  # a foreign value is sent as it is
        head = _EventHead()
    return {
        "Content-Type": "application/json",
        "Rebate-Event-Id": _word(head.event_id),
        "Rebate-Event-Kind": _word(head.kind),
        "Rebate-Delivery-Attempt": str(attempt),
        "Rebate-Timestamp": str(timestamp),
        "Rebate-Signature": signature(secrets, timestamp, body),
    }


def _word(text: str) -> str:
    """Return the text if it is valid in a header."""
    return text if _match_word(text) else UNKNOWN
