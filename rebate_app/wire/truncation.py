"""Truncated copies of records that are too large to be copied whole.

A record that a compressing client sends may be many times larger than what its topic takes uncompressed, and
our producers do not compress. A copy that would not fit keeps the beginning of the value and of the key and
the first headers; its headers give the full sizes and the SHA-256 of the full value, and the place headers
lead to the whole record in its own topic. Whether a record is shortened depends on the record alone, so an
audit computes the same copy. Sizes are in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec import Struct

from .failure_headers import HEADERS_TRUNCATED, KEY_TRUNCATED, SHA256, TRUNCATED, Header
from .stages import RECORD_BYTES_MAX
from .topics import KEPT_BYTES_MAX

#: Room in a copy for the headers that we add and for the batch around it.
OUR_HEADERS_BYTES_MAX = 64 * 1_024
#: The largest record that dead-letter, parked and retry topics take whole.
COPIED_BYTES_MAX = KEPT_BYTES_MAX - OUR_HEADERS_BYTES_MAX
VALUE_KEPT_BYTES = 64 * 1_024
KEY_KEPT_BYTES = 1_024
HEADERS_KEPT_BYTES = 16 * 1_024
#: Overhead of a header besides its name and value, at most.
HEADER_BYTES = 10


class Truncated(Struct, frozen=True):
    """The parts of a record that a copy carries; `marks` are the headers that name what was cut."""

    key: bytes | None
    value: bytes | None
    headers: list[Header]
    marks: tuple[Header, ...] = ()


def record_bytes(key: bytes | None, value: bytes | None, headers: Iterable[Header]) -> int:
    """Return the uncompressed size of a record."""
    return len(key or b"") + len(value or b"") + headers_bytes(headers)


def headers_bytes(headers: Iterable[Header]) -> int:
    """Return the uncompressed size of headers."""
    return sum(HEADER_BYTES + len(name.encode("utf-8", "replace")) + len(raw or b"") for name, raw in headers)


def truncated(
    key: bytes | None, value: bytes | None, headers: Sequence[Header], bytes_max: int = COPIED_BYTES_MAX
) -> Truncated:
    """Return the record whole when a copy of it fits, else shortened."""
    if record_bytes(key, value, headers) <= bytes_max:
        return Truncated(key, value, list(headers))
    whole = value or b""
    marks = [(TRUNCATED, b"%d" % len(whole)), (SHA256, sha256(whole).hexdigest().encode())]
    if key is not None and len(key) > KEY_KEPT_BYTES:
        marks.append((KEY_TRUNCATED, b"%d" % len(key)))
        key = key[:KEY_KEPT_BYTES]
    if (size := headers_bytes(headers)) > HEADERS_KEPT_BYTES:
        marks.append((HEADERS_TRUNCATED, b"%d" % size))
    value = None if value is None else value[:VALUE_KEPT_BYTES]
    return Truncated(key, value, _first_headers(headers), tuple(marks))


def event_key(key: bytes | None) -> bytes | None:
    """Return the key of an event about a record: shortened when `rebate-events` would refuse it."""
    return key if key is None or len(key) <= RECORD_BYTES_MAX else key[:KEY_KEPT_BYTES]


def _first_headers(headers: Sequence[Header]) -> list[Header]:
    kept: list[Header] = []
    room = HEADERS_KEPT_BYTES
    for header in headers:
        room -= headers_bytes([header])
        if room < 0:
            break
        kept.append(header)
    return kept
