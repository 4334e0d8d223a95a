"""Control messages of a source topic: `control.release` and `control.cursor`.

See docs/spec/facts.md#internal-messages. They have the parked key, so they are in order with everything that
concerns it. Like all internal messages they carry the app's id; those of another app are ignored.
"""

from __future__ import annotations

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from .internal import SCHEMA

RELEASE = "control.release"
CURSOR = "control.cursor"
SKIPPED_MAX = 1_000


class Control(Struct, frozen=True):
    """A command about the parked key that is the record's key.

    `control.release`: fold the waiting records but those that were discarded (`skip`, offsets).
    `control.cursor`: the owner's message to itself to go on with the release at offset `release`.
    """

    schema: str
    app: str
    format: int
    kind: str
    by: str = ""
    skip: list[int] = []
    release: int = -1


_encode = Encoder().encode
_decode = Decoder(Control).decode


def control_prefix(app: str) -> bytes:
    """Return the bytes that every control message of the app begins with; members are written in order."""
    return _encode(Control(SCHEMA, app, 1, "")).partition(b'"kind":"')[0] + b'"kind":"control.'


def encode_release(app: str, by: str, skip: list[int]) -> bytes:
    """Return a `control.release`."""
    return _encode(Control(SCHEMA, app, 1, RELEASE, by=by, skip=skip))


def encode_cursor(app: str, release: int) -> bytes:
    """Return a `control.cursor` of the release at that offset."""
    return _encode(Control(SCHEMA, app, 1, CURSOR, release=release))


def decode_control(value: bytes) -> Control | None:
    """Return the control message, None for one that cannot be decoded."""
    try:
        return _decode(value)
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError):
        return None
