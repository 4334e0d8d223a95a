"""From a line's worth to amounts in buckets, for the buyer and for inviters (contracts.md 3, "Buckets")."""

from __future__ import annotations

from .ledger import NOTHING, Amounts
from .messages import BonusTerms
from .rules import RuleVersion
from .shares import buyer_share, inviter_base, inviter_share
from .worth import CLOSED, CONFIRMED, FROZEN, OPEN, SETTLED_PHASE, Worth


def _buckets(worth: Worth, before: int, full: int, rest: int) -> Amounts:
    """Put the shares of net, gross and rest where phase and punishment say.

    Not settled: estimated, or held when frozen. Settled: share(rest) settled and what open disputes
    take from share(gross) held; frozen holds all of share(gross). Confirmed punishment: 0.
    """
    if worth.phase == CLOSED or worth.punished == CONFIRMED:
        return NOTHING
    frozen = worth.punished == FROZEN
    estimated, held = (0, before) if frozen else (before, 0)
    if worth.phase == OPEN:
        return Amounts(estimated, held)
    settled = 0 if frozen else rest
    if worth.phase == SETTLED_PHASE:
        return Amounts(0, full - settled, settled, None, 0, 0, worth.release_on)
    return Amounts(estimated, held, 0, worth.from_day, full - settled, settled, worth.release_on)


def buyer_amounts(rule: RuleVersion, worth: Worth, share_bps: int) -> Amounts:
    """Return the buyer's share of the line, bucket by bucket."""
    before = buyer_share(rule, worth.net, share_bps)
    if worth.phase == OPEN:  # gross and rest are of no interest yet
        return _buckets(worth, before, 0, 0)
    gross, rest = worth.gross, worth.rest
    full = buyer_share(rule, gross, share_bps)
    return _buckets(worth, before, full, full if rest == gross else buyer_share(rule, rest, share_bps))


def buyer_bonus(rule: RuleVersion, worth: Worth, share_bps: int) -> BonusTerms:
    """Return what the inviters' shares of the line are computed from."""

    def base(net: int) -> int:
        return inviter_base(rule, net, buyer_share(rule, net, share_bps))

    return BonusTerms(rule.version, worth, base(worth.net), base(worth.gross), base(worth.rest))


def bonus_amounts(rule: RuleVersion, terms: BonusTerms, bps: int) -> Amounts:
    """Return an inviter's share of the line, bucket by bucket."""
    worth = terms.worth
    return _buckets(
        worth,
        inviter_share(rule, worth.net, terms.base_net, bps),
        inviter_share(rule, worth.gross, terms.base_gross, bps),
        inviter_share(rule, worth.rest, terms.base_rest, bps),
    )
