"""Compares balance events with the transitions of the fold, for one partition.

Workers emit one balance event per user and batch; the audit cannot see batch boundaries. So every record
that changes a balance, or may, is a transition, and each event has to match one: same version, same buckets
after it, and it begins where the user's previous event ended. Transitions without an event must add up to
no change. Buckets are compared as of one day, since money changes buckets by date without any record
(docs/audit.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct as Layout

from msgspec import Struct
from msgspec.json import Encoder
from msgspec.structs import replace

from rebate_app.wire.events import BalanceChanged

_encode = Encoder().encode
_DAY_CHARACTERS = len("2026-01-01")


class BalanceTransition(Struct, frozen=True, gc=False):
    """A record that changes a balance, or may: digests of user, event, buckets before and after, and day.

    `event` leaves out `before` and the id, which depends on it. `is_due`: whether the record is new enough
    for an event. `offset`: of the record in the user log; of an event, in the topic of events.
    """

    user: bytes
    version: int
    event: bytes
    before: bytes
    after: bytes
    is_due: bool
    offset: int
    day: bytes


def _short_digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=8).digest()


def transition_of(event: BalanceChanged, offset: int, *, is_due: bool) -> BalanceTransition:
    """Return the transition that an event describes."""
    rest = _encode(replace(event, event_id="", before=event.after))
    day = event.at[:_DAY_CHARACTERS]
    return BalanceTransition(
        _short_digest(event.user_id.encode()),
        event.version,
        blake2b(rest, digest_size=16).digest(),
        _short_digest(_encode(event.before)),
        _short_digest(_encode(event.after)),
        is_due,
        offset,
        _short_digest(day.encode()),
    )


class TransitionLog:
    """The transitions of one partition in the order of the fold, in 65 bytes each."""

    _LAYOUT = Layout("<8sq16s8s8s?q8s")

    def __init__(self) -> None:
        self._packed = bytearray()

    def add(self, each: BalanceTransition) -> None:
        """Append a transition."""
        self._packed += self._LAYOUT.pack(
            each.user, each.version, each.event, each.before, each.after, each.is_due, each.offset, each.day
        )

    def __iter__(self) -> Iterator[BalanceTransition]:
        return (BalanceTransition(*members) for members in self._LAYOUT.iter_unpack(self._packed))


class SilentRun(Struct):
    """Consecutive transitions of a user without an event: no batch emitted one, so they add up to nothing.

    `comparable`: all are of one day, and no transition that is too old for an event comes between them.
    """

    before: bytes
    after: bytes
    day: bytes
    offset: int
    comparable: bool = True
    interrupted: bool = False

    def extend(self, transition: BalanceTransition) -> None:
        """Append a transition."""
        self.comparable = self.comparable and self.day == transition.day and not self.interrupted
        self.after, self.offset = transition.after, transition.offset


class BalanceEventComparison:
    """The balance events of one partition against its transitions.

    `wrong`: offsets of events that do not match their transition. `lost`: source offsets of transitions
    whose event is missing. `unknown`: offsets of events without a transition. `present` is consumed.
    """

    def __init__(
        self, transitions: TransitionLog, present: dict[tuple[bytes, int], BalanceTransition]
    ) -> None:
        self.wrong: list[int] = []
        self.compared = 0
        runs: dict[bytes, SilentRun] = {}
        for transition in transitions:
            key = (transition.user, transition.version)
            event = present.pop(key, None) if transition.is_due else None
            if event is not None:
                self._compare(transition, event, runs.pop(transition.user, None))
            else:
                self._add_to_run(transition, runs)
        self.lost = [run.offset for run in runs.values() if run.comparable and run.before != run.after]
        self.not_comparable = sum(not run.comparable for run in runs.values())
        self.unknown = sorted(event.offset for event in present.values())

    def _compare(
        self, transition: BalanceTransition, event: BalanceTransition, run: SilentRun | None
    ) -> None:
        self.compared += 1
        expected_before: bytes | None = transition.before
        if run is not None:
            run.extend(transition)
            expected_before = run.before if run.comparable else None
        if event.event != transition.event or expected_before not in (None, event.before):
            self.wrong.append(event.offset)

    @staticmethod
    def _add_to_run(transition: BalanceTransition, runs: dict[bytes, SilentRun]) -> None:
        run = runs.get(transition.user)
        if not transition.is_due:
            if run is not None:
                run.interrupted = True
        elif run is None:
            runs[transition.user] = SilentRun(
                transition.before, transition.after, transition.day, transition.offset
            )
        else:
            run.extend(transition)
