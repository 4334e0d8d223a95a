"""Records that cannot be decoded: the exception that decoders raise, and the struct that names such a record.

Every decoder of bytes from Kafka is total: it returns a value or raises UnreadableValueError with one
sentence. Its caller adds place and remedy. `tests/wire/test_total_decoders.py` lists all decoders and feeds
each of them arbitrary bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from msgspec import MsgspecError, Struct

from .failure_headers import Place

T = TypeVar("T")

FAULT_CHARACTERS_MAX = 200
INT64_MAX = 2**63 - 1
#: What decoding raises on bytes from outside: bad JSON or shape, bad UTF-8, nesting beyond the call stack.
NOT_DECODABLE = (MsgspecError, ValueError, RecursionError)

_match_number = re.compile(r"[0-9]{1,18}").fullmatch
_match_timestamp = re.compile(r"-?[0-9]{1,18}").fullmatch


class UnreadableValueError(ValueError):
    """A key, value or header that this version cannot decode; the message is one sentence."""


class BadRecord(Struct, frozen=True):
    """A record that cannot be decoded: its place, what is wrong with it, what to do about it."""

    place: Place
    fault: str
    remedy: str

    def __str__(self) -> str:
        return f"the record at {self.place} cannot be read: {self.fault}; {self.remedy}"


SKIPPED_REMEDY = "it is skipped; find out who else writes to this topic"

#: Called with a record that decides nothing and is skipped.
Skip = Callable[[BadRecord], None]


def ignore_skipped(bad: BadRecord) -> None:
    """Skip a record without a trace: for commands, since workers and doctor report it."""
    del bad


def decode_with(decode: Callable[[bytes], T], value: bytes | None) -> T:
    """Return the decoded value; UnreadableValueError for null and for whatever `decode` refuses."""
    if value is None:
        raise UnreadableValueError("it has no value")
    try:
        return decode(value)
    except NOT_DECODABLE as error:
        raise UnreadableValueError(shortened(error)) from error


def utf8_text(raw: bytes | None, what: str) -> str:
    """Return bytes as text; UnreadableValueError, naming them as `what`, for null and for no UTF-8."""
    if raw is None:
        raise UnreadableValueError(f"it has no {what}")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise UnreadableValueError(f"its {what} is not UTF-8") from None


def parse_number(text: str) -> int:
    """Return the decimal number that a header holds, at most 18 digits; UnreadableValueError otherwise."""
    if _match_number(text) is None:
        raise UnreadableValueError(f"{shortened(repr(text))} is no number")
    return int(text)


def parse_timestamp(text: str) -> int:
    """Return the timestamp that a header holds; Kafka's own "none" is -1."""
    if _match_timestamp(text) is None:
        raise UnreadableValueError(f"{shortened(repr(text))} is no timestamp")
    return int(text)


def shortened(fault: object) -> str:
    """Return the text of a fault as one line of bounded length."""
    text = " ".join(str(fault).split())
    return text if len(text) <= FAULT_CHARACTERS_MAX else text[:FAULT_CHARACTERS_MAX] + "…"
