"""The records of one user's account (docs/spec/architecture.md#stage-2).

A head has the sums, one record per line has what the line contributes, so a target costs the same whether
the user has ten lines or a hundred thousand. A late or repeated target of a sender changes nothing. Amounts
are in fen, moments in µs, days since 1970-01-01.
"""

from __future__ import annotations

from bisect import bisect_right

from msgspec import UNSET, Struct, field

from .. import faults
from ..facts import PROFILES_MAX, Profile
from ..messages import BonusTarget, BonusTerms, LineTarget
from ..order.value import LineValue
from .ledger import NOTHING, Amounts

CHAIN_SEPARATOR = " "  # no id contains a space
HEAD_FORMAT = 2
NOT_REPRICED = -1
PASSED_OVER = ">"  # no chain: those of buyers' lines are not keys of `pricing`


class PricingTerms(Struct, array_like=True, frozen=True, gc=False):
    """What prices a line for its owner, pinned when it first came: rule version, level, inviter.

    `rule` None: paid before the first version, so the share is 0 (`no-rule`). Pinned anew only when
    `paid_at` changes (docs/spec/money.md#pricing).
    """

    paid_at: int
    rule: str | None
    level: str
    inviter: str | None


class Contribution(Struct, array_like=True, frozen=True, gc=False):
    """The last target of one sender; both bodies None: the line is not this user's through that sender."""

    version: int
    line_version: int
    line_value: LineValue | None = None
    terms: BonusTerms | None = None
    by: str = ""


#: The sender of the effective contribution, and the contribution.
Effective = tuple[str, Contribution]


class AccountLine(Struct, array_like=True):
    """What one line contributes to one user (format 1).

    `senders` maps `<chain>` to the last target: a chain is the sending inviters, buyer first,
    separated by spaces; for the buyer's own line it is ">" and the attribution id, or ">" alone.
    `posted` is the sum of the ledger's entries about the line, as `role` and priced by `rule`. `repriced`
    maps a key of `pricing` to the repricing under which its terms were chosen, an offset of the buyer's log;
    under PASSED_OVER is the last repricing that the line did not match, if that has to be known.
    """

    format: int
    sequence: int
    line: str
    senders: dict[str, Contribution] = field(default_factory=dict)
    pricing: dict[str, PricingTerms] = field(default_factory=dict)
    posted: Amounts = NOTHING
    counted: str = ""  # the phase under which the head counts the line, "" when it does not
    counted_day: int | None = None
    updated_at: int = 0
    role: str = ""
    rule: str = ""
    repriced: dict[str, int] | None = None

    def repriced_at(self, chain: str) -> int:
        """Return the repricing under which the chain's terms were chosen, NOT_REPRICED for none."""
        return NOT_REPRICED if self.repriced is None else self.repriced.get(chain, NOT_REPRICED)

    def mark_repriced(self, chain: str, offset: int) -> None:
        """Note a repricing."""
        if self.repriced is None:
            self.repriced = {}
        self.repriced[chain] = offset

    def effective(self) -> Effective | None:
        """Return the effective contribution: the one with a body and the newest line version.

        While a line moves, the old and the new owner's bonus can both be here: the newer one is effective.
        """
        senders = self.senders
        if len(senders) == 1:  # as nearly always
            ((sender, contribution),) = senders.items()
            if contribution.line_value is None and contribution.terms is None:
                return None
            return sender, contribution
        newest: Effective | None = None
        for sender, contribution in senders.items():
            if contribution.line_value is None and contribution.terms is None:
                continue
            if newest is None or (contribution.line_version, sender) > (newest[1].line_version, newest[0]):
                newest = sender, contribution
        return newest


class Head(Struct, array_like=True):
    """The sums of one user's account (format 2; format 1 has no `frozen` and `withdrawn`).

    `settled` maps day from which it counts → release day → amount; `later` maps a day to what it
    changes: estimated, held, lines that become settled. `open`, `settled_lines`, `closed` count lines that
    the user bought. `frozen` is money of withdrawals under way, `withdrawn` money that was paid out.
    """

    format: int = HEAD_FORMAT
    version: int = 0
    line_count: int = 0
    entry_count: int = 0
    estimated: int = 0
    held: int = 0
    settled: dict[int, dict[int, int]] = field(default_factory=dict)
    later: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    open: int = 0
    settled_lines: int = 0
    closed: int = 0
    frozen: int = 0
    withdrawn: int = 0


