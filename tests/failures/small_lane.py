"""One partition around the guard, with work so plain that a model of it is a list per key.

The work keeps, for each key, the offsets of the records that it has folded. Keys can be broken: then the
fold changes its record in place, sends something, and raises, as the worst of bugs would.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.guarded import Desk, FailurePolicy, GuardedSession, KnownBugs
from agents.telling import Telling
from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.lane.failures import HaltError
from rebate_app.lane.outbox import Outbox, Outgoing
from rebate_app.lane.stage import Record
from rebate_app.lane.store import MemoryStore, Overlay
from rebate_app.wire.control import encode_release
from tables.parking import WATCH, WATCH_KEY, Parked, Tally, Watch, read_parked, read_tally
from tables.records import ChunkRecords, RecordKind
from tests.list_lane import LogRecord

APP, SOURCE, DLT, PARKED, DECISIONS, SENT = (
    "rebate",
    "source",
    "source-dlt",
    "source-parked",
    "decided",
    "sent",
)
FIRST = "first"
TOLD = "told"
EVENTS = "rebate-events"
FOLDED = RecordKind("f", list[int])
ENTRY = RecordKind("e", int)
USED = RecordKind("", str)
USED_KEY = b"used"
REFUSED = b"refuse me"
BUG = "the value of this exception must not be seen"


class PlainWork:
    """Folds a record by noting its offset under its key, and sends a message that says so."""

    def __init__(self, broken: set[bytes], overlay: Overlay, outbox: Outbox) -> None:
        self._broken = broken
        self._records = ChunkRecords(overlay)
        self._outbox = outbox
        self._used = False
        self._told: list[int] = []

    def take(self, record: Record) -> None:
        """Fold one record."""
        key = record.key or b""
        if record.value == REFUSED:
            raise RefusedError([Fault("unknown-kind", "kind", "it asks to be refused")])
        self._used = True
        name = FOLDED.key(key.decode())
        folded = self._records.get(FOLDED, name)
        if folded is None:
            folded = []
            self._records.add(name, folded)
        self._records.put(ENTRY.key(key.decode(), len(folded)), record.offset)  # at once, as ledgers are
        folded.append(record.offset)
        self._told.append(record.offset)
        self._outbox.send(SENT, key, b"%d" % record.offset, record.timestamp)
        if key in self._broken:
            raise ZeroDivisionError(BUG)

    def successor(self, overlay: Overlay, outbox: Outbox) -> PlainWork:
        """Return the work that goes on, with the offsets that are told at the chunk's end."""
        after = PlainWork(self._broken, overlay, outbox)
        after._told = list(self._told)
        return after

    def conclude(self) -> None:
        """Tell, once a chunk, what was folded."""
        if self._told:
            self._outbox.send(TOLD, b"", " ".join(map(str, self._told)).encode(), 0)

    def finish(self) -> None:
        """Write what was folded; the first time, say so."""
        if self._used and self._records.get(USED, USED_KEY) is None:
            self._records.put(USED_KEY, "yes")
            self._outbox.send(FIRST, b"", b"", 0)
        self._records.flush()


class SmallLane:
    """A source of one partition, and what becomes of its records."""

    def __init__(self, policy: FailurePolicy | None = None) -> None:
        self.policy = policy or FailurePolicy(decisions=DECISIONS)
        self.broken: set[bytes] = set()
        self.since_ms = 0
        self.log: list[LogRecord] = []
        self.store = MemoryStore()
        self.sent: list[Outgoing] = []
        self.done = 0

    def send(
        self, key: bytes | None, value: bytes | None = b"{}", headers: Sequence[tuple[str, bytes]] = ()
    ) -> int:
        """Append a record; return its offset."""
        offset = len(self.log)
        self.log.append(LogRecord(SOURCE, 0, offset, 1_000 + offset, key, value, headers))
        return offset

    def release(self, key: bytes, *skip: int) -> int:
        """Append a `control.release`."""
        return self.send(key, encode_release(APP, "ann", list(skip)))

    def session(
        self, overlay: Overlay, outbox: Outbox, known_bugs: KnownBugs | None = None
    ) -> GuardedSession:
        """Return the guarded work on one chunk."""
        desk = Desk(APP, DLT, PARKED, Telling(EVENTS, lambda: self.since_ms))
        broken = self.broken
        return GuardedSession(
            desk, self.policy, overlay, outbox, lambda *to: PlainWork(broken, *to), known_bugs
        )

    def step(self, count: int) -> HaltError | None:
        """Process a chunk as the lane does: what was taken before a limit is kept."""
        overlay, outbox = Overlay(self.store), Outbox()
        session = self.session(overlay, outbox)
        halt, taken = None, 0
        for record in self.log[self.done : self.done + count]:
            try:
                session.take(record)
            except HaltError as error:
                halt = error
                break
            taken += 1
        if taken:
            session.finish()
            self.store.apply(overlay.changes, self.store.position + 1)
            self.done += taken
            for outgoing in outbox.records:
                self._deliver(outgoing)
        return halt

    def run(self, count: int = 7) -> HaltError | None:
        """Process until nothing waits or a limit says stop."""
        halt = None
        while halt is None and self.done < len(self.log):
            halt = self.step(count)
        return halt

    def _deliver(self, outgoing: Outgoing) -> None:
        if outgoing.topic == SOURCE:
            assert outgoing.partition == 0
            self.send(outgoing.key, outgoing.value)
        else:
            self.sent.append(outgoing)

    def to(self, topic: str) -> list[Outgoing]:
        """Return what was sent to a topic."""
        return [outgoing for outgoing in self.sent if outgoing.topic == topic]

    def folded(self, key: str) -> list[int]:
        """Return the offsets that the state of a key holds."""
        return FOLDED.read(self.store, FOLDED.key(key)) or []

    def entries(self, key: str) -> list[int]:
        """Return the offsets that the key's list of entries holds."""
        begin = f"e {key} ".encode()
        return sorted(int(value) for name, value in self.store.items() if name.startswith(begin))

    def parked(self, key: str) -> Parked | None:
        """Return how a key is parked."""
        return read_parked(self.store, key)

    @property
    def tally(self) -> Tally:
        """Return how much is parked."""
        return read_tally(self.store)

    @property
    def watch(self) -> Watch:
        """Return what the limits count."""
        return WATCH.read(self.store, WATCH_KEY) or Watch()
