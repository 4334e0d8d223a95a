"""Cursors: where a list continues, as opaque text.

A cursor holds numbers of records that never change, or a key of a list in key order, so it is stable under
change. It is bound to its list
(route and subject), has one spelling only, and its numbers are within int64; each list checks besides that
the place exists. A cursor that the list did not return is refused, never skipped over
(docs/spec/http.md#lists). Its check is no signature, since workers share no secret: a computed cursor for an
existing place gives that page.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from .problems import ProblemError

_CHECK_BYTES = 6
_LENGTH_MAX = 128
_KEY_CURSOR_LENGTH_MAX = 320  # of a partition, a moment, a user id and an id of the user

_NUMBER = rb"(?:0|[1-9][0-9]{0,17})"  # below 10^18, so within int64
_match_numbers = re.compile(rb"%b(?:\.%b)*" % (_NUMBER, _NUMBER)).fullmatch


def make_cursor(of_list: str, *numbers: int) -> str:
    """Return the cursor of a list that continues at these numbers, each ≥ 0 and one of them > 0."""
    raw = ".".join(map(str, numbers)).encode()
    return _encode(_check(of_list, raw) + raw)


def read_cursor(of_list: str, text: str | None, count: int) -> tuple[int, ...] | None:
    """Return the numbers of a cursor, None without one; ProblemError `invalid-cursor`."""
    if text is None:
        return None
    numbers = _numbers(of_list, text)
    if len(numbers) != count or not any(numbers):  # a list begins without a cursor
        raise invalid_cursor()
    return numbers


def make_key_cursor(of_list: str, partition: int, key: str) -> str:
    """Return the cursor of a list that continues in a partition after a key."""
    raw = f"{partition} {key}".encode()
    return _encode(_check(of_list, raw) + raw)


def read_key_cursor(of_list: str, text: str | None) -> tuple[int, str] | None:
    """Return (partition, key) of a cursor, None without one; ProblemError `invalid-cursor`."""
    if text is None:
        return None
    partition, space, key = _raw(of_list, text, _KEY_CURSOR_LENGTH_MAX).partition(b" ")
    if not space or _match_numbers(partition) is None or b"." in partition:
        raise invalid_cursor()
    try:
        return int(partition), key.decode()
    except UnicodeDecodeError:
        raise invalid_cursor() from None


def invalid_cursor() -> ProblemError:
    """Return the problem of a cursor that its list did not give."""
    return ProblemError("invalid-cursor", "give back next_cursor of the same list, unchanged")


def _numbers(of_list: str, text: str) -> tuple[int, ...]:
    """Return the numbers of a cursor, none when it is not this list's or is spelled in another way."""
    raw = _raw(of_list, text, _LENGTH_MAX)
    return tuple(map(int, raw.split(b"."))) if _match_numbers(raw) else ()


def _raw(of_list: str, text: str, length_max: int) -> bytes:
    """Return what a cursor of this list holds, nothing of any other text."""
    if len(text) > length_max:
        return b""
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        return b""
    check, raw = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    return raw if _encode(data) == text and check == _check(of_list, raw) else b""


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _check(of_list: str, raw: bytes) -> bytes:
    return blake2b(raw, digest_size=_CHECK_BYTES, key=blake2b(of_list.encode()).digest()).digest()
