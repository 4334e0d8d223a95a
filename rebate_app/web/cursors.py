"""Cursors: where a list goes on, as opaque text.

Law: a cursor holds numbers of records that never change, so it is stable under change; one that this
very list did not give is refused (contracts.md 4). It is separate so that no list invents its own. The
check is no secret: it tells a mistake from a cursor, and there is nothing behind a forged one.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from .problems import ProblemError

_CHECK_BYTES = 6
_LENGTH_MAX = 128


def make_cursor(of_list: str, *numbers: int) -> str:
    """Return the cursor of a list that goes on at these numbers, each ≥ 0."""
    raw = ".".join(map(str, numbers)).encode()
    return urlsafe_b64encode(_check(of_list, raw) + raw).decode().rstrip("=")


def read_cursor(of_list: str, text: str | None, count: int) -> tuple[int, ...] | None:
    """Return the numbers of a cursor, None without one; ProblemError `invalid-cursor`."""
    if text is None:
        return None
    numbers = _numbers(of_list, text[:_LENGTH_MAX])
    if len(numbers) != count:
        raise ProblemError("invalid-cursor", "give back next_cursor of the same list, unchanged")
    return numbers


def _numbers(of_list: str, text: str) -> tuple[int, ...]:
    """Return the numbers of a cursor, none when it is not this list's."""
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        return ()
    check, raw = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    # What bears the check is text that was made here, so its parts are numbers.
    return tuple(map(int, raw.split(b"."))) if check == _check(of_list, raw) else ()


def _check(of_list: str, raw: bytes) -> bytes:
    return blake2b(raw, digest_size=_CHECK_BYTES, key=blake2b(of_list.encode()).digest()).digest()
