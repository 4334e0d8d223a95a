"""Allocation: a line's value as amounts in buckets, for the buyer and for inviters.

See docs/spec/money.md#buckets. Amounts are in fen, rates in basis points.
"""

from __future__ import annotations

from ..account.ledger import NOTHING, Amounts
from ..messages import BonusTerms
from ..order.value import CLOSED, CONFIRMED, FROZEN, OPEN, SETTLED_PHASE, LineValue
from .rates import buyer_share, inviter_base, inviter_share
from .rules import RuleVersion


def _buckets(line_value: LineValue, before: int, full: int, rest: int) -> Amounts:
    """Put the shares of net, gross and rest where phase and punishment say.

    Not settled: estimated, or held when frozen. Settled: share(rest) settled and what open disputes
    take from share(gross) held; frozen holds all of share(gross). Confirmed punishment: 0.
    """
    if line_value.phase == CLOSED or line_value.punished == CONFIRMED:
        return NOTHING
    frozen = line_value.punished == FROZEN
    estimated, held = (0, before) if frozen else (before, 0)
    if line_value.phase == OPEN:
        return Amounts(estimated, held)
    settled = 0 if frozen else rest
    if line_value.phase == SETTLED_PHASE:
        return Amounts(0, full - settled, settled, None, 0, 0, line_value.release_on)
    return Amounts(estimated, held, 0, line_value.from_day, full - settled, settled, line_value.release_on)


def buyer_amounts(rule: RuleVersion, line_value: LineValue, share_bps: int) -> Amounts:
    """Return the buyer's share of the line, bucket by bucket."""
    before = buyer_share(rule, line_value.net, share_bps)
    if line_value.phase == OPEN:  # gross and rest do not count yet
        return _buckets(line_value, before, 0, 0)
    gross, rest = line_value.gross, line_value.rest
    full = buyer_share(rule, gross, share_bps)
    return _buckets(line_value, before, full, full if rest == gross else buyer_share(rule, rest, share_bps))


def buyer_bonus(rule: RuleVersion, line_value: LineValue, share_bps: int) -> BonusTerms:
    """Return the base of the inviters' shares of the line."""

    def base(net: int) -> int:
        return inviter_base(rule, net, buyer_share(rule, net, share_bps))

    return BonusTerms(
        rule.version, line_value, base(line_value.net), base(line_value.gross), base(line_value.rest)
    )


def bonus_amounts(rule: RuleVersion, terms: BonusTerms, bps: int) -> Amounts:
    """Return an inviter's share of the line, bucket by bucket."""
    line_value = terms.line_value
    return _buckets(
        line_value,
        inviter_share(rule, line_value.net, terms.base_net, bps),
        inviter_share(rule, line_value.gross, terms.base_gross, bps),
        inviter_share(rule, line_value.rest, terms.base_rest, bps),
    )
