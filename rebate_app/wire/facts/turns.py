"""Records that end and begin an app's turn to decide and pay, in every partition of the user log.

See docs/spec/money-out.md#active-app. `payouts.ended` ends the turn of `app`; `payouts.activated` begins it.
`turn` names one activation, so that an app whose state is built anew does not take up a turn of its former
state: it has to be activated behind all that was decided before. Its part before the slash is the moment in
the record of `rebate-active`; an end has this part alone, since it ends that activation in every state.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from ..moments import MILLISECOND_US
from ..unreadable import UnreadableValueError, decode_with, shortened

ACTIVATED: Final = "payouts.activated"
ENDED: Final = "payouts.ended"
TURN_KINDS: Final = (ACTIVATED, ENDED)
FORMAT: Final = 1
#: No user id and no attribution id has this form.
KEY_PREFIX: Final = "payouts.activated:"
SEPARATOR: Final = "/"


class TurnFact(Struct, frozen=True):
    """An app's turn begins or ends in this partition; `at` in ms since 1970."""

    schema: str
    kind: str
    app: str
    topic_id: str
    format: int
    turn: str
    at: int


_encode = Encoder().encode
_decode = Decoder(TurnFact).decode


def encode_turn(kind: str, app: str, topic_id: str, turn: str, at_us: int) -> bytes:
    """Return the value of a record that begins or ends a turn."""
    return _encode(TurnFact("owner-fact/1", kind, app, topic_id, FORMAT, turn, at_us // MILLISECOND_US))


def decode_turn(value: bytes | None) -> TurnFact:
    """Return what the record states. UnreadableValueError: it cannot be read, and must not be skipped."""
    fact = decode_with(_decode, value)
    if fact.format != FORMAT:
        raise UnreadableValueError(f"its format {shortened(fact.format)} is not known here")
    return fact


def activation_of(turn: str) -> str:
    """Return which activation a turn belongs to: the moment in the record of `rebate-active`."""
    return turn.partition(SEPARATOR)[0]


def find_turn(key: bytes | None, value: bytes | None) -> TurnFact | None:
    """Return what a record of the user log states about turns, None for another one.

    UnreadableValueError: it is one of a version that is not known here.
    """
    if key is None or not key.startswith(KEY_PREFIX.encode()):
        return None
    fact = decode_turn(value)
    return fact if fact.kind in TURN_KINDS else None
