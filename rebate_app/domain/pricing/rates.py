"""Shares of a net commission (docs/spec/money.md#shares). Amounts in fen, rates in basis points."""

from __future__ import annotations

from ..money import floor_share
from .rules import BASE_BUYER_REBATE, RuleVersion


def buyer_share(rule: RuleVersion, net: int, share_bps: int) -> int:
    """Return floor(net × share), 0 below the minimums. Amounts in fen, net ≥ 0."""
    return inviter_share(rule, net, net, share_bps)


def inviter_base(rule: RuleVersion, net: int, buyers_share: int) -> int:
    """Return what inviters' rates apply to: the net, or what the buyer gets after the minimums."""
    return buyers_share if rule.inviter_base == BASE_BUYER_REBATE else net


def inviter_share(rule: RuleVersion, net: int, base: int, bps: int) -> int:
    """Return floor(base × bps), 0 below the minimums (that of the net applies to the net)."""
    if net < rule.min_net_commission_fen:
        return 0
    share = floor_share(base, bps)
    return share if share >= rule.min_rebate_fen else 0
