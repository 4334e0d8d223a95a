"""One order line: everything that its facts say, merged so that no order of arrival matters.

The state is not the list of facts but what the law of contracts.md 3 can ever ask of that list,
so it stays small however often a network repeats itself. Every member is a maximum, a minimum or
a map of such, which is why merging is commutative and repeating changes nothing.
"""

from __future__ import annotations

from msgspec import Struct, field

from . import faults
from .calendar import day_of
from .facts import (
    CLAIMS_MAX,
    EXPECTED_DATES_MAX,
    PUNISH_RANK,
    REFUND_RANK,
    STATUS_RANK,
    SUITS_MAX,
    Attribution,
    Claim,
    OrderFact,
    Punish,
    Refund,
    Snapshot,
)
from .worth_value import Worth

ABSENT = -(1 << 62)  # an absent moment or date comes before every other one

#: Version order of snapshots: modified_at, rank, fetch_seq, settled_commission, est_commission,
#: service_fee, paid, settled, expected_settle. The greater is the newer one.
Version = tuple[int, int, int, int, int, int, int, int, int]

MODIFIED, RANK, FETCH_SEQ, SETTLED_COMMISSION, EST_COMMISSION, SERVICE_FEE, PAID, SETTLED, EXPECTED = range(9)

STATUS_OF_RANK = tuple(STATUS_RANK)
NOTHING_SAID = Attribution()
TIMELINE_MAX = 40  # what a person reads; the topic keeps everything

#: (log timestamp, kind, what it said, amount, amount, amount)
Moment = tuple[int, str, str, int, int, int]


class Said(Struct, array_like=True, gc=False):
    """The newest attribution of snapshots of one version: only members that no newer one gives."""

    version: Version
    by: Attribution


class Sent(Struct, array_like=True, frozen=True, gc=False):
    """What the log that holds the line was told last, so that only news are sent."""

    by: str
    worth: Worth
    claim: str | None


class LineState(Struct, array_like=True):
    """All that the facts of one order line have said so far (format 1).

    Versions are kept whole, because a late snapshot has to find its place among them.
    `last_of_day` has the newest counted snapshot of each Shanghai day of `modified_at`, that of
    `best` excepted: with both, whether an expected date takes effect can be told whatever arrives
    in whatever order, since such dates begin at midnight. Counted: neither `unknown` nor `punished`.
    """

    format: int = 1
    best: Version | None = None  # among the counted ones
    show: str = "{}"
    punished: Version | None = None
    unknown: Version | None = None
    last_of_day: dict[int, Version] = field(default_factory=dict)
    received: dict[int, Version] = field(default_factory=dict)  # expected date -> newest that carries it
    first_settled_at: int | None = None
    settled_expected: int | None = None
    said: list[Said] = field(default_factory=list)
    said_unknown: list[Said] = field(default_factory=list)
    suits: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # modified_at, rank, net_refund
    punish: tuple[int, int] | None = None  # modified_at, rank
    claims: list[tuple[int, str]] = field(default_factory=list)  # claimed_at, user; sorted
    timeline: list[Moment] = field(default_factory=list)
    sent_to: str | None = None  # the log that holds the line now
    sent_offset: int = -1  # the fact after which it was sent last
    sent: Sent | None = None

    @property
    def only_unknown(self) -> bool:
        """Whether no snapshot has a status that counts for anything."""
        return self.best is None and self.punished is None


def version_of(snapshot: Snapshot) -> Version:
    """Return the snapshot's place in the version order (contracts.md 1)."""
    return (
        snapshot.modified_at,
        STATUS_RANK[snapshot.status],
        snapshot.fetch_seq,
        snapshot.settled_commission,
        snapshot.est_commission or 0,
        snapshot.service_fee,
        ABSENT if snapshot.paid_at is None else snapshot.paid_at,
        ABSENT if snapshot.settled_at is None else snapshot.settled_at,
        ABSENT if snapshot.expected_settle is None else snapshot.expected_settle,
    )


def status_of(version: Version | None) -> str | None:
    """Return the status word of a version, None where there is none."""
    return None if version is None else STATUS_OF_RANK[version[RANK]]


def moment_or_none(value: int) -> int | None:
    """Return a version's moment or date, None where it was absent."""
    return None if value == ABSENT else value


def merge(state: LineState, fact: OrderFact, at: int) -> faults.Fault | bool:
    """Take one fact into the state; return whether it changed anything, or the limit it exceeds.

    `at` is the record's timestamp in µs: it only dates the time line that people read.
    """
    if isinstance(fact, Snapshot):
        outcome = _merge_snapshot(state, fact)
        moment = (fact.status, fact.est_commission or 0, fact.settled_commission, fact.service_fee)
        kind = "snapshot"
    elif isinstance(fact, Refund):
        outcome = _merge_refund(state, fact)
        moment, kind = (f"{fact.status} {fact.suit_id}", fact.net_refund, 0, 0), "refund"
    elif isinstance(fact, Punish):
        outcome = _merge_punish(state, fact)
        moment, kind = (fact.status, 0, 0, 0), "punish"
    else:
        outcome = _merge_claim(state, fact)
        moment, kind = (fact.user_id, 0, 0, 0), "claim"
    if outcome is True:
        _tell(state.timeline, (at, kind, *moment))
    return outcome


