"""The web room's ports on a stream made of lists: time, ownership and sending, moved by hand."""

from __future__ import annotations

from collections.abc import Sequence

from rebate_app.audit_trail.reader import TrailFilter, TrailPage
from rebate_app.audit_trail.service import OrderSummaries
from rebate_app.streams.kafka.log_reader import NoSuchPlaceError
from rebate_app.web.routing.ports import (
    Assignment,
    BrokerAwayError,
    Halted,
    Local,
    Nobody,
    Place,
    Remote,
    Restoring,
)
from rebate_app.web.trail import RequestTrail
from rebate_app.wire.audit_trail import Requester, TrailRecord, decode_trail, encode_trail
from rebate_app.wire.failure_headers import Header
from tests.topology_driver import ACCOUNTS, LINES, TopologyDriver
from tests.web.facts import us

NOW = "2026-02-01T00:00:00+08:00"
STAGES = {"lines": LINES, "accounts": ACCOUNTS}


ANYBODY = Requester("anonymous")


class Clock:
    """A wall clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = us(NOW)

    def __call__(self) -> int:
        """Return the moment in µs."""
        return self.now


class GroupPlacement:
    """Who owns which partition, as the test says; what nobody was given is here."""

    def __init__(self, stream: TopologyDriver) -> None:
        self.partitions = stream.partitions
        self.elsewhere: dict[tuple[str, int], Remote | Nobody] = {}
        self.stale = False
        self.keeps = False  # old records of everything that is elsewhere
        self.generation = 1
        self.members: dict[str, dict[str, list[int]]] = {}
        self.instances: dict[str, str] = {}
        self.restoring: list[Restoring] = []
        self.halts: list[Halted] = []
        self.marked = ""
        self.ready = (True, "all partitions are being processed")
        self._stream = stream

    def partition_of(self, key: str) -> int:
        """Return the partition of a log key."""
        return self._stream.partition_of(key)

    def place(self, records: str, partition: int) -> Place:
        """Return who owns that partition of a stage."""
        away = self.elsewhere.get((records, partition))
        return self._local(records, partition, stale=self.stale) if away is None else away

    def kept_place(self, records: str, partition: int) -> Local | None:
        """Return what the test lets this worker keep of what others own."""
        return self._local(records, partition, stale=True) if self.keeps else None

    def halted(self) -> list[Halted]:
        """Return what the test has set."""
        return self.halts

    def readiness(self) -> tuple[bool, str]:
        """Return what the test has set."""
        return self.ready

    def assignment(self) -> Assignment:
        """Return what the test has set."""
        return Assignment(self.generation, self.members, self.restoring, instances=self.instances)

    def _local(self, table: str, partition: int, *, stale: bool) -> Local:
        stage = STAGES[table]
        source = self._stream.stages[stage].source
        done = self._stream.done[stage, partition]
        waiting = len(self._stream.log(source, partition)) - done
        store = self._stream.stores[stage, partition]
        return Local(store, source, partition, done - 1, waiting, stale, halted=self.marked)


class StreamSender:
    """Puts records on the engine's logs; they wait there unless `processes`."""

    def __init__(self, stream: TopologyDriver, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self.away = False
        self.behind_us = 0  # how much the broker's clock is behind
        self.processes = True
        self.sent = 0
        self.headers: list[tuple[Header, ...]] = []  # of each record

    async def send(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Sequence[Header] = ()
    ) -> list[tuple[int, int]]:
        """Send (key, value) pairs; return (partition, offset) of each."""
        if self.away:
            raise BrokerAwayError("no broker answers")
        self.headers += [tuple(headers)] * len(records)
        at = self._clock() - self.behind_us
        sent = [self._stream.send(topic, key, value, at, headers=headers) for key, value in records]
        self.sent += len(sent)
        if self.processes:
            self._stream.run()
        return [(record.partition, record.offset) for record in sent]


class StreamTrail:
    """An audit trail in a list; what it writes with it goes to the sender."""

    def __init__(self, sender: StreamSender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock
        self.away = False
        self.records: list[TrailRecord] = []
        self.writes: list[tuple[int, int]] = []  # of each write: records of the trail, facts
        self.summaries = OrderSummaries(clock)

    async def write(
        self,
        trail: Sequence[TrailRecord],
        topic: str = "",
        records: Sequence[tuple[bytes, bytes]] = (),
        headers: Sequence[Header] = (),
    ) -> list[tuple[int, int]]:
        """Write both or nothing."""
        if self.away:
            raise BrokerAwayError("the trail cannot be written")
        sent = await self._sender.send(topic, records, headers) if records else []
        self.records += [decode_trail(encode_trail(record)[1]) for record in trail]
        self.writes.append((len(trail), len(records)))
        return sent

    def note_orders(self, actor: str, facts: int) -> None:
        """Count for the summary."""
        self.summaries.note(actor, facts)

    async def page(self, wanted: TrailFilter, before: int | None, limit: int) -> TrailPage:
        """Return a page of the list."""
        if before is not None and before > len(self.records):
            raise NoSuchPlaceError
        end = len(self.records) if before is None else before
        items: list[TrailRecord] = []
        for number in reversed(range(end)):
            if wanted.matches(self.records[number]):
                if len(items) == limit:
                    return TrailPage(items, number + 1)
                items.append(self.records[number])
        return TrailPage(items, None)

    def request(self, requester: Requester = ANYBODY) -> RequestTrail:
        """Return the trail of a request, for a handler that is called without a server."""
        return RequestTrail(self, self._clock, None, "test.post", None, requester, "", lambda: None)

    async def close(self) -> None:
        """Nothing to close."""
