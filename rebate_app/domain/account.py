"""One user's account: a fold over that user's log (design.md 2, stage 2).

A head record holds the sums, one record per line holds what the line contributes, so an event
costs the same whether the user has ten lines or a hundred thousand.
"""

from __future__ import annotations

from bisect import bisect_right

from msgspec import Struct, field

from . import faults
from .facts import PROFILES_MAX, Profile
from .ledger import ALWAYS, NOTHING, Amounts, Entry, kind_of, postings
from .messages import BonusTarget, BonusTerms, LineTarget
from .rules import RuleBook
from .sharing import bonus_amounts, buyer_amounts, buyer_bonus
from .worth import CLOSED, CONFIRMED, DATED, OPEN, SETTLED_PHASE, Worth

BUYER = "buyer"
INVITER = "inviter"
BUYER_CHAIN = ""
CHAIN_SEPARATOR = " "  # no id contains a space


class Pin(Struct, array_like=True, frozen=True, gc=False):
    """What prices a line for its owner, chosen when it first came: rule version, level, inviter.

    `rule` None: paid before the first version, worth 0 (`no-rule`). Chosen anew only when
    `paid_at` changes (contracts.md 3).
    """

    paid_at: int
    rule: str | None
    level: str
    inviter: str | None


class Contribution(Struct, array_like=True, frozen=True, gc=False):
    """The last target of one sender; both bodies None: the line is not this user's through that sender."""

    version: int
    line_version: int
    worth: Worth | None = None
    terms: BonusTerms | None = None
    by: str = ""

    @property
    def present(self) -> bool:
        """Whether the sender says that the line is this user's."""
        return self.worth is not None or self.terms is not None


class AccountLine(Struct, array_like=True):
    """What one line contributes to one user (format 1).

    `senders` maps `<chain>` to the last target: a chain is the sending inviters, buyer first,
    separated by spaces; for the buyer's own line it is ">" and the attribution id, or ">" alone.
    """

    format: int
    seq: int
    line: str
    senders: dict[str, Contribution] = field(default_factory=dict)
    pins: dict[str, Pin] = field(default_factory=dict)
    posted: Amounts = NOTHING
    counted: str = ""  # the phase under which the head counts the line, "" when it does not
    counted_day: int | None = None
    updated_at: int = 0

    def effective(self) -> tuple[str, Contribution] | None:
        """Return the one contribution that holds: the present one of the newest line version."""
        present = [(name, item) for name, item in self.senders.items() if item.present]
        if not present:
            return None
        return max(present, key=lambda pair: (pair[1].line_version, pair[0]))


class Head(Struct, array_like=True):
    """The sums of one user's account (format 1). Amounts in fen.

    `settled` maps day from which it counts → release day → amount; `later` maps a day to what it
    changes: estimated, held, lines that become settled. `lines`: open, settled, closed, as bought.
    """

    format: int = 1
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


class Profiles(Struct, array_like=True):
    """A user's profile facts by `effective_at`; of equals the later in the log (format 1)."""

    format: int = 1
    facts: list[tuple[int, str, str | None]] = field(default_factory=list)

    def in_force(self, moment: int) -> tuple[str | None, str | None]:
        """Return (level, inviter) at the moment: greatest effective_at ≤ it, else the earliest, else none."""
        if not self.facts:
            return None, None
        position = bisect_right(self.facts, moment, key=lambda fact: fact[0])
        return self.facts[max(position - 1, 0)][1:]


def take_profile(profiles: Profiles, fact: Profile) -> faults.Fault | bool:
    """Keep a profile fact; return whether anything changed, or the limit that it exceeds."""
    kept = (fact.effective_at, fact.level, fact.inviter_id)
    position = bisect_right(profiles.facts, fact.effective_at, key=lambda known: known[0])
    if position and profiles.facts[position - 1][0] == fact.effective_at:
        changed = profiles.facts[position - 1] != kept
        profiles.facts[position - 1] = kept
        return changed
    if len(profiles.facts) >= PROFILES_MAX:
        return faults.limit("effective_at", f"a user keeps at most {PROFILES_MAX} profile facts")
    profiles.facts.insert(position, kept)
    return True


def sender_of(target: LineTarget | BonusTarget) -> str:
    """Return the key under which a target's sender is kept with the line."""
    if isinstance(target, LineTarget):
        return ">" + target.source
    return CHAIN_SEPARATOR.join(target.chain)


def take_target(record: AccountLine, target: LineTarget | BonusTarget) -> bool:
    """Keep a target unless a newer one of the same sender is known; return whether anything changed."""
    sender = sender_of(target)
    known = record.senders.get(sender)
    if known is not None and target.version < known.version:
        return False
    if isinstance(target, LineTarget):
        said = Contribution(target.version, target.line_version, target.worth, None, target.by)
    else:
        said = Contribution(target.version, target.line_version, None, target.terms)
    record.senders[sender] = said
    return known != said


def chain_of(sender: str) -> tuple[str, ...]:
    """Return the chain before this user: empty for the buyer."""
    return () if sender.startswith(">") else tuple(sender.split(CHAIN_SEPARATOR))


def worth_of(contribution: Contribution) -> Worth:
    """Return the worth that a present contribution is computed from."""
    if contribution.terms is not None:
        return contribution.terms.worth
    assert contribution.worth is not None  # noqa: S101 - the caller asked `present` first
    return contribution.worth


