"""What the web room needs from the worker around it: ports, implemented by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from rebate_app.dead_letters.rehearsal import Rehearsal
from rebate_app.lane.connection import BrokerAwayError  # raised by Sender: 503 + Retry-After
from rebate_app.lane.stage import Record
from rebate_app.lane.store import Readable

__all__ = [
    "Assignment",
    "BrokerAwayError",
    "Clock",
    "Local",
    "Nobody",
    "Place",
    "Placement",
    "Rehearse",
    "Remote",
    "Restoring",
    "Sender",
]


class Local(Struct, frozen=True):
    """The worker that was asked may answer: the partition's committed records and up to where they hold.

    `offset` is the last source offset that they hold (-1: none yet), `lag` 0 when a read_committed
    reader would find nothing after it. `stale`: a standby's or kept store's records.
    """

    store: Readable
    topic: str
    partition: int
    offset: int
    lag: int
    stale: bool = False


class Remote(Struct, frozen=True):
    """Another worker owns it."""

    url: str


class Nobody(Struct, frozen=True):
    """Nobody who may answer can, for now: 503 `not-ready` with Retry-After."""

    reason: str
    retry_after_s: int = 1


Place = Local | Remote | Nobody


class Restoring(Struct, frozen=True):
    """A partition of ours that is being opened: its changelog was read up to `position` of `end`."""

    topic: str
    partition: int
    position: int
    end: int


class Assignment(Struct, frozen=True):
    """The group's last assignment as this worker knows it: source partitions by worker's URL and topic."""

    generation: int
    members: Mapping[str, Mapping[str, list[int]]]
    restoring: list[Restoring]


class Placement(Protocol):
    """Who owns which partition, as the consumer group's last assignment says."""

    partitions: int

    def partition_of(self, key: str) -> int:
        """Return the partition of a log key: murmur2, as Kafka's default partitioner."""
        ...

    def line_place(self, partition: int) -> Place:
        """Return who has the order lines of that partition of `order_topic`."""
        ...

    def account_place(self, partition: int) -> Place:
        """Return who has the accounts of that partition of the user log."""
        ...

    def kept_line_place(self, partition: int) -> Local | None:
        """Return records that may be old (a standby's, or kept over a rebalance), None without any."""
        ...

    def kept_account_place(self, partition: int) -> Local | None:
        """Return records that may be old (a standby's, or kept over a rebalance), None without any."""
        ...

    def readiness(self) -> tuple[bool, str]:
        """Return (ready, reason): joined, and every assigned partition restored and being processed."""
        ...

    def halted(self) -> tuple[str, str] | None:
        """Return (code, reason) of the limit that ends this worker, None while there is none."""
        ...

    def assignment(self) -> Assignment:
        """Return the group's last assignment, empty before this worker has joined."""
        ...


class Sender(Protocol):
    """Sends records that are acknowledged by all in-sync replicas before it returns."""

    async def send(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
        """Send (key, value) pairs; return (partition, offset) of each. BrokerAwayError when it cannot."""
        ...


Clock = Callable[[], int]  # microseconds since 1970-01-01T00:00:00Z
#: What today's code would make of a record of a source, over committed records; nothing is written.
Rehearse = Callable[[str, Readable, Record], Rehearsal]
