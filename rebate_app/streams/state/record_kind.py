"""One kind of record of a table: how its keys are made, and how its values are decoded.

A key is plain text: the kind's prefix, then ids, separated by spaces. UnreadableStateError is raised for a
value that is none of the kind.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec.json import Decoder

from rebate_app.wire.unreadable import NOT_DECODABLE, shortened

from ..errors import UnreadableStateError
from .store import Readable

R = TypeVar("R")


class RecordKind(Generic[R]):
    """A key prefix ("" for none) and the type of the values."""

    __slots__ = ("_decode", "_prefix", "prefix")

    def __init__(self, prefix: str, record_type: type[R]) -> None:
        self._prefix = prefix + " " if prefix else ""
        self.prefix = self._prefix.encode()
        self._decode = Decoder(record_type).decode

    def key(self, about: str | int, part: str | int | None = None) -> bytes:
        """Return the record's key; no id contains a space."""
        if part is None:
            return f"{self._prefix}{about}".encode()
        return f"{self._prefix}{about} {part}".encode()

    def decode(self, value: bytes, key: bytes) -> R:
        """Return the record that a value holds; UnreadableStateError when it is none of this kind."""
        try:
            return self._decode(value)
        except NOT_DECODABLE as error:
            raise UnreadableStateError(key, shortened(error)) from error

    def read(self, store: Readable, key: bytes) -> R | None:
        """Return the record under the key, None when there is none; UnreadableStateError as `decode`."""
        value = store.get(key)
        return None if value is None else self.decode(value, key)
