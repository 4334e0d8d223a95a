"""Collects the outgoing records of a batch, which its transaction sends."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rebate_app.metrics.catalogue import Metric

Headers = tuple[tuple[str, bytes], ...]


class OutgoingRecord(Struct, frozen=True, gc=False):
    """One record to send; `partition` None: by murmur2 of the key; `timestamp_ms` of the input record."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()
    partition: int | None = None


class RecordCollector:
    """The outgoing records of one batch, in order, and its counters; both take effect when it is committed.

    `refused`: number of refused records by reason; `counted`: counters by metric and label values.
    """

    def __init__(self) -> None:
        self.records: list[OutgoingRecord] = []
        self.refused: dict[str, int] = {}
        self.counted: dict[tuple[Metric, tuple[str, ...]], int] = {}

    def send(self, topic: str, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Add a record for the partition of its key."""
        self.records.append(OutgoingRecord(topic, key, value, timestamp_ms))

    def send_raw(self, record: OutgoingRecord) -> None:
        """Add a record unchanged."""
        self.records.append(record)

    def refuse(self, dead_letter: OutgoingRecord, reason: str) -> None:
        """Add a dead letter, which keeps the partition of its origin, and count its reason."""
        self.records.append(dead_letter)
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def count(self, counted: Mapping[tuple[Metric, tuple[str, ...]], int]) -> None:
        """Add to the counters."""
        for name, number in counted.items():
            self.counted[name] = self.counted.get(name, 0) + number
