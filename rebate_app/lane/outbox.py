"""What a chunk sends: collected while it is computed, sent in the chunk's transaction."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rebate_app.metrics.catalogue import Metric

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
    """The records of one chunk, in order, and what it counts; both hold once the chunk is committed.

    `refused`: how many records had which reason; `counted`: by metric and label values.
    """

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.refused: dict[str, int] = {}
        self.counted: dict[tuple[Metric, tuple[str, ...]], int] = {}

    def send(self, topic: str, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Add a record that goes to the partition of its key."""
        self.records.append(Outgoing(topic, key, value, timestamp_ms))

    def send_raw(self, record: Outgoing) -> None:
        """Add a record as it is."""
        self.records.append(record)

    def refuse(self, dead_letter: Outgoing, reason: str) -> None:
        """Add a dead letter, which keeps its origin's partition, and count its reason."""
        self.records.append(dead_letter)
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def count(self, counted: Mapping[tuple[Metric, tuple[str, ...]], int]) -> None:
        """Add to what is counted."""
        for name, number in counted.items():
            self.counted[name] = self.counted.get(name, 0) + number
