"""The interface of a stage: its topics, and how it processes one batch.

Stages see records, the state transaction and the record collector, never Kafka, so the same stages run in
tests and audits on streams that are lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rebate_app.wire.failure_headers import Place

from ..state.buffer import StateTransaction
from ..state.build import Build
from ..state.store import Store
from ..transaction.collector import RecordCollector


class Record(Protocol):
    """A record as read from Kafka; `timestamp` in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def place_of(record: Record) -> Place:
    """Return the record's place."""
    return Place(record.topic, record.partition, record.offset)


class BatchProcessor(Protocol):
    """Processes one batch."""

    def take(self, record: Record) -> None:
        """Process one record; its changes and messages are collected. An exception is a bug of ours."""
        ...

    def finish(self) -> None:
        """Write collected changes to the state transaction."""
        ...


class Stage(Protocol):
    """One stage: a source topic and the table that it maintains."""

    @property
    def name(self) -> str:
        """Return the agent's name."""
        ...

    @property
    def source(self) -> str:
        """Return the source topic."""
        ...

    @property
    def changelog(self) -> str:
        """Return the changelog topic of the table."""
        ...

    def processor(self, transaction: StateTransaction, collector: RecordCollector) -> BatchProcessor:
        """Return a processor for one batch."""
        ...

    @property
    def builds(self) -> Sequence[Build]:
        """Return the kinds of records that stores of an older version get by a scan."""
        ...

    def unfinished(self, store: Store) -> int:
        """Return how many records the partition has sent to itself and not processed yet."""
        ...
