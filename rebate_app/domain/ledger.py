"""Amounts over time and the entries that explain every change of them (domain.md 3, L2).

A share is a step function of the moment with at most three steps: an estimate, settlement by an
expected date, release. An account is the sum of such functions, so nobody needs a timer: dates
move money when somebody looks.
"""

from __future__ import annotations

from msgspec import Struct

ALWAYS = -(1 << 40)  # a day before every day: what holds without waiting for a date


class Amounts(Struct, array_like=True, frozen=True, gc=False):
    """One beneficiary's share of a line, in fen.

    Before `on`: `estimated`, `held`, `settled`. From the start of day `on`: `later_held` and
    `later_settled`, nothing estimated. `settled` money is available from `release_on` on.
    """

    estimated: int = 0
    held: int = 0
    settled: int = 0
    on: int | None = None
    later_held: int = 0
    later_settled: int = 0
    release_on: int | None = None

    def at(self, day: int) -> tuple[int, int, int]:
        """Return (estimated, held, settled) on that day."""
        if self.on is not None and day >= self.on:
            return 0, self.later_held, self.later_settled
        return self.estimated, self.held, self.settled

    def steps(self) -> dict[int | None, tuple[int, int, int]]:
        """Return what is added at once (None) and at the start of a day: (estimated, settled, held)."""
        steps: dict[int | None, tuple[int, int, int]] = {None: (self.estimated, self.settled, self.held)}
        if self.on is not None:
            steps[self.on] = (
                -self.estimated,
                self.later_settled - self.settled,
                self.later_held - self.held,
            )
        return steps


NOTHING = Amounts()


class Entry(Struct, array_like=True, frozen=True, gc=False):
    """One posting: signed changes in fen, effective at once or from a day on, and why.

    `at` is the causing record's timestamp in µs; `cause` the kind of fact; `rule` the version that
    priced the share.
    """

    at: int
    effective_on: int | None
    line: str
    role: str
    kind: str
    estimated: int
    settled: int
    held: int
    cause: str
    rule: str
    format: int = 1


def postings(before: Amounts, after: Amounts) -> list[tuple[int | None, int, int, int]]:
    """Return the differences (effective_on, estimated, settled, held) that turn one into the other."""
    if before == after:
        return []
    if before.on is None and after.on is None:
        at_once = (
            after.estimated - before.estimated,
            after.settled - before.settled,
            after.held - before.held,
        )
        return [(None, *at_once)] if any(at_once) else []
    old, new = before.steps(), after.steps()
    differences = []
    for day in sorted(old.keys() | new.keys(), key=lambda day: ALWAYS if day is None else day):
        was, becomes = old.get(day, (0, 0, 0)), new.get(day, (0, 0, 0))
        estimated, settled, held = (b - a for a, b in zip(was, becomes, strict=True))
        if estimated or settled or held:
            differences.append((day, estimated, settled, held))
    return differences


def kind_of(estimated: int, settled: int, held: int) -> str:
    """Return the entry's kind, from the direction in which money moves; one of ENTRY_KINDS."""
    if estimated and not settled and not held:
        return "estimate" if estimated > 0 else "estimate-void"
    if settled > 0:
        return "settle" if estimated < 0 else "unhold" if held < 0 else "adjust"
    if estimated > 0:
        return "settle-reversal" if settled < 0 else "unhold" if held < 0 else "adjust"
    return "hold" if held > 0 else "clawback"


ENTRY_KINDS = {
    "estimate": "an estimate rises",
    "estimate-void": "an estimate falls or ends",
    "settle": "an estimate ends and money is settled or held in its place",
    "settle-reversal": "a settlement is taken back or moved to another date, and the estimate returns",
    "hold": "money is held while a dispute or punishment is open",
    "unhold": "held money is free again",
    "clawback": "settled or held money is taken back",
    "adjust": "settled or held money rises",
}