def _tell(timeline: list[Moment], moment: Moment) -> None:
    """Keep what was said, unless it says what the last one did: networks touch rows that do not change."""
    if timeline and timeline[-1][1:] == moment[1:]:
        return
    timeline.append(moment)
    if len(timeline) > TIMELINE_MAX:
        del timeline[:-TIMELINE_MAX]


def _merge_snapshot(state: LineState, snapshot: Snapshot) -> faults.Fault | bool:
    version = version_of(snapshot)
    expected = snapshot.expected_settle if snapshot.status == "received" else None
    if expected is not None and expected not in state.received and len(state.received) >= EXPECTED_DATES_MAX:
        return faults.limit(
            "times.expected_settle", f"a line keeps at most {EXPECTED_DATES_MAX} different expected dates"
        )
    unknown = snapshot.status == "unknown"
    changed = _merge_said(state.said_unknown if unknown else state.said, version, snapshot.attribution)
    if unknown:
        if state.unknown is None or version > state.unknown:
            state.unknown, changed = version, True
    elif snapshot.status == "punished":
        if state.punished is None or version > state.punished:
            state.punished, changed = version, True
    else:
        changed |= _merge_counted(state, snapshot, version, expected)
    return changed


def _merge_counted(state: LineState, snapshot: Snapshot, version: Version, expected: int | None) -> bool:
    best = state.best
    day = day_of(version[MODIFIED])
    changed = False
    if best is None or version > best:
        if best is not None and day_of(best[MODIFIED]) != day:
            state.last_of_day[day_of(best[MODIFIED])] = best
        state.best, state.show = version, snapshot.show.decode()
        state.last_of_day.pop(day, None)
        changed = True
    elif version == best:
        show = snapshot.show.decode()
        changed, state.show = show > state.show, max(show, state.show)
    elif day != day_of(best[MODIFIED]) and version > state.last_of_day.get(day, (ABSENT,)):
        state.last_of_day[day] = version
        changed = True
    if expected is not None and version > state.received.get(expected, (ABSENT,)):
        state.received[expected] = version
        changed = True
    if snapshot.status == "settled":
        if state.first_settled_at is None or version[MODIFIED] < state.first_settled_at:
            state.first_settled_at, changed = version[MODIFIED], True
        carried = snapshot.expected_settle
        if carried is not None and (state.settled_expected is None or carried < state.settled_expected):
            state.settled_expected, changed = carried, True
    return changed


def _merge_said(said: list[Said], version: Version, by: Attribution | None) -> bool:
    """Keep each member's newest value: newest group first, shadowed members and groups dropped."""
    if by is None or by == NOTHING_SAID:
        return False
    if not said:
        said.append(Said(version, by))
        return True
    if len(said) == 1:  # as nearly always: the same members again, said later or not
        only = said[0]
        if by == only.by:
            if version <= only.version:
                return False
            said[0] = Said(version, by)
            return True
    groups = {group.version: _members(group.by) for group in said}
    known = groups.setdefault(version, {})
    for name, value in _members(by).items():
        known[name] = max(known.get(name, ""), value, key=str.encode)
    kept: list[Said] = []
    seen: set[str] = set()
    for newest in sorted(groups, reverse=True):
        fresh = {name: value for name, value in groups[newest].items() if name not in seen}
        if fresh:
            kept.append(Said(newest, Attribution(**fresh)))
            seen.update(fresh)
    if kept == said:
        return False
    said[:] = kept
    return True


def _members(by: Attribution) -> dict[str, str]:
    return {name: value for name in Attribution.__struct_fields__ if (value := getattr(by, name)) is not None}


def _merge_refund(state: LineState, refund: Refund) -> faults.Fault | bool:
    known = state.suits.get(refund.suit_id)
    if known is None and len(state.suits) >= SUITS_MAX:
        return faults.limit("suit_id", f"a line keeps at most {SUITS_MAX} suits")
    said = (refund.modified_at, REFUND_RANK[refund.status], refund.net_refund)
    if known is not None and said <= known:
        return False
    state.suits[refund.suit_id] = said
    return True


def _merge_punish(state: LineState, punish: Punish) -> bool:
    said = (punish.modified_at, PUNISH_RANK[punish.status])
    if state.punish is not None and said <= state.punish:
        return False
    state.punish = said
    return True


def _merge_claim(state: LineState, claim: Claim) -> faults.Fault | bool:
    said = (claim.claimed_at, claim.user_id)
    if said in state.claims:
        return False
    if len(state.claims) >= CLAIMS_MAX:
        return faults.limit("claimed_at", f"a line keeps at most {CLAIMS_MAX} claims")
    state.claims.append(said)
    state.claims.sort()
    return True
