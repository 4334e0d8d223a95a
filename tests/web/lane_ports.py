"""The web room's ports on a lane made of lists: time, ownership and sending, moved by hand."""

from __future__ import annotations

from collections.abc import Sequence

from rebate_app.web.ports import Assignment, BrokerAwayError, Local, Nobody, Place, Remote, Restoring
from tests.list_lane import ACCOUNTS, LINES, ListLane

from .facts import us

NOW = "2026-02-01T00:00:00+08:00"
STAGES = {"lines": LINES, "accounts": ACCOUNTS}


class Clock:
    """A wall clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = us(NOW)

    def __call__(self) -> int:
        """Return the moment in µs."""
        return self.now


class LanePlacement:
    """Who owns which partition, as the test says; what nobody was given is here."""

    def __init__(self, lane: ListLane) -> None:
        self.partitions = lane.partitions
        self.elsewhere: dict[tuple[str, int], Remote | Nobody] = {}
        self.stale = False
        self.keeps = False  # old records of everything that is elsewhere
        self.generation = 1
        self.members: dict[str, dict[str, list[int]]] = {}
        self.restoring: list[Restoring] = []
        self.halt: tuple[str, str] | None = None
        self.ready = (True, "all partitions are being processed")
        self._lane = lane

    def partition_of(self, key: str) -> int:
        """Return the partition of a log key."""
        return self._lane.partition_of(key)

    def line_place(self, partition: int) -> Place:
        """Return who has the order lines of that partition."""
        return self._place("lines", partition)

    def account_place(self, partition: int) -> Place:
        """Return who has the accounts of that partition."""
        return self._place("accounts", partition)

    def kept_line_place(self, partition: int) -> Local | None:
        """Return what the test lets this worker keep of what others own."""
        return self._local("lines", partition, stale=True) if self.keeps else None

    def kept_account_place(self, partition: int) -> Local | None:
        """Return what the test lets this worker keep of what others own."""
        return self._local("accounts", partition, stale=True) if self.keeps else None

    def halted(self) -> tuple[str, str] | None:
        """Return what the test says."""
        return self.halt

    def readiness(self) -> tuple[bool, str]:
        """Return what the test says."""
        return self.ready

    def assignment(self) -> Assignment:
        """Return what the test says."""
        return Assignment(self.generation, self.members, self.restoring)

    def _place(self, table: str, partition: int) -> Place:
        away = self.elsewhere.get((table, partition))
        return self._local(table, partition, stale=self.stale) if away is None else away

    def _local(self, table: str, partition: int, *, stale: bool) -> Local:
        stage = STAGES[table]
        source = self._lane.stages[stage].source
        done = self._lane.done[stage, partition]
        waiting = len(self._lane.log(source, partition)) - done
        store = self._lane.stores[stage, partition]
        return Local(store, source, partition, done - 1, waiting, stale)


class LaneSender:
    """Puts records on the lane's logs; they wait there unless `processes`."""

    def __init__(self, lane: ListLane, clock: Clock) -> None:
        self._lane = lane
        self._clock = clock
        self.away = False
        self.behind_us = 0  # how much the broker's clock is behind
        self.processes = True
        self.sent = 0

    async def send(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
        """Send (key, value) pairs; return (partition, offset) of each."""
        if self.away:
            raise BrokerAwayError("no broker answers")
        at = self._clock() - self.behind_us
        sent = [self._lane.send(topic, key, value, at) for key, value in records]
        self.sent += len(sent)
        if self.processes:
            self._lane.run()
        return [(record.partition, record.offset) for record in sent]
