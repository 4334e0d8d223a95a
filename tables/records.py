"""Typed records over an overlay: decoded once, encoded once a chunk, written only if changed."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec.json import Decoder, Encoder

from rebate_app.lane.store import Overlay, Readable

R = TypeVar("R")

encode = Encoder().encode


class RecordKind(Generic[R]):
    """One kind of record: its key prefix and its type. Keys are plain text: prefix, then ids, by spaces."""

    __slots__ = ("_decode", "_prefix")

    def __init__(self, prefix: str, record_type: type[R]) -> None:
        self._prefix = prefix + " " if prefix else ""
        self._decode = Decoder(record_type).decode

    def key(self, about: str | int, part: str | int | None = None) -> bytes:
        """Return the record's key; no id contains a space."""
        if part is None:
            return f"{self._prefix}{about}".encode()
        return f"{self._prefix}{about} {part}".encode()

    def decode(self, value: bytes) -> R:
        """Return the record that a value holds."""
        return self._decode(value)

    def read(self, store: Readable, key: bytes) -> R | None:
        """Return the record under the key, None when there is none."""
        value = store.get(key)
        return None if value is None else self._decode(value)


class ChunkRecords:
    """The records that a chunk has touched, decoded; `flush` writes those that changed to the overlay."""

    __slots__ = ("_changed", "_known", "_loaded", "_overlay")

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._loaded: dict[bytes, object] = {}
        self._known: dict[bytes, bytes] = {}  # how a loaded record is stored: asking again costs a read
        self._changed: dict[bytes, None] = {}  # a set that keeps its order, so that chunks are repeatable

    def get(self, kind: RecordKind[R], key: bytes) -> R | None:
        """Return the record, allowed to be changed in place, None when there is none."""
        self._changed[key] = None
        return self.look(kind, key)

    def look(self, kind: RecordKind[R], key: bytes) -> R | None:
        """Return the record, None when there is none; whoever changes it in place has to `note` it."""
        loaded = self._loaded.get(key)
        if loaded is None:
            loaded = self._load(kind, key)
        return loaded  # type: ignore[return-value]

    def _load(self, kind: RecordKind[R], key: bytes) -> object | None:
        overlay = self._overlay
        touched = overlay.decoded.pop(key, None) or overlay.warm.records.pop(key)
        if touched is None:
            value = overlay.get(key)
            if value is None:
                return None
            touched = kind.decode(value), value
        self._loaded[key], self._known[key] = touched
        return touched[0]

    def note(self, key: bytes) -> None:
        """Note that a record which was looked at has been changed."""
        self._changed[key] = None

    def add(self, key: bytes, record: object) -> None:
        """Keep a record that is new in this chunk."""
        self._loaded[key] = record
        self._changed[key] = None

    def put(self, key: bytes, record: object) -> None:
        """Write a record that nobody will ask for in this chunk or change again."""
        self._overlay.put(key, encode(record))

    def flush(self) -> None:
        """Encode what was changed or added, and hand on what differs from what is stored."""
        put, loaded, known = self._overlay.put, self._loaded, self._known
        for key in self._changed:
            if key in loaded:
                value = encode(loaded[key])
                if value != known.get(key):
                    put(key, value)
                    known[key] = value
        self._overlay.decoded.update({key: (record, known[key]) for key, record in loaded.items()})
        self._loaded, self._known = {}, {}
        self._changed.clear()
