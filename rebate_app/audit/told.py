"""Events, held against what the facts make: which were told, which were not, and which nobody could tell.

Law: of dead letters and lines every event is there exactly once. Of balances one a chunk is told, and an
audit does not know the lane's chunks: so it takes every record that changed a balance as a step, and each
event has to be one of the steps, with the buckets after it, and to begin where the user's last event ended.
It is separate from the other messages because those are compared byte by byte.

Buckets are compared as of the same day, since days move money without any record (docs/audit.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct as Layout

from msgspec import Struct
from msgspec.json import Encoder
from msgspec.structs import replace

from rebate_app.wire.events import APP_HEADER, BalanceChanged

from .logs import Record

_encode = Encoder().encode
_DAY_CHARACTERS = len("2026-01-01")


class Step(Struct, frozen=True, gc=False):
    """A record that changed a balance, or might have: digests of user, of the event, of buckets on its day.

    `event` leaves aside where the change began, and the id, which says that too. `told`: whether it is
    new enough to be told of. `offset`: of the record in the user log.
    """

    user: bytes
    version: int
    event: bytes
    before: bytes
    after: bytes
    told: bool
    offset: int
    day: bytes


def _short(value: bytes) -> bytes:
    return blake2b(value, digest_size=8).digest()


def step_of(event: BalanceChanged, offset: int, *, told: bool) -> Step:
    """Return an event as a step: what it says of the moment after it, and of the one before it."""
    rest = _encode(replace(event, event_id="", before=event.after))
    day = event.at[:_DAY_CHARACTERS]
    return Step(
        _short(event.user_id.encode()),
        event.version,
        blake2b(rest, digest_size=16).digest(),
        _short(_encode(event.before)),
        _short(_encode(event.after)),
        told,
        offset,
        _short(day.encode()),
    )


class Steps:
    """The steps of one partition in the order of the fold, in 65 bytes each."""

    _LAYOUT = Layout("<8sq16s8s8s?q8s")

    def __init__(self) -> None:
        self._packed = bytearray()

    def add(self, step: Step) -> None:
        """Add the next one."""
        self._packed += self._LAYOUT.pack(
            step.user, step.version, step.event, step.before, step.after, step.told, step.offset, step.day
        )

    def __iter__(self) -> Iterator[Step]:
        return (Step(*members) for members in self._LAYOUT.iter_unpack(self._packed))


class Run(Struct):
    """Steps of a user that were not told: they have to come to nothing, since no chunk told of them.

    `comparable`: all of one day, with nothing between them that is too old to be told of.
    """

    before: bytes
    after: bytes
    day: bytes
    offset: int
    comparable: bool = True
    interrupted: bool = False

    def go_on(self, step: Step) -> None:
        """Take one step more."""
        self.comparable = self.comparable and self.day == step.day and not self.interrupted
        self.after, self.offset = step.after, step.offset


class BalanceTally:
    """The balance events of one partition against the steps of its users.

    `wrong`: offsets of events that say something else than their step; `lost`: source offsets of what was
    to be told and was not; `unknown`: offsets of events that are no step.
    """

    def __init__(self, steps: Steps, seen: dict[tuple[bytes, int], Step]) -> None:
        self.wrong: list[int] = []
        self.compared = 0
        runs: dict[bytes, Run] = {}
        for step in steps:
            event = seen.pop((step.user, step.version), None) if step.told else None
            if event is not None:
                self._compare(step, event, runs.pop(step.user, None))
            else:
                self._not_told(step, runs)
        self.lost = [run.offset for run in runs.values() if run.comparable and run.before != run.after]
        self.not_comparable = sum(not run.comparable for run in runs.values())
        self.unknown = sorted(event.offset for event in seen.values())

    def _compare(self, step: Step, event: Step, run: Run | None) -> None:
        self.compared += 1
        begins_at: bytes | None = step.before
        if run is not None:
            run.go_on(step)
            begins_at = run.before if run.comparable else None
        if event.event != step.event or begins_at not in (None, event.before):
            self.wrong.append(event.offset)

    @staticmethod
    def _not_told(step: Step, runs: dict[bytes, Run]) -> None:
        run = runs.get(step.user)
        if not step.told:
            if run is not None:
                run.interrupted = True
        elif run is None:
            runs[step.user] = Run(step.before, step.after, step.day, step.offset)
        else:
            run.go_on(step)


def is_own(record: Record, app: str) -> bool:
    """Whether an event is this app's: nobody else may write without saying who it is."""
    names = [value for name, value in record.headers if name == APP_HEADER]
    return not names or names == [app.encode()]
