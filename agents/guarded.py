"""The guard around a stage's work: what fails becomes a dead letter, and our bug parks the key.

Law: after `take` the overlay holds every record that was taken whole or not at all. A fold changes records
in place, so when it raises, the work since the last savepoint is thrown away and done anew without the
record that raised: records before it are folded twice at most, and the good case costs a list's append.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from msgspec import Struct, field
from msgspec.json import encode

from rebate_app.domain.faults import RefusedError
from rebate_app.lane.failures import LaneError
from rebate_app.lane.outbox import Outbox, Outgoing
from rebate_app.lane.stage import Record
from rebate_app.lane.store import Overlay, StoreClosedError, StoreDamagedError
from rebate_app.wire.control import CURSOR, RELEASE, Control, control_prefix, decode_control
from rebate_app.wire.failure_headers import FIRST_AT, texts_of
from tables.parking import WATCH, WATCH_KEY, Parked, Watch

from .dead_letters import Failure, Imprint, dead_letter, failure_of, is_replay, place_of
from .limits import refuse_too_many, refuse_too_much_parked, see_good, see_letter
from .parking import ParkingLot, Step
from .telling import Telling, letter_event

#: Not the record's fault and no bug: the partition begins again, or ends.
NOT_A_FAILURE = (StoreDamagedError, StoreClosedError, LaneError)

KnownBugs = Mapping[int, int]


class FailurePolicy(Struct, frozen=True):
    """What a stage does about failures. `limited`: whether limits stop it, `overridden`: unless this says so.

    The default is that of a fold without a worker around it: no limits, nobody's name in the headers.
    """

    decisions: str = "rebate-dlq-decisions"
    on_bug: Literal["park", "stop"] = "park"
    limited: bool = False
    overridden: Callable[[], bool] = lambda: False
    imprint: Imprint = field(default_factory=Imprint)


class Work(Protocol):
    """A stage's own work on some records of a chunk: RefusedError for what cannot be used."""

    def successor(self, overlay: Overlay, outbox: Outbox) -> Work:
        """Return the work that goes on after this one's `finish`, with what is told at the chunk's end."""
        ...

    def take(self, record: Record) -> None:
        """Take one record. RefusedError only before anything is changed or sent."""
        ...

    def conclude(self) -> None:
        """Send what is told once a chunk: before the last `finish`, and not before a savepoint's."""
        ...

    def finish(self) -> None:
        """Write what was collected to the overlay."""
        ...


class Desk(Struct, frozen=True):
    """Whose a stage is, where it puts what fails and what waits, and how it tells of it."""

    app: str
    dlt: str
    parked: str
    telling: Telling = Telling()


