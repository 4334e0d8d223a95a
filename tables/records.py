"""Typed records over an overlay: decoded once a chunk, encoded once a chunk, written only if changed."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec.json import Decoder, Encoder

from rebate_app.lane.store import Overlay, Readable

R = TypeVar("R")

_encoder = Encoder()


class RecordKind(Generic[R]):
    """One kind of record: its key prefix and its type. Keys are plain text: prefix, then ids, by spaces."""

    def __init__(self, prefix: str, record_type: type[R]) -> None:
        self._prefix = prefix + " " if prefix else ""
        self._decode = Decoder(record_type).decode

    def key(self, *parts: str | int) -> bytes:
        """Return the record's key; no id contains a space."""
        return (self._prefix + " ".join(map(str, parts))).encode()

    def read(self, store: Readable, key: bytes) -> R | None:
        """Return the record under the key, None when there is none."""
        value = store.get(key)
        return None if value is None else self._decode(value)


class ChunkRecords:
    """The records that a chunk has touched, decoded; `flush` writes those that changed to the overlay."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._loaded: dict[bytes, object] = {}

    def get(self, kind: RecordKind[R], key: bytes) -> R | None:
        """Return the record, allowed to be changed in place, None when there is none."""
        loaded = self._loaded.get(key)
        if loaded is None:
            loaded = kind.read(self._overlay, key)
            if loaded is not None:
                self._loaded[key] = loaded
        return loaded  # type: ignore[return-value]

    def add(self, key: bytes, record: object) -> None:
        """Keep a record that is new in this chunk."""
        self._loaded[key] = record

    def put(self, key: bytes, record: object) -> None:
        """Write a record that nobody will change again."""
        self._overlay.put(key, _encoder.encode(record))

    def flush(self) -> None:
        """Encode what was loaded or added, and hand on what differs from what is stored."""
        overlay = self._overlay
        for key, record in self._loaded.items():
            value = _encoder.encode(record)
            if value != overlay.get(key):
                overlay.put(key, value)
        self._loaded.clear()
