"""The app's own messages on the user log, `rebate-internal/1` (docs/spec/facts.md#internal-messages).

They carry the app's id and a format number; messages of another app are ignored.
"""

from __future__ import annotations

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from rebate_app.domain.messages import BonusTarget, Cursor, LineTarget, Message

SCHEMA = "rebate-internal/1"
PREFIX = f'{{"schema":"{SCHEMA}",'.encode()  # our encoder writes members in order

#: The last member: without it a message is as older versions wrote it.
_MOMENT = b',"at":'
_MOMENT_BYTES_MAX = 32


class _Envelope(Struct, frozen=True):
    schema: str
    app: str
    format: int
    kind: str
    line: LineTarget | None = None
    bonus: BonusTarget | None = None
    cursor: Cursor | None = None


class _LineEnvelope(Struct, frozen=True, gc=False):
    schema: str
    app: str
    format: int
    kind: str
    line: LineTarget


class _BonusEnvelope(Struct, frozen=True, gc=False):
    schema: str
    app: str
    format: int
    kind: str
    bonus: BonusTarget


class _CursorEnvelope(Struct, frozen=True, gc=False):
    schema: str
    app: str
    format: int
    kind: str
    cursor: Cursor


_encode = Encoder().encode
_decode = Decoder(_Envelope).decode


class _App(Struct, frozen=True):
    app: str
    schema: str = ""


_decode_app = Decoder(_App).decode


class ForeignMessageError(ValueError):
    """The value begins like an internal message, and this version cannot decode it."""


def is_internal(value: bytes | None) -> bool:
    """Return whether the value is an internal message, of whatever app."""
    return value is not None and value.startswith(PREFIX)


def without_moment(value: bytes) -> bytes:
    """Return one of our messages without the network's moment, as older versions wrote it."""
    at = value.rfind(_MOMENT, max(len(value) - _MOMENT_BYTES_MAX, 0))
    return value if at < 0 else value[:at] + b"}}"


def app_of(value: bytes) -> str | None:
    """Return the app of an internal message, None when it names none."""
    try:
        return _decode_app(value).app
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError):
        return None


def is_foreign(value: bytes | None, app: str) -> bool:
    """Return whether the value is an internal message of another app, in whatever spelling and format."""
    try:
        header = _decode_app(value or b"")
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError):
        return False
    return header.schema == SCHEMA and header.app != app


def encode_message(message: Message, app: str) -> tuple[bytes, bytes]:
    """Return (key, value) of a message for the user log."""
    key = message.to.encode()
    if isinstance(message, LineTarget):
        return key, _encode(_LineEnvelope(SCHEMA, app, 1, "line", message))
    if isinstance(message, BonusTarget):
        return key, _encode(_BonusEnvelope(SCHEMA, app, 1, "bonus", message))
    return key, _encode(_CursorEnvelope(SCHEMA, app, 1, "cursor", message))


def decode_message(value: bytes, app: str) -> Message | None:
    """Return the message, None for another app's; ForeignMessageError when it cannot be decoded."""
    try:
        envelope = _decode(value)
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError) as error:
        if is_foreign(value, app):
            return None
        raise ForeignMessageError(str(error)) from error
    if envelope.app != app:
        return None
    message = envelope.line or envelope.bonus or envelope.cursor
    if message is None or envelope.format != 1:
        raise ForeignMessageError(f"kind {envelope.kind!r}, format {envelope.format} is not known here")
    return message
