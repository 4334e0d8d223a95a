"""Resumptions of halted partitions: records of the topic of operators' decisions.

The key names app and partition, the last record holds. It is no place of a dead letter, so readers of
decisions skip it.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from .decisions import RESUMPTION_KEY_PREFIX
from .unreadable import INT64_MAX, UnreadableValueError, decode_with, utf8_text


class Resumption(Struct, frozen=True):
    """Limits do not halt the partition at records up to offset `through`; after them counting begins anew.

    `at` is RFC 3339, `why` the operator's reason.
    """

    through: int
    by: str
    at: str
    why: str = ""


_encode = Encoder().encode
_decode = Decoder(Resumption).decode


def encode_resumption(scope: str, topic: str, partition: int, resumption: Resumption) -> tuple[bytes, bytes]:
    """Return (key, value) of a resumption of one app's partition."""
    return f"{RESUMPTION_KEY_PREFIX}{scope} {topic}/{partition}".encode(), _encode(resumption)


def decode_resumption(
    scope: str, key: bytes | None, value: bytes | None
) -> tuple[tuple[str, int], Resumption | None] | None:
    """Return ((topic, partition), resumption, None for a tombstone); None for what is not this app's.

    UnreadableValueError for a resumption of this app that cannot be read.
    """
    own = f"{RESUMPTION_KEY_PREFIX}{scope} ".encode()
    if key is None or not key.startswith(own):
        return None
    topic, _, number = utf8_text(key[len(own) :], "key").rpartition("/")
    if not topic or not number.isascii() or not number.isdigit():
        raise UnreadableValueError("its key names no partition")
    if value is None:
        return (topic, int(number)), None
    resumption = decode_with(_decode, value)
    if not 0 <= resumption.through <= INT64_MAX:
        raise UnreadableValueError("its offset is none of a log")
    return (topic, int(number)), resumption
