"""What became of a dead letter: records of the compacted topic `rebate-dlq-decisions`.

Law: the key is the id of the dead letter, and the newest value holds; a dead letter without one is open. It
is separate because agents write decisions too, when they release what was parked.
"""

from __future__ import annotations

from typing import Literal

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from .failure_headers import Place, parse_place

REPLAYED: Literal["replayed"] = "replayed"
DISCARDED: Literal["discarded"] = "discarded"


class Decision(Struct, frozen=True):
    """`at` is RFC 3339; `why` is the operator's sentence; `place` is where the replay stands, if any."""

    decision: Literal["replayed", "discarded"]
    by: str
    at: str
    why: str = ""
    place: str | None = None
    replay_id: str | None = None


_encode = Encoder().encode
_decode = Decoder(Decision).decode


def encode_decision(letter: Place, decision: Decision) -> tuple[bytes, bytes]:
    """Return (key, value) of a decision."""
    return str(letter).encode(), _encode(decision)


def decode_decision(key: bytes | None, value: bytes | None) -> tuple[Place, Decision | None] | None:
    """Return (id, decision, None when it was taken back), or None for what is no decision at all."""
    try:
        place = parse_place((key or b"").decode())
        return place, None if value is None else _decode(value)
    except (ValueError, DecodeError, ValidationError):
        return None
