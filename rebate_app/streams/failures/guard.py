"""The failure guard of a stage: a record that fails becomes a dead letter, and our own bug parks its key.

A record that belongs to another partition is sent there before anything else is looked at (rerouting.py).

After `take` the state transaction holds every record that was taken, whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct, field
from msgspec.json import encode

from rebate_app.domain.faults import UNDECODABLE, Fault, RefusedError, limit
from rebate_app.domain.pricing.catalogue import VersionNotReadError
from rebate_app.wire.control import CURSOR, RELEASE, Control, control_prefix, decode_control
from rebate_app.wire.failure_headers import FIRST_AT, texts_of
from rebate_app.wire.unreadable import shortened

from ..errors import HaltError, StreamsError
from ..event_emission import EventPolicy, dead_letter_event
from ..kafka.header_names import undecodable_name
from ..state.buffer import StateTransaction
from ..state.build import Build
from ..state.store import Store, StoreClosedError, StoreDamagedError
from ..task.halt import UNREADABLE_FACT
from ..task.stage import Record, place_of
from ..transaction.collector import OutgoingRecord, RecordCollector
from .dead_letter import Failure, WorkerInfo, dead_letter, failure_of, is_replay, too_large_to_wait
from .limits import count_dead_letter, count_good, forget_resumed, refuse_too_many, refuse_too_much_parked
from .parking import ParkingLot, ReleaseStep
from .record_kinds import (
    DEAD_LETTER_WINDOW,
    DEAD_LETTER_WINDOW_KEY,
    DeadLetterWindow,
    Parked,
    read_parked_totals,
)
from .rerouting import Rerouter, can_be_sent_on
from .savepoint import Fold, SavepointFold

#: Neither the record's fault nor a bug: the partition restarts, or ends.
NOT_A_FAILURE = (StoreDamagedError, StoreClosedError, StreamsError, VersionNotReadError)

#: Offset at which the fold is known to have failed → offset of the record on which it failed.
KnownBugs = Mapping[int, int]


class FailurePolicy(Struct, frozen=True):
    """How a stage treats failures: limits halt a partition if `limited`, unless `overridden()`.

    `resumed_through(topic, partition)` is the offset up to which an operator has lifted the limits, else -1.
    `worker_info` goes into the headers of dead letters. The defaults suit a fold without a worker: no limits.
    """

    decisions: str = "rebate-dlq-decisions"
    on_bug: Literal["park", "stop"] = "park"
    limited: bool = False
    overridden: Callable[[], bool] = lambda: False
    resumed_through: Callable[[str, int], int] = lambda _topic, _partition: -1
    worker_info: WorkerInfo = field(default_factory=WorkerInfo)


class GuardedStage(Struct, frozen=True, kw_only=True):
    """A stage whose fold runs under the guard (implements Stage): a subclass has the fold and what it needs.

    `app`: the Faust app's id; `registry`: the topic of used rules; `partitions`: of the source.
    """

    name: str
    source: str
    changelog: str
    dead_letter_topic: str
    parked: str
    app: str
    partitions: int
    registry: str = "rebate-rules"
    failures: FailurePolicy = FailurePolicy()
    event_policy: EventPolicy = EventPolicy()
    builds: tuple[Build, ...] = ()

    def fold(self, transaction: StateTransaction, collector: RecordCollector) -> Fold:
        """Return the fold of one batch, unguarded: it raises on what it cannot take."""
        raise NotImplementedError

    def processor(
        self, transaction: StateTransaction, collector: RecordCollector, known_bugs: KnownBugs | None = None
    ) -> GuardedProcessor:
        """Return the guarded work on one batch."""
        return GuardedProcessor(self, transaction, collector, known_bugs)

    def may_refuse(self, record: Record) -> bool:
        """Whether a record that cannot be used becomes a dead letter; else it halts its partition."""
        del record
        return True

    def may_wait(self, record: Record) -> bool:
        """Whether a record waits behind its key while that is parked."""
        return self.may_refuse(record)

    def unfinished(self, store: Store) -> int:
        """Return how many parked keys of the partition are being released."""
        return read_parked_totals(store).releasing


class GuardedProcessor:
    """One batch of a stage, guarded (implements BatchProcessor).

    `known_bugs` are failures of the past: an audit repeats them, whatever today's code does.
    """

    def __init__(
        self,
        stage: GuardedStage,
        transaction: StateTransaction,
        collector: RecordCollector,
        known_bugs: KnownBugs | None = None,
    ) -> None:
        self._stage = stage
        self._policy = policy = stage.failures
        self._transaction = transaction
        self._collector = collector
        self._known_bugs = known_bugs or {}
        self._control_prefix = control_prefix(stage.app)
        self._lot = ParkingLot(transaction, stage.app, stage.parked, policy.decisions)
        self._parked = self._lot.keys
        self._rerouter = Rerouter(transaction, stage.source, stage.partitions)
        self._fold = SavepointFold(transaction, collector, stage.fold)
        self._window = DEAD_LETTER_WINDOW.read(transaction, DEAD_LETTER_WINDOW_KEY) or DeadLetterWindow()
        self._good = 0  # not yet counted by the window

    def take(self, record: Record) -> None:
        """Take one record. HaltError, with nothing of this record done, when a limit trips."""
        if self._rerouter.is_misplaced(record) and not self._releases(record):
            self._send_on(record)
            return
        origin = self._rerouter.origin_of(record) if record.headers else None
        if origin is None:
            self._take(record)
        elif not self._rerouter.is_repeat(origin):
            self._take(record)
            self._rerouter.note(origin)

    def _send_on(self, record: Record) -> None:
        """Send a record to the partition of its key; a dead letter if no copy can be what it is."""
        if can_be_sent_on(record):
            self._rerouter.send_on(record, self._collector)
            return
        detail = "the record is in the wrong partition, and cannot be copied to the right one as it is"
        self._refuse_or_park(record, Failure(limit("record", detail)))

    def _releases(self, record: Record) -> bool:
        """Whether it is a control message for a key that an older version parked in this partition."""
        return record.key in self._parked and (record.value or b"").startswith(self._control_prefix)

    def _take(self, record: Record) -> None:
        """Take a record that belongs here."""
        value = record.value
        if record.headers and (name := undecodable_name(record.headers)) is not None:
            fault = Fault(UNDECODABLE, "headers", f"the header name {shortened(name)} is not UTF-8")
            self._refuse_or_park(record, Failure(fault))
        elif value is not None and value.startswith(self._control_prefix):
            self._control(record, decode_control(value))
        elif record.key in self._parked and self._stage.may_wait(record):
            self._wait(record)
        else:
            failure = self._try_fold(record, record.offset)
            if failure is None:
                self._good += not record.headers or not is_replay(record)
            else:
                self._refuse_or_park(record, failure)

    def _wait(self, record: Record) -> None:
        """Let a record wait behind those of its key."""
        if not self._lot.can_keep(record):
            self._refuse_or_park(record, too_large_to_wait())
            return
        if self._is_limited(record):
            refuse_too_much_parked(self._lot.totals, record, new_key=False)
        self._lot.add(record, self._collector)

    def finish(self) -> None:
        """Write everything that was collected to the state transaction."""
        self._fold.finish()
        self._transaction.changes.update(self._lot.changes())
        self._rerouter.finish(self._collector)
        self._count_good()
        self._transaction.put(DEAD_LETTER_WINDOW_KEY, encode(self._window))

    def _is_limited(self, record: Record) -> bool:
        policy = self._policy
        if not policy.limited or policy.overridden():
            return False
        return record.offset > policy.resumed_through(record.topic, record.partition)

    def _count_good(self) -> None:
        count_good(self._window, self._good)
        self._good = 0

    def _refuse_or_park(self, record: Record, failure: Failure) -> None:
        if not self._stage.may_refuse(record):
            raise HaltError(UNREADABLE_FACT, _unreadable_fact(record, failure))
        counts = not record.headers or not is_replay(record)
        self._count_good()
        resumed_through = self._policy.resumed_through(record.topic, record.partition)
        forget_resumed(self._window, resumed_through)
        counts = counts and record.offset > resumed_through
        if failure.is_bug and record.key is not None and not self._lot.can_keep(record):
            failure = too_large_to_wait(failure)
        limited = self._is_limited(record)
        parks = failure.is_bug and record.key is not None
        if limited and counts:
            refuse_too_many(self._window, record, failure.fault.code)
        if limited and parks:
            refuse_too_much_parked(self._lot.totals, record, new_key=True)
        if counts:
            count_dead_letter(self._window, record, failure.fault.code)
        letter = self._refuse(record, failure)
        self._emit_event(record, failure)
        if parks:
            first_at = texts_of(letter.headers)[FIRST_AT]
            self._lot.park(record, failure.fault.code, first_at, self._collector)

    def _refuse(self, record: Record, failure: Failure) -> OutgoingRecord:
        letter = dead_letter(
            record,
            self._stage.dead_letter_topic,
            failure,
            self._stage.app,
            self._policy.worker_info,
        )
        self._collector.refuse(letter, failure.fault.code)
        return letter

    def _emit_event(self, record: Record, failure: Failure) -> None:
        event = dead_letter_event(record, failure.fault.code, self._stage.app, self._stage.event_policy)
        if event is not None:
            self._collector.send_raw(event)

    def _try_fold(self, record: Record, at_offset: int) -> Failure | None:
        """Fold one record; return why it failed, with everything as before it."""
        if self._known_bugs and self._known_bugs.get(at_offset) == record.offset:
            return failure_of(KnownBugError())
        try:
            self._fold.take(record)
        except RefusedError as error:
            return Failure(error.faults[0])
        except HaltError:
            self._fold.roll_back()  # the records before it are committed
            raise
        except NOT_A_FAILURE:
            raise
        except Exception as error:
            if self._policy.on_bug == "stop":
                raise
            self._fold.roll_back()
            return failure_of(error)
        return None

    def _control(self, record: Record, control: Control | None) -> None:
        """Carry out a control message for its key; nothing where the key is parked no longer."""
        key = record.key
        if control is None or key is None or key not in self._parked:
            return
        parked = self._lot.parked(key)
        if control.kind == RELEASE and parked.release < 0:
            self._lot.begin_release(key, control, record.offset)
        elif control.kind != CURSOR or control.release != parked.release:
            return
        self._move(key, parked, ReleaseStep(record, len(self._collector.records)))

    def _move(self, key: bytes, parked: Parked, step: ReleaseStep) -> None:
        """Fold the waiting records in order until none is left, the step is full, or our fold fails again."""
        lot = self._lot
        while (waiting := lot.head(key, step, self._collector)) is not None:
            record = lot.as_record(waiting, step.control)
            may_refuse = self._stage.may_refuse(record)
            if not may_refuse or waiting.offset not in parked.skip:
                failure = self._try_fold(record, step.control.offset)
                if failure is not None and not may_refuse:
                    lot.stop_release(key)  # it waits on, first of its key: what it states has happened
                    return
                if failure is not None:
                    self._refuse(record, self._failed_again(failure, key, waiting.attempts, step))
                    if not waiting.attempts:  # else its dead letter is open since its first failure
                        self._emit_event(record, failure)
                    if failure.is_bug:
                        lot.stop_release(key)
                        return
                elif waiting.attempts:
                    lot.decide(place_of(record), key, step, self._collector)
            step.moved_bytes += len(waiting.value or b"")
            lot.drop_head(key, step)
        lot.go_on(key, step, self._collector)

    def _failed_again(self, failure: Failure, key: bytes, attempts: int, step: ReleaseStep) -> Failure:
        first_at = self._lot.first_at(key) if attempts else ""
        return Failure(failure.fault, failure.trace, attempts + 1, first_at, place_of(step.control))


def _unreadable_fact(record: Record, failure: Failure) -> str:
    return (
        f"the owner fact at {place_of(record)} cannot be read, and what it states has happened: "
        f"{failure.fault.detail or failure.fault.code}; run the release that wrote it"
    )


class KnownBugError(Exception):
    """Stands for the exception that a worker met at this record in the past."""
