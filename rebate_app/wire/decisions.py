"""Decisions about dead letters: records of the control topic `rebate-dlq-decisions`.

The key is the id of the dead letter; the last record holds. A dead letter without a decision is open. Webhook
switches (rebate_app/webhooks/switch.py) and resumptions of halted partitions (resumptions.py) are in the same
topic under keys of their own.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from .failure_headers import Place, parse_place
from .unreadable import UnreadableValueError, decode_with, shortened, utf8_text

SWITCH_KEY_PREFIX = "webhooks "
RESUMPTION_KEY_PREFIX = "resume "

REPLAYED: Literal["replayed"] = "replayed"
DISCARDED: Literal["discarded"] = "discarded"


class Decision(Struct, frozen=True):
    """`at` is RFC 3339; `why` is the operator's reason; `place` is the place of the replay, if any."""

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
    """Return (id, decision, None for a tombstone), or None for a webhook switch or a resumption.

    UnreadableValueError for everything else.
    """
    text = utf8_text(key, "key")
    if text.startswith((SWITCH_KEY_PREFIX, RESUMPTION_KEY_PREFIX)):
        return None
    try:
        place = parse_place(text)
    except ValueError as error:
        raise UnreadableValueError(shortened(error)) from error
    return place, None if value is None else decode_with(_decode, value)