class GuardedSession:
    """One chunk of a stage, guarded (implements Session).

    `known_bugs`: offsets at which the fold is known to have failed → offset of the record that failed
    there. An audit gives them, so that it folds as was folded then, with whatever code.
    """

    def __init__(
        self,
        desk: Desk,
        policy: FailurePolicy,
        overlay: Overlay,
        outbox: Outbox,
        work: Callable[[Overlay, Outbox], Work],
        known_bugs: KnownBugs | None = None,
    ) -> None:
        self._desk = desk
        self._policy = policy
        self._overlay = overlay
        self._outbox = outbox
        self._new_work = work
        self._known_bugs = known_bugs or {}
        self._control_prefix = control_prefix(desk.app)
        self._lot = ParkingLot(overlay, desk.app, desk.parked, policy.decisions)
        self._parked = self._lot.keys
        self._work = work(overlay, outbox)
        self._origin: Work | None = None  # the work that ended with the savepoint
        self._savepoint: dict[bytes, bytes | None] = {}
        self._since: list[Record] = []  # folded since the savepoint
        self._watch = WATCH.read(overlay, WATCH_KEY) or Watch()
        self._good = 0  # not yet counted by the watch

    def take(self, record: Record) -> None:
        """Take one record. HaltError, with nothing of this record done, when a limit says stop."""
        value = record.value
        if value is not None and value.startswith(self._control_prefix):
            self._control(record, decode_control(value))
        elif record.key in self._parked:
            if self._is_limited():
                refuse_too_much_parked(self._lot.tally, record, new_key=False)
            self._lot.add(record, self._outbox)
        else:
            failure = self._fold(record, record.offset)
            if failure is None:
                self._good += not record.headers or not is_replay(record)
            else:
                self._refuse_or_park(record, failure)

    def finish(self) -> None:
        """Write everything that was collected to the overlay."""
        self._work.conclude()
        self._work.finish()
        self._overlay.changes.update(self._lot.changes())
        self._count_good()
        self._overlay.put(WATCH_KEY, encode(self._watch))

    def _is_limited(self) -> bool:
        return self._policy.limited and not self._policy.overridden()

    def _count_good(self) -> None:
        see_good(self._watch, self._good)
        self._good = 0

    def _refuse_or_park(self, record: Record, failure: Failure) -> None:
        counts = not record.headers or not is_replay(record)
        self._count_good()
        limited = self._is_limited()
        parks = failure.is_bug and record.key is not None
        if limited and counts:
            refuse_too_many(self._watch, record, failure.fault.code)
        if limited and parks:
            refuse_too_much_parked(self._lot.tally, record, new_key=True)
        if counts:
            see_letter(self._watch, record, failure.fault.code)
        letter = self._refuse(record, failure)
        self._tell(record, failure)
        if parks:
            first_at = texts_of(letter.headers)[FIRST_AT]
            self._lot.park(record, failure.fault.code, first_at, self._outbox)

    def _refuse(self, record: Record, failure: Failure) -> Outgoing:
        letter = dead_letter(record, self._desk.dlt, failure, self._desk.app, self._policy.imprint)
        self._outbox.refuse(letter, failure.fault.code)
        return letter

    def _tell(self, record: Record, failure: Failure) -> None:
        event = letter_event(record, failure.fault.code, self._desk.app, self._desk.telling)
        if event is not None:
            self._outbox.send_raw(event)

    def _fold(self, record: Record, at_offset: int) -> Failure | None:
        """Fold one record; return why it failed, with everything as if it had never been tried."""
        if self._known_bugs and self._known_bugs.get(at_offset) == record.offset:
            return failure_of(KnownBugError())
        sent = len(self._outbox.records)
        try:
            self._work.take(record)
        except RefusedError as error:
            return Failure(error.faults[0])
        except NOT_A_FAILURE:
            raise
        except Exception as error:
            if self._policy.on_bug == "stop":
                raise
            del self._outbox.records[sent:]
            self._roll_back()
            return failure_of(error)
        self._since.append(record)
        return None

    def _roll_back(self) -> None:
        """Go back to the savepoint, fold anew what succeeded since, and make that the savepoint."""
        self._overlay.go_back(self._savepoint)
        scratch, origin = Outbox(), self._origin
        again = self._new_work if origin is None else origin.successor
        work = again(self._overlay, scratch)
        for record in self._since:
            work.take(record)
        sent_before = len(scratch.records)
        work.finish()
        self._outbox.records += scratch.records[sent_before:]  # what finishing sends was not sent yet
        self._outbox.count(scratch.counted)
        self._savepoint = dict(self._overlay.changes)
        self._since.clear()
        self._origin = work
        self._work = work.successor(self._overlay, self._outbox)

    def _control(self, record: Record, control: Control | None) -> None:
        """Do what a control message says about the key under which it stands; nothing if it is too late."""
        key = record.key
        if control is None or key is None or key not in self._parked:
            return
        parked = self._lot.parked(key)
        if control.kind == RELEASE and parked.release < 0:
            self._lot.begin_release(key, control, record.offset)
        elif control.kind != CURSOR or control.release != parked.release:
            return
        self._move(key, parked, Step(record, len(self._outbox.records)))

    def _move(self, key: bytes, parked: Parked, step: Step) -> None:
        """Fold what waits, in order, until none is left, enough is done, or our fold fails again."""
        lot = self._lot
        while (waiting := lot.head(key, step, self._outbox)) is not None:
            if waiting.offset not in parked.skip:
                record = lot.as_record(waiting, step.control)
                failure = self._fold(record, step.control.offset)
                if failure is not None:
                    self._refuse(record, self._failed_again(failure, key, waiting.attempts, step))
                    if not waiting.attempts:  # else its letter is open since it failed first
                        self._tell(record, failure)
                    if failure.is_bug:
                        lot.stop_release(key)
                        return
                elif waiting.attempts:
                    lot.decide(place_of(record), key, step, self._outbox)
            lot.drop_head(key, step)
        lot.go_on(key, step, self._outbox)

    def _failed_again(self, failure: Failure, key: bytes, attempts: int, step: Step) -> Failure:
        first_at = self._lot.first_at(key) if attempts else ""
        return Failure(failure.fault, failure.trace, attempts + 1, first_at, place_of(step.control))


class KnownBugError(Exception):
    """Stands for the exception that a worker once met here."""