def pin_line(record: AccountLine, profiles: Profiles, rules: RuleBook) -> Pin | None:
    """Choose rule version, level and inviter when the line first comes, or its paid time changed."""
    effective = record.effective()
    if effective is None:
        return None
    sender, contribution = effective
    paid_at = worth_of(contribution).paid_at
    if paid_at is None:
        return None
    chain = sender if contribution.terms is not None else BUYER_CHAIN
    pin = record.pins.get(chain)
    if pin is not None and pin.paid_at == paid_at:
        return pin
    if contribution.terms is not None:
        rule = rules.named(contribution.terms.rule)
    else:
        in_force = rules.in_force(paid_at)
        if in_force is None:
            record.pins[chain] = pin = Pin(paid_at, None, "", None)
            return pin
        rule = in_force
    level, inviter = profiles.in_force(paid_at)
    record.pins[chain] = pin = Pin(paid_at, rule.version, rule.level(level).id, inviter)
    return pin


def amounts_of(record: AccountLine, pin: Pin | None, rules: RuleBook) -> Amounts:
    """Return the share that the line brings this user now."""
    effective = record.effective()
    if effective is None or pin is None or pin.rule is None:
        return NOTHING
    sender, contribution = effective
    rule = rules.named(pin.rule)
    platform = record.line.partition(":")[0]
    if contribution.terms is not None:
        bps = rule.inviter_share_bps(len(chain_of(sender)), pin.level)
        return bonus_amounts(rule, contribution.terms, bps)
    return buyer_amounts(rule, worth_of(contribution), rule.level(pin.level).share_bps(platform))


Outgoing = tuple[str, tuple[str, ...], BonusTerms, int]


def bonus_for_next(user_id: str, record: AccountLine, pin: Pin | None, rules: RuleBook) -> Outgoing | None:
    """Return (inviter, chain, terms, line version) of the bonus that the next inviter gets, None without one.

    The chain ends after `max_levels` and at someone who already has a share of this line.
    """
    effective = record.effective()
    if effective is None or pin is None or pin.rule is None or pin.inviter is None:
        return None
    sender, contribution = effective
    rule = rules.named(pin.rule)
    chain = (*chain_of(sender), user_id)
    if len(chain) > rule.inviter_max_levels or pin.inviter in chain:
        return None
    terms = contribution.terms
    if terms is None:
        platform = record.line.partition(":")[0]
        terms = buyer_bonus(rule, worth_of(contribution), rule.level(pin.level).share_bps(platform))
    return pin.inviter, chain, terms, contribution.line_version


def post(
    head: Head, record: AccountLine, after: Amounts, *, at: int, cause: str, rule: str | None
) -> list[Entry]:
    """Move the line's share from what was posted to `after`; return one entry per difference."""
    before = record.posted
    if before == after:
        return []
    effective = record.effective()
    buys = effective is None or effective[1].terms is None
    role = BUYER if buys else INVITER
    entries = [
        Entry(at, day, record.line, role, kind_of(e, s, h), e, s, h, cause, rule)
        for day, e, s, h in postings(before, after)
    ]
    _add(head, before, -1)
    _add(head, after, +1)
    record.posted = after
    return entries


def _add(head: Head, amounts: Amounts, sign: int) -> None:
    head.estimated += sign * amounts.estimated
    head.held += sign * amounts.held
    if amounts.settled and amounts.release_on is not None:
        _add_settled(head, ALWAYS, amounts.release_on, sign * amounts.settled)
    if amounts.on is None:
        return
    if amounts.later_settled and amounts.release_on is not None:
        _add_settled(head, amounts.on, amounts.release_on, sign * amounts.later_settled)
    _shift(head, amounts.on, -sign * amounts.estimated, sign * (amounts.later_held - amounts.held), 0)


def _add_settled(head: Head, from_day: int, release_on: int, amount: int) -> None:
    by_release = head.settled.setdefault(from_day, {})
    by_release[release_on] = by_release.get(release_on, 0) + amount
    if not by_release[release_on]:
        del by_release[release_on]
    if not by_release:
        del head.settled[from_day]


def _shift(head: Head, day: int, estimated: int, held: int, lines: int) -> None:
    was = head.later.get(day, (0, 0, 0))
    becomes = (was[0] + estimated, was[1] + held, was[2] + lines)
    if becomes == (0, 0, 0):
        head.later.pop(day, None)
    else:
        head.later[day] = becomes


def count_line(head: Head, record: AccountLine) -> None:
    """Count the line under open, settled or closed for its buyer, and no more when it left."""
    effective = record.effective()
    phase, day = "", None
    if effective is not None and effective[1].terms is None:
        worth = worth_of(effective[1])
        phase = CLOSED if worth.punished == CONFIRMED else worth.phase
        day = worth.from_day if phase == DATED else None
    if (phase, day) == (record.counted, record.counted_day):
        return
    _count(head, record.counted, record.counted_day, -1)
    _count(head, phase, day, +1)
    record.counted, record.counted_day = phase, day


def _count(head: Head, phase: str, day: int | None, sign: int) -> None:
    if phase in (OPEN, DATED):
        head.open += sign
    elif phase == SETTLED_PHASE:
        head.settled_lines += sign
    elif phase == CLOSED:
        head.closed += sign
    if day is not None:
        _shift(head, day, 0, 0, sign)
