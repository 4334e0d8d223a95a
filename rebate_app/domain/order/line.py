"""The state of an order line: what its facts say, merged so that the order of arrival does not matter.

The state keeps no list of facts. Every member is a maximum, a minimum or a map of such over the facts, so
merging is commutative and idempotent, and the state stays small however often a network repeats a row. It
holds whatever docs/spec/money.md#state-of-a-line can ask of the facts. Moments are in µs, dates in days since
1970-01-01, amounts in fen. A fact that exceeds a limit is returned as a fault and changes nothing.
"""

from __future__ import annotations

from msgspec import Struct, field

from .. import faults
from ..compact_moment import compact_moment
from ..facts import (
    CLAIMS_MAX,
    EXPECTED_DATES_MAX,
    PUNISH_RANK,
    REFUND_RANK,
    SUITS_MAX,
    Attribution,
    Claim,
    OrderFact,
    Punish,
    Refund,
    Snapshot,
)
from ..pricing.calendar import day_of
from .snapshot_key import OLDEST, SnapshotKey, key_of
from .value import LineValue

NO_ATTRIBUTION = Attribution()
TIMELINE_MAX = 40  # entries for people; the topic keeps every fact


class TimelineEntry(Struct, array_like=True, frozen=True, gc=False):
    """One fact, for people.

    `detail` is the status of a snapshot or punishment, status and suit of a refund, the user of a claim;
    `amount` the estimated commission, or the `net_refund`. `at` is the record's timestamp, `modified_at` the
    network's own moment, compact (compact_moment.py): None for a claim, and in older records. `actor`: who
    sent the fact, None where nothing says so, and in older records.
    """

    at: int
    kind: str
    detail: str
    amount: int
    settled: int
    fee: int
    modified_at: int | None = None
    actor: str | None = None

    def repeats(self, other: TimelineEntry) -> bool:
        """Return whether both are equal but for their moments and actors."""
        return (
            self.detail == other.detail
            and self.amount == other.amount
            and self.settled == other.settled
            and self.fee == other.fee
            and self.kind == other.kind
        )


class KeyedAttribution(Struct, array_like=True, gc=False):
    """What the snapshots of one key say of attribution: only members that no newer snapshot gives."""

    key: SnapshotKey
    attribution: Attribution


class SentTarget(Struct, array_like=True, frozen=True, gc=False):
    """The last target that the line's log was sent: an equal one is not sent again."""

    by: str
    line_value: LineValue
    claim: str | None


class LineState(Struct, array_like=True):
    """The merged facts of one order line (format 1).

    A snapshot counts if its status is neither `unknown` nor `punished`. Keys are kept whole, because a late
    snapshot has to find its place among them. `last_of_day` has the newest counted snapshot of each Shanghai
    day of `modified_at`, except that of `best`: with both, whether an expected date takes effect can be
    decided in any order of arrival, since such dates begin at midnight.
    """

    format: int = 1
    best: SnapshotKey | None = None  # newest of the counted ones
    display: str = "{}"  # JSON object of the display fields of `best`
    punished: SnapshotKey | None = None
    unknown: SnapshotKey | None = None
    last_of_day: dict[int, SnapshotKey] = field(default_factory=dict)
    received: dict[int, SnapshotKey] = field(default_factory=dict)  # expected date -> newest that carries it
    first_settled_at: int | None = None
    settled_expected: int | None = None
    attributions: list[KeyedAttribution] = field(default_factory=list)  # newest first
    unknown_attributions: list[KeyedAttribution] = field(default_factory=list)  # of `unknown` snapshots
    suits: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # modified_at, rank, net_refund
    punish: tuple[int, int] | None = None  # modified_at, rank
    claims: list[tuple[int, str]] = field(default_factory=list)  # claimed_at, user; sorted
    timeline: list[TimelineEntry] = field(default_factory=list)
    sent_to: str | None = None  # key in the user log that has the line now
    sent_offset: int = -1  # of the fact after which `sent` was sent
    sent: SentTarget | None = None

    @property
    def only_unknown(self) -> bool:
        """Whether no snapshot has a status that counts for anything."""
        return self.best is None and self.punished is None


def merge(state: LineState, fact: OrderFact, at: int, actor: str | None = None) -> faults.Fault | bool:
    """Merge one fact into the state; return whether the state changed, or the limit that the fact exceeds.

    `at` is the record's timestamp in µs, `actor` who sent it: the timeline shows both, they decide nothing.
    """
    if isinstance(fact, Snapshot):
        outcome = _merge_snapshot(state, fact)
    elif isinstance(fact, Refund):
        outcome = _merge_refund(state, fact)
    elif isinstance(fact, Punish):
        outcome = _merge_punish(state, fact)
    else:
        outcome = _merge_claim(state, fact)
    if outcome is True:
        _append(state.timeline, _timeline_entry(fact, at, actor))
    return outcome


def _timeline_entry(fact: OrderFact, at: int, actor: str | None) -> TimelineEntry:
    if isinstance(fact, Snapshot):
        est_commission, modified_at = fact.est_commission or 0, compact_moment(fact.modified_at)
        settled, fee = fact.settled_commission, fact.service_fee
        return TimelineEntry(at, "snapshot", fact.status, est_commission, settled, fee, modified_at, actor)
    if isinstance(fact, Claim):
        return TimelineEntry(at, "claim", fact.user_id, 0, 0, 0, None, actor)
    modified_at = compact_moment(fact.modified_at)
    if isinstance(fact, Refund):
        detail = f"{fact.status} {fact.suit_id}"
        return TimelineEntry(at, "refund", detail, fact.net_refund, 0, 0, modified_at, actor)
    return TimelineEntry(at, "punish", fact.status, 0, 0, 0, modified_at, actor)


