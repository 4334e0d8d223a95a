"""Records of `rebate-channels`: whether payouts may be sent through a channel (docs/payouts.md#states).

Key: the channel's name. The last record holds; a channel without one is closed.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from .unreadable import UnreadableValueError, decode_with, shortened

SCHEMA: Final = "channel-state/1"
OPEN: Final = "open"
PAUSED: Final = "paused"
CLOSED: Final = "closed"
CHANNEL_STATES: Final = (OPEN, PAUSED, CLOSED)


class ChannelState(Struct, frozen=True):
    """A channel's state, who made it so, why, and when (ms since 1970)."""

    state: Literal["open", "paused", "closed"]
    by: str
    why: str
    at: int
    schema: str = SCHEMA


#: Of a channel that nobody has opened.
NEVER_OPENED: Final = ChannelState(CLOSED, "", "nobody has opened it", 0)
#: Of a channel whose record this version cannot read.
NOT_READABLE: Final = ChannelState(CLOSED, "", "its record cannot be read by this version", 0)

_encode = Encoder().encode
_decode = Decoder(ChannelState).decode


def encode_state(channel: str, state: ChannelState) -> tuple[bytes, bytes]:
    """Return (key, value)."""
    return channel.encode(), _encode(state)


def decode_state(key: bytes | None, value: bytes | None) -> tuple[str, ChannelState | None] | None:
    """Return (channel, state, None for a tombstone), None without a key; UnreadableValueError."""
    if key is None:
        return None
    channel = key.decode("utf-8", "replace")
    if value is None:
        return channel, None
    state = decode_with(_decode, value)
    if state.schema != SCHEMA:
        raise UnreadableValueError(f"its schema {shortened(state.schema)} is not known here")
    return channel, state
