"""One user's account: a fold over that user's log (design.md 2, stage 2).

A head record holds the sums, one record per line holds what the line contributes, so an event
costs the same whether the user has ten lines or a hundred thousand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from msgspec import Struct, field

from . import faults
from .facts import PROFILES_MAX, Profile
from .ledger import NOTHING, Amounts
from .messages import BonusTarget, BonusTerms, LineTarget
from .rules import RuleBook
from .sharing import bonus_amounts, buyer_amounts, buyer_bonus
from .worth import Worth

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


class AccountLine(Struct, array_like=True):
    """What one line contributes to one user (format 1).

    `senders` maps `<chain>` to the last target: a chain is the sending inviters, buyer first,
    separated by spaces; for the buyer's own line it is ">" and the attribution id, or ">" alone.
    `posted` is what the ledger's entries about the line sum to, as `role` and priced by `rule`.
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
    role: str = ""
    rule: str = ""

    def effective(self) -> Effective | None:
        """Return the one contribution that holds: the present one of the newest line version.

        While a line moves, the old and the new owner's bonus can both be here: the newer one holds.
        """
        senders = self.senders
        if len(senders) == 1:  # as nearly always
            ((sender, said),) = senders.items()
            return None if said.worth is None and said.terms is None else (sender, said)
        held: Effective | None = None
        for sender, said in senders.items():
            if said.worth is None and said.terms is None:
                continue
            if held is None or (said.line_version, sender) > (held[1].line_version, held[0]):
                held = sender, said
        return held


#: The sender of the contribution that holds, and the contribution.
Effective = tuple[str, Contribution]


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


def take_target(record: AccountLine, target: LineTarget | BonusTarget, sender: str) -> bool:
    """Keep a target unless a newer one of the same sender is known; return whether anything changed."""
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
    """Return the worth that a contribution which holds is computed from; ValueError for one that does not."""
    worth = contribution.worth if contribution.terms is None else contribution.terms.worth
    if worth is None:
        raise ValueError("the line is not this user's through that sender")
    return worth


def known_pin(record: AccountLine, effective: Effective | None) -> Pin | None:
    """Return what priced the contribution that holds, None where nothing is pinned for it."""
    if effective is None or worth_of(effective[1]).paid_at is None:
        return None
    return record.pins.get(_chain_key(effective))


def pin_line(
    record: AccountLine, effective: Effective | None, profiles: Callable[[], Profiles], rules: RuleBook
) -> Pin | None:
    """Return what prices the line, chosen when it first comes, and anew when its paid time changes.

    None: it is nobody's business here, or was never paid. An inviter takes the buyer's rule version.
    """
    if effective is None:
        return None
    terms, paid_at = effective[1].terms, worth_of(effective[1]).paid_at
    if paid_at is None:
        return None
    chain = _chain_key(effective)
    pin = record.pins.get(chain)
    if pin is not None and pin.paid_at == paid_at and (terms is None or pin.rule == terms.rule):
        return pin
    rule = rules.in_force(paid_at) if terms is None else rules.named(terms.rule)
    if rule is None:
        pin = Pin(paid_at, None, "", None)
    else:
        level, inviter = profiles().in_force(paid_at)
        pin = Pin(paid_at, rule.version, rule.level(level).id, inviter)
    record.pins[chain] = pin
    return pin


def _chain_key(effective: Effective) -> str:
    return BUYER_CHAIN if effective[1].terms is None else effective[0]


def amounts_of(record: AccountLine, effective: Effective | None, pin: Pin | None, rules: RuleBook) -> Amounts:
    """Return the share that the line brings this user now."""
    if effective is None or pin is None or pin.rule is None:
        return NOTHING
    sender, contribution = effective
    rule = rules.named(pin.rule)
    if contribution.terms is not None:
        bps = rule.inviter_share_bps(len(chain_of(sender)), pin.level)
        return bonus_amounts(rule, contribution.terms, bps)
    platform = record.line.partition(":")[0]
    return buyer_amounts(rule, worth_of(contribution), rule.level(pin.level).share_bps(platform))


#: (inviter, chain, terms, line version) of a bonus.
Outgoing = tuple[str, tuple[str, ...], BonusTerms, int]


def bonus_for_next(
    user_id: str, record: AccountLine, effective: Effective | None, pin: Pin | None, rules: RuleBook
) -> Outgoing | None:
    """Return the bonus that the next inviter gets, None without one.

    The chain ends after `max_levels` and at someone who already has a share of this line.
    """
    if pin is None or pin.inviter is None or effective is None or pin.rule is None:
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