class Repricing(Struct, array_like=True):
    """A repricing of which lines are still waiting: the members of its fact, its place and how far it is.

    It concerns the first `line_count` lines of the account, those there were. Of these, those before number
    `position` are done; with `lines`, `position` counts in that list. `has_profiles`: the profile facts as
    they were are kept apart, since others came later.
    """

    offset: int
    at: int
    lines: tuple[str, ...] | None
    paid_from: int | None
    paid_to: int | None
    released: bool
    line_count: int
    position: int = 0
    has_profiles: bool = False

    @property
    def end(self) -> int:
        """Return the position at which it is finished."""
        return self.line_count if self.lines is None else len(self.lines)

    def concerns(self, record: AccountLine) -> bool:
        """Return whether the repricing still has to look at the line."""
        if record.sequence >= self.line_count:
            return False
        if max(record.repriced_at(""), record.repriced_at(PASSED_OVER)) >= self.offset:
            return False
        if self.lines is None:
            return record.sequence >= self.position
        return record.line in self.lines


class Repricings(Struct, array_like=True):
    """A user's repricings: those under way in the order of the log, and the last ones (format 1).

    `past` has (offset, moment, reason) of each.
    """

    format: int = 1
    under_way: list[Repricing] = field(default_factory=list)
    past: list[tuple[int, int, str]] = field(default_factory=list)


class Profiles(Struct, array_like=True):
    """A user's profile facts by `effective_at`; of equal moments the later in the log (format 1).

    `actors`: who sent them, by `effective_at`, for display; those of older records are not known.
    """

    format: int = 1
    facts: list[tuple[int, str, str | None]] = field(default_factory=list)
    actors: dict[int, str] = field(default_factory=dict)

    def in_force(self, moment: int) -> tuple[str | None, str | None]:
        """Return (level, inviter) at the moment, two None without any profile."""
        fact = self.fact_in_force(moment)
        return (None, None) if fact is None else fact[1:]

    def fact_in_force(self, moment: int) -> tuple[int, str, str | None] | None:
        """Return (effective_at, level, inviter): the greatest effective_at ≤ moment, else the earliest."""
        if not self.facts:
            return None
        position = bisect_right(self.facts, moment, key=lambda fact: fact[0])
        return self.facts[max(position - 1, 0)]

    def inviters(self) -> frozenset[str]:
        """Return everybody whom some fact names as inviter."""
        return frozenset(inviter for _, _, inviter in self.facts if inviter is not None)


def take_profile(profiles: Profiles, fact: Profile) -> faults.Fault | bool:
    """Keep a profile fact; return whether anything changed, or the limit that the fact exceeds."""
    kept = (fact.effective_at, fact.level, fact.inviter_id)
    position = bisect_right(profiles.facts, fact.effective_at, key=lambda known: known[0])
    if position and profiles.facts[position - 1][0] == fact.effective_at:
        changed = profiles.facts[position - 1] != kept
        profiles.facts[position - 1] = kept
        if changed:
            _note_actor(profiles, fact)
        return changed
    if len(profiles.facts) >= PROFILES_MAX:
        return faults.limit("effective_at", f"a user keeps at most {PROFILES_MAX} profile facts")
    profiles.facts.insert(position, kept)
    _note_actor(profiles, fact)
    return True


def _note_actor(profiles: Profiles, fact: Profile) -> None:
    """Keep who sent the fact that holds at its moment."""
    profiles.actors.pop(fact.effective_at, None)
    if fact.actor is not None:
        profiles.actors[fact.effective_at] = fact.actor


def sender_of(target: LineTarget | BonusTarget) -> str:
    """Return the key under which the line keeps the target's sender."""
    if isinstance(target, LineTarget):
        return ">" + target.source
    return CHAIN_SEPARATOR.join(target.chain)


def take_target(record: AccountLine, target: LineTarget | BonusTarget, sender: str) -> bool:
    """Keep a target unless a newer one of the same sender is known; return whether anything changed."""
    known = record.senders.get(sender)
    if known is not None and target.version < known.version:
        return False
    if isinstance(target, LineTarget):
        contribution = Contribution(target.version, target.line_version, target.line_value, None, target.by)
    else:
        contribution = Contribution(target.version, target.line_version, None, target.terms)
    record.senders[sender] = contribution
    return _take_repricing(record, target, sender) or known != contribution


def _take_repricing(record: AccountLine, target: LineTarget | BonusTarget, sender: str) -> bool:
    """Drop an inviter's terms when the line was repriced for its buyer; return whether it was."""
    if isinstance(target, LineTarget) or target.repriced is UNSET:
        return False
    if target.repriced == record.repriced_at(sender):
        return False
    record.mark_repriced(sender, target.repriced)
    record.pricing.pop(sender, None)
    return True


def chain_of(sender: str) -> tuple[str, ...]:
    """Return the chain before this user: empty for the buyer."""
    return () if sender.startswith(">") else tuple(sender.split(CHAIN_SEPARATOR))


def value_of(contribution: Contribution) -> LineValue:
    """Return the line value of a contribution with a body; ValueError for one without."""
    line_value = contribution.line_value if contribution.terms is None else contribution.terms.line_value
    if line_value is None:
        raise ValueError("the line is not this user's through that sender")
    return line_value
