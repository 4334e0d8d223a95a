"""The share that one line brings one user, from the records of the account (docs/spec/money.md#pricing).

`known_share` is what the records show before a target, `decide_share` what they lead to after it. Both are
values, so that posting, counting and events compare two of them and need nothing else. Terms are pinned when
a line is first priced, and kept until its paid time changes. Amounts are in fen, days since 1970-01-01.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from ..messages import BonusTerms
from ..order.value import CLOSED, CONFIRMED, DATED, LineValue
from ..pricing.allocation import bonus_amounts, buyer_amounts, buyer_bonus
from ..pricing.rules import RuleBook, RuleVersion
from .account import AccountLine, Effective, PricingTerms, Profiles, chain_of, value_of
from .ledger import NOTHING, Amounts

BUYER = "buyer"
INVITER = "inviter"
BUYER_CHAIN = ""

#: (inviter, chain, terms, repricing, line version) of a bonus.
InviterBonus = tuple[str, tuple[str, ...], BonusTerms, int, int]


class LineShare(Struct, frozen=True, gc=False):
    """One line for one user: whose contribution is effective, the amounts, and how the head counts the line.

    `role` is "" and `rule` None where nothing gives the line to the user. `phase` is "" unless the user
    bought the line: the head counts no other lines. `bonus` is for the next inviter.
    """

    effective: Effective | None
    role: str
    rule: str | None
    amounts: Amounts
    phase: str
    phase_day: int | None
    bonus: InviterBonus | None


NO_SHARE = LineShare(None, "", None, NOTHING, "", None, None)


def known_share(user_id: str, record: AccountLine, rules: RuleBook) -> LineShare:
    """Return the share as it is posted; `role` and `rule` are those of its last entries."""
    effective = record.effective()
    bonus = bonus_for_next(user_id, record, effective, known_pricing(record, effective), rules)
    return LineShare(
        effective, record.role, record.rule, record.posted, record.counted, record.counted_day, bonus
    )


def decide_share(
    user_id: str, record: AccountLine, profiles: Callable[[], Profiles], rules: RuleBook
) -> LineShare:
    """Return the share that the line's contributions lead to; pins the pricing terms in the record."""
    effective = record.effective()
    if effective is None:
        return NO_SHARE
    terms, line_value = effective[1].terms, value_of(effective[1])
    pricing = None
    if line_value.paid_at is not None:
        pricing = pin_terms(record, effective, line_value.paid_at, profiles, rules)
    rule = None if pricing is None else pricing.rule
    amounts = NOTHING
    if pricing is not None and rule is not None:
        amounts = _amounts_of(record.line, effective, line_value, pricing.level, rules.named(rule))
    bonus = bonus_for_next(user_id, record, effective, pricing, rules)
    if terms is not None:
        return LineShare(effective, INVITER, rule, amounts, "", None, bonus)
    phase = CLOSED if line_value.punished == CONFIRMED else line_value.phase
    phase_day = line_value.from_day if phase == DATED else None
    return LineShare(effective, BUYER, rule, amounts, phase, phase_day, bonus)


def known_pricing(record: AccountLine, effective: Effective | None) -> PricingTerms | None:
    """Return the terms that are pinned for the effective contribution, None without any."""
    if effective is None:
        return None
    sender, contribution = effective
    terms = contribution.terms
    line_value = contribution.line_value if terms is None else terms.line_value
    if line_value is None or line_value.paid_at is None:
        return None
    return record.pricing.get(BUYER_CHAIN if terms is None else sender)


def pin_terms(
    record: AccountLine,
    effective: Effective,
    paid_at: int,
    profiles: Callable[[], Profiles],
    rules: RuleBook,
) -> PricingTerms:
    """Return the terms that price the line, pinned when it first comes and when its paid time changes.

    An inviter takes the buyer's rule version.
    """
    terms = effective[1].terms
    chain = BUYER_CHAIN if terms is None else effective[0]
    pricing = record.pricing.get(chain)
    if pricing is not None and pricing.paid_at == paid_at and (terms is None or pricing.rule == terms.rule):
        return pricing
    rule = rules.in_force(paid_at) if terms is None else rules.named(terms.rule)
    pricing = record.pricing[chain] = choose_terms(paid_at, rule, profiles)
    return pricing


def choose_terms(paid_at: int, rule: RuleVersion | None, profiles: Callable[[], Profiles]) -> PricingTerms:
    """Return the terms of a line that was paid then, under that rule version."""
    if rule is None:
        return PricingTerms(paid_at, None, "", None)
    level, inviter = profiles().in_force(paid_at)
    return PricingTerms(paid_at, rule.version, rule.level(level).id, inviter)


def _amounts_of(
    line: str, effective: Effective, line_value: LineValue, level: str, rule: RuleVersion
) -> Amounts:
    terms = effective[1].terms
    if terms is not None:
        return bonus_amounts(rule, terms, rule.inviter_share_bps(len(chain_of(effective[0])), level))
    return buyer_amounts(rule, line_value, rule.level(level).share_bps(line.partition(":")[0]))


def bonus_for_next(
    user_id: str,
    record: AccountLine,
    effective: Effective | None,
    pricing: PricingTerms | None,
    rules: RuleBook,
) -> InviterBonus | None:
    """Return the bonus that the next inviter gets, None without one.

    The chain ends after `max_levels` and at someone who already has a share of this line.
    """
    if pricing is None or pricing.inviter is None or effective is None or pricing.rule is None:
        return None
    sender, contribution = effective
    rule = rules.named(pricing.rule)
    chain = (*chain_of(sender), user_id)
    if len(chain) > rule.inviter_max_levels or pricing.inviter in chain:
        return None
    terms = contribution.terms
    if terms is None:
        platform = record.line.partition(":")[0]
        terms = buyer_bonus(rule, value_of(contribution), rule.level(pricing.level).share_bps(platform))
    repriced = record.repriced_at(BUYER_CHAIN if contribution.terms is None else sender)
    return pricing.inviter, chain, terms, repriced, contribution.line_version
