"""The connections of one worker's web server: how many there are, and which has been idle longest."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from rebate_app.metrics.catalogue import HTTP_CLOSED, HTTP_CONNECTIONS
from rebate_app.metrics.registry import MetricsRegistry, Sample


class Closed(StrEnum):
    """Why the worker closed a connection on its own account."""

    IDLE_TIMEOUT = "idle-timeout"
    READ_TIMEOUT = "read-timeout"
    WRITE_TIMEOUT = "write-timeout"
    EVICTED = "evicted"
    TOO_MANY_CONNECTIONS = "too-many-connections"


class Evictable(Protocol):
    """A connection that can be closed at once."""

    def evict(self) -> None:
        """Close the connection, on which no request is under way."""
        ...


C = TypeVar("C", bound=Evictable)


class Connections(Generic[C]):
    """At most `connections_max` connections; a new one takes the place of the one idle longest."""

    def __init__(self, connections_max: int, metrics: MetricsRegistry) -> None:
        self._connections_max = connections_max
        self._metrics = metrics
        self._open: set[C] = set()
        self._idle: dict[C, None] = {}  # in the order in which they became idle
        metrics.read_from(self.samples)

    def admit(self, connection: C) -> bool:
        """Take up a new connection, idle so far; return False when there is no place for it."""
        if len(self._open) >= self._connections_max:
            longest = next(iter(self._idle), None)
            if longest is None:
                return False
            self.release(longest)
            self.count_closed(Closed.EVICTED)
            longest.evict()
        self._open.add(connection)
        self._idle[connection] = None
        return True

    def busy(self, connection: C) -> None:
        """Note that a request has begun to arrive."""
        self._idle.pop(connection, None)

    def idle(self, connection: C) -> None:
        """Note that all requests are answered, and no other has begun to arrive since `busy`."""
        if connection in self._open:
            self._idle[connection] = None

    def release(self, connection: C) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def count_closed(self, reason: Closed) -> None:
        """Count a connection that the worker closes."""
        self._metrics.add(HTTP_CLOSED, (reason.value,))

    def samples(self) -> Iterator[Sample]:
        """Yield how many connections there are."""
        yield Sample(HTTP_CONNECTIONS, ("idle",), len(self._idle))
        yield Sample(HTTP_CONNECTIONS, ("busy",), len(self._open) - len(self._idle))
