"""One partition of a guarded stage whose fold is so plain that a list per key is a model of it.

The state of a key is the list of the offsets that were folded. Keys can be broken: then the fold changes its
record in place, sends a message, and raises, as the worst of bugs would.
"""

from __future__ import annotations

from collections.abc import Sequence

from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.streams.errors import HaltError
from rebate_app.streams.event_emission import EventPolicy
from rebate_app.streams.failures.guard import FailurePolicy, GuardedProcessor, GuardedStage, KnownBugs
from rebate_app.streams.failures.record_kinds import (
    DEAD_LETTER_WINDOW,
    DEAD_LETTER_WINDOW_KEY,
    DeadLetterWindow,
    Parked,
    ParkedTotals,
    read_parked,
    read_parked_totals,
)
from rebate_app.streams.state.buffer import StateTransaction, TransactionRecords
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.state.store import MemoryStore
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import OutgoingRecord, RecordCollector
from rebate_app.wire.control import encode_release
from tests.topology_driver import LogRecord

APP, SOURCE, DLT, PARKED, DECISIONS, SENT = (
    "rebate",
    "source",
    "source-dlt",
    "source-parked",
    "decided",
    "sent",
)
FIRST = "first"
AT_BATCH_END = "at-batch-end"
EVENTS = "rebate-events"
FOLDED = RecordKind("f", list[int])
ENTRY = RecordKind("e", int)
USED = RecordKind("", str)
USED_KEY = b"used"
REFUSED = b"refuse me"
HALTING = b"halt me"
MUST_BE_READ = b"never refuse me"
BUG = "the value of this exception must not be seen"


class PlainStage(GuardedStage, frozen=True, kw_only=True):
    """The stage of one plain fold; `broken`: keys on which it raises."""

    broken: set[bytes]

    def may_refuse(self, record: Record) -> bool:
        """Whether it is not that one value."""
        return record.value != MUST_BE_READ

    def fold(self, transaction: StateTransaction, collector: RecordCollector) -> PlainFold:
        """Return the fold of one batch."""
        return PlainFold(self.broken, transaction, collector)


class PlainFold:
    """Appends a record's offset to the list of its key, and sends the offset."""

    def __init__(self, broken: set[bytes], transaction: StateTransaction, collector: RecordCollector) -> None:
        self._broken = broken
        self._records = TransactionRecords(transaction)
        self._collector = collector
        self._used = False
        self._pending: list[int] = []

    def take(self, record: Record) -> None:
        """Fold one record."""
        key = record.key or b""
        if record.value in {REFUSED, MUST_BE_READ}:
            raise RefusedError([Fault("unknown-kind", "kind", "it asks to be refused")])
        self._used = True
        name = FOLDED.key(key.decode())
        folded = self._records.get(FOLDED, name)
        if folded is None:
            folded = []
            self._records.add(name, folded)
        self._records.put(ENTRY.key(key.decode(), len(folded)), record.offset)  # at once, as ledgers are
        folded.append(record.offset)
        self._pending.append(record.offset)
        self._collector.send(SENT, key, b"%d" % record.offset, record.timestamp)
        if record.value == HALTING:
            raise HaltError("halting", "it asks to be halted at")
        if key in self._broken:
            raise ZeroDivisionError(BUG)

    def successor(self, transaction: StateTransaction, collector: RecordCollector) -> PlainFold:
        """Return the fold that goes on, with the offsets that are sent at the batch's end."""
        after = PlainFold(self._broken, transaction, collector)
        after._pending = list(self._pending)
        return after

    def conclude(self) -> None:
        """Send, once a batch, the offsets that were folded."""
        if self._pending:
            self._collector.send(AT_BATCH_END, b"", " ".join(map(str, self._pending)).encode(), 0)

    def finish(self) -> None:
        """Write what was folded; send a message the first time."""
        if self._used and self._records.get(USED, USED_KEY) is None:
            self._records.put(USED_KEY, "yes")
            self._collector.send(FIRST, b"", b"", 0)
        self._records.flush()


class SmallStream:
    """Partition 0 of a source of so many, and what becomes of its records."""

    def __init__(self, policy: FailurePolicy | None = None, partitions: int = 1) -> None:
        self.partitions = partitions
        self.policy = policy or FailurePolicy(decisions=DECISIONS)
        self.broken: set[bytes] = set()
        self.since_ms = 0
        self.log: list[LogRecord] = []
        self.store = MemoryStore()
        self.sent: list[OutgoingRecord] = []
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

    def processor(
        self, transaction: StateTransaction, collector: RecordCollector, known_bugs: KnownBugs | None = None
    ) -> GuardedProcessor:
        """Return the guarded work on one batch."""
        stage = PlainStage(
            name="plain",
            source=SOURCE,
            changelog="changelog",
            dead_letter_topic=DLT,
            parked=PARKED,
            app=APP,
            partitions=self.partitions,
            failures=self.policy,
            event_policy=EventPolicy(EVENTS, lambda: self.since_ms),
            broken=self.broken,
        )
        return stage.processor(transaction, collector, known_bugs)

    def step(self, count: int) -> HaltError | None:
        """Process a batch as the engine does: what was taken before a limit is kept."""
        transaction, collector = StateTransaction(self.store), RecordCollector()
        processor = self.processor(transaction, collector)
        halt, taken = None, 0
        for record in self.log[self.done : self.done + count]:
            try:
                processor.take(record)
            except HaltError as error:
                halt = error
                break
            taken += 1
        if taken:
            processor.finish()
            self.store.apply(transaction.changes, self.store.position + 1)
            self.done += taken
            for outgoing in collector.records:
                self._deliver(outgoing)
        return halt

    def run(self, count: int = 7) -> HaltError | None:
        """Process until nothing waits or a limit stops it."""
        halt = None
        while halt is None and self.done < len(self.log):
            halt = self.step(count)
        return halt

    def _deliver(self, outgoing: OutgoingRecord) -> None:
        if outgoing.topic == SOURCE and outgoing.partition == 0:
            self.send(outgoing.key, outgoing.value)
        else:
            self.sent.append(outgoing)

    def to(self, topic: str) -> list[OutgoingRecord]:
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
    def totals(self) -> ParkedTotals:
        """Return how much is parked."""
        return read_parked_totals(self.store)

    @property
    def window(self) -> DeadLetterWindow:
        """Return what the limits count."""
        return DEAD_LETTER_WINDOW.read(self.store, DEAD_LETTER_WINDOW_KEY) or DeadLetterWindow()
