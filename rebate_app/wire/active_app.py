"""Records of `rebate-active`: which app decides withdrawals and pays them.

See docs/spec/money-out.md#active-app. The last record under the one key holds. It carries the id of the user
log; one with another id counts as absent, since that log exists no longer.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from .unreadable import decode_with

KEY: Final = b"active"


class ActiveRecord(Struct, frozen=True):
    """The active app of a prefix; `at` is RFC 3339, `by` who made it so."""

    app: str
    topic_id: str
    at: str
    by: str


_encode = Encoder().encode
_decode = Decoder(ActiveRecord).decode


def encode_active(record: ActiveRecord) -> tuple[bytes, bytes]:
    """Return (key, value)."""
    return KEY, _encode(record)


def decode_active(key: bytes | None, value: bytes | None) -> tuple[bytes, ActiveRecord | None] | None:
    """Return (key, record, None for a tombstone), None for another key; UnreadableValueError otherwise."""
    if key != KEY:
        return None
    return KEY, None if value is None else decode_with(_decode, value)
