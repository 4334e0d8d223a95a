"""Reads a partition of the payees' topic: to its end, and on from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition

from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.log_reader import SpanReader, whole_spans

#: Key, and sealed value or None for a tombstone.
SealedPayee = tuple[bytes, bytes | None]


class PayeeReader:
    """One reading of a partition, with a consumer of SPAN_OPTIONS that is started."""

    def __init__(self, consumer: AIOKafkaConsumer, spot: TopicPartition) -> None:
        self._consumer = consumer
        self._spot = spot
        self._position = 0

    async def read_on(self) -> list[SealedPayee]:
        """Return what was committed since the last reading and before the end of now, in order."""
        ((begin, end),) = (await whole_spans(self._consumer, [self._spot])).values()
        reader = SpanReader(self._consumer, {self._spot: (max(begin, self._position), end)})
        found: list[SealedPayee] = []
        while reader.waiting:
            for records in (await reader.poll()).values():
                found += _sealed(records)
        self._position = reader.positions[self._spot]
        return found


def _sealed(records: Sequence[Any]) -> list[SealedPayee]:
    return [(record.key or b"", record.value) for record in records]
