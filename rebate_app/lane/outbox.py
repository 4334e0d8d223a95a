"""What a chunk sends: collected while it is computed, sent in the chunk's transaction."""

from __future__ import annotations

from msgspec import Struct

Headers = tuple[tuple[str, bytes], ...]


class Outgoing(Struct, frozen=True, gc=False):
    """One record to send; `partition` None: by murmur2 of the key. `timestamp_ms` is the cause's own."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()
    partition: int | None = None


class Outbox:
    """The records of one chunk, in order."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []

    def send(self, topic: str, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Add a record that goes to the partition of its key."""
        self.records.append(Outgoing(topic, key, value, timestamp_ms))

    def send_raw(self, record: Outgoing) -> None:
        """Add a record as it is, such as a dead letter that keeps its origin's partition."""
        self.records.append(record)