def _append(timeline: list[TimelineEntry], entry: TimelineEntry) -> None:
    """Append an entry unless it repeats the last one: networks touch rows that do not change."""
    if timeline and timeline[-1].repeats(entry):
        return
    timeline.append(entry)
    if len(timeline) > TIMELINE_MAX:
        del timeline[:-TIMELINE_MAX]


def _merge_snapshot(state: LineState, snapshot: Snapshot) -> faults.Fault | bool:
    key = key_of(snapshot)
    expected = snapshot.expected_settle if snapshot.status == "received" else None
    if expected is not None and expected not in state.received and len(state.received) >= EXPECTED_DATES_MAX:
        return faults.limit(
            "times.expected_settle", f"a line keeps at most {EXPECTED_DATES_MAX} different expected dates"
        )
    unknown = snapshot.status == "unknown"
    attributions = state.unknown_attributions if unknown else state.attributions
    changed = _merge_attribution(attributions, key, snapshot.attribution)
    if unknown:
        if state.unknown is None or key > state.unknown:
            state.unknown, changed = key, True
    elif snapshot.status == "punished":
        if state.punished is None or key > state.punished:
            state.punished, changed = key, True
    else:
        changed |= _merge_counted(state, snapshot, key, expected)
    return changed


def _merge_counted(state: LineState, snapshot: Snapshot, key: SnapshotKey, expected: int | None) -> bool:
    best, modified_at = state.best, key.modified_at
    day = day_of(modified_at)
    changed = False
    if best is None or key > best:
        if best is not None and day_of(best.modified_at) != day:
            state.last_of_day[day_of(best.modified_at)] = best
        state.best, state.display = key, snapshot.display.decode()
        state.last_of_day.pop(day, None)
        changed = True
    elif key == best:
        display = snapshot.display.decode()
        changed, state.display = display > state.display, max(display, state.display)
    elif day != day_of(best.modified_at) and key > state.last_of_day.get(day, OLDEST):
        state.last_of_day[day] = key
        changed = True
    if expected is not None and key > state.received.get(expected, OLDEST):
        state.received[expected] = key
        changed = True
    if snapshot.status == "settled":
        if state.first_settled_at is None or modified_at < state.first_settled_at:
            state.first_settled_at, changed = modified_at, True
        date = snapshot.expected_settle
        if date is not None and (state.settled_expected is None or date < state.settled_expected):
            state.settled_expected, changed = date, True
    return changed


def _merge_attribution(
    attributions: list[KeyedAttribution], key: SnapshotKey, attribution: Attribution | None
) -> bool:
    """Keep each member's newest value: newest key first; members and keys that decide nothing are dropped."""
    if attribution is None or attribution == NO_ATTRIBUTION:
        return False
    if not attributions:
        attributions.append(KeyedAttribution(key, attribution))
        return True
    if len(attributions) == 1:  # as nearly always: the same members again, by an older or newer snapshot
        only = attributions[0]
        if attribution == only.attribution:
            if key <= only.key:
                return False
            attributions[0] = KeyedAttribution(key, attribution)
            return True
    by_key = {keyed.key: _members(keyed.attribution) for keyed in attributions}
    same_key = by_key.setdefault(key, {})
    for name, value in _members(attribution).items():
        same_key[name] = max(same_key.get(name, ""), value, key=str.encode)
    kept: list[KeyedAttribution] = []
    decided: set[str] = set()
    for newest in sorted(by_key, reverse=True):
        deciding = {name: value for name, value in by_key[newest].items() if name not in decided}
        if deciding:
            kept.append(KeyedAttribution(newest, Attribution(**deciding)))
            decided.update(deciding)
    if kept == attributions:
        return False
    attributions[:] = kept
    return True


def _members(attribution: Attribution) -> dict[str, str]:
    return {
        name: value
        for name in Attribution.__struct_fields__
        if (value := getattr(attribution, name)) is not None
    }


def _merge_refund(state: LineState, refund: Refund) -> faults.Fault | bool:
    known = state.suits.get(refund.suit_id)
    if known is None and len(state.suits) >= SUITS_MAX:
        return faults.limit("suit_id", f"a line keeps at most {SUITS_MAX} suits")
    suit = (refund.modified_at, REFUND_RANK[refund.status], refund.net_refund)
    if known is not None and suit <= known:
        return False
    state.suits[refund.suit_id] = suit
    return True


def _merge_punish(state: LineState, punish: Punish) -> bool:
    punishment = (punish.modified_at, PUNISH_RANK[punish.status])
    if state.punish is not None and punishment <= state.punish:
        return False
    state.punish = punishment
    return True


def _merge_claim(state: LineState, claim: Claim) -> faults.Fault | bool:
    kept = (claim.claimed_at, claim.user_id)
    if kept in state.claims:
        return False
    if len(state.claims) >= CLAIMS_MAX:
        return faults.limit("claimed_at", f"a line keeps at most {CLAIMS_MAX} claims")
    state.claims.append(kept)
    state.claims.sort()
    return True
