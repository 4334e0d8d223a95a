"""What the lane needs to know of a stage: its topics, and how one chunk is worked on.

Agents, domain and tables know only records, the overlay and the outbox, never the transaction: so
the lane can be exchanged below them, and the same stages run in tests on a lane made of lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .outbox import Outbox
from .store import Overlay, Store


class Record(Protocol):
    """A Kafka record as it was read; `timestamp` in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Session(Protocol):
    """The work on one chunk."""

    def take(self, record: Record) -> None:
        """Take one record; what it changes and sends is collected. An exception is a bug of ours."""
        ...

    def finish(self) -> None:
        """Write what was collected to the overlay."""
        ...


class Stage(Protocol):
    """One stage of the stream: a source topic and the table that it keeps."""

    @property
    def name(self) -> str:
        """Return the agent's name."""
        ...

    @property
    def source(self) -> str:
        """Return the topic that is read."""
        ...

    @property
    def changelog(self) -> str:
        """Return the topic that the table's records are kept in."""
        ...

    def session(self, overlay: Overlay, outbox: Outbox) -> Session:
        """Return the work on one chunk."""
        ...

    def unfinished(self, store: Store) -> int:
        """Return how much work the partition has sent itself and not yet done (0 for none)."""
        ...
