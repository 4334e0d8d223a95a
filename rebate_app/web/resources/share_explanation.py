"""Explain one beneficiary's share of a line on a day, in sentences that a person can check.

Every amount in a sentence is one that the account has posted, and the product in it is that of
docs/spec/money.md#shares. The owner of the beneficiary's account writes them: it knows rule, level and
amounts.
"""

from __future__ import annotations

from msgspec import Struct

from rebate_app.domain.account.account import Contribution, PricingTerms, value_of
from rebate_app.domain.account.ledger import Amounts
from rebate_app.domain.money import floor_share, percent, yuan
from rebate_app.domain.order.value import CLOSED, CONFIRMED, FROZEN, LineValue
from rebate_app.domain.pricing.rules import BASE_BUYER_REBATE, RuleVersion
from rebate_app.wire.moments import format_date, format_moment

from .formatting import is_settled

#: Why a share is 0 although the line is there; the values of `reason` of a share.
SHARE_REASONS = {
    "no-rule": "the line was paid before the first rule version",
    "worthless": "the line is worth 0 to everybody: closed, superseded, unknown, or only just created",
    "punished": "the network confirmed a punishment",
    "no-rate": "the rules give this level nothing at this depth",
    "below-minimum": "the commission or the share is below a minimum of the rules",
    "no-commission": "there is no commission to share: there never was, or refunds took it all",
}


class Priced(Struct, frozen=True):
    """A share as its account has it; `rule` and `bps` are those that price it, `amounts` what is posted."""

    user_id: str
    chain: tuple[str, ...]
    contribution: Contribution
    pricing: PricingTerms
    rule: RuleVersion | None
    bps: int
    amounts: Amounts

    @property
    def line_value(self) -> LineValue:
        """Return the value of the line from which the share is computed."""
        return value_of(self.contribution)

    def amounts_before_rate(self, day: int) -> tuple[int, int]:
        """Return (net, what the rate applies to) in fen on that day."""
        line_value, terms = self.line_value, self.contribution.terms
        settled = is_settled(line_value, day)
        net = line_value.gross if settled else line_value.net
        if terms is None:
            return net, net
        return net, terms.base_gross if settled else terms.base_net


def reason_of(priced: Priced, day: int) -> str | None:
    """Return why the share is 0 on that day, None where it is more."""
    line_value = priced.line_value
    if priced.rule is None:
        return "no-rule"
    if line_value.phase == CLOSED or line_value.status == "created":
        return "worthless"
    if line_value.punished == CONFIRMED:
        return "punished"
    if any(priced.amounts.at(day)):
        return None
    if not priced.bps:
        return "no-rate"
    net, _ = priced.amounts_before_rate(day)
    return "below-minimum" if net else "no-commission"


def share_sentences(priced: Priced, day: int) -> list[str]:
    """Return why the share is what it is on that day; nothing where the line's own sentences explain it."""
    line_value, rule = priced.line_value, priced.rule
    if line_value.phase == CLOSED or line_value.punished == CONFIRMED or line_value.status == "created":
        return []
    if rule is None:
        paid = _date(line_value.paid_at)
        return [f"paid on {paid}, before the first rule version: nothing for {priced.user_id} (no-rule)"]
    settled = is_settled(line_value, day)
    when = f"settled on {_day(line_value.settled_on)}" if settled else f"paid on {_date(line_value.paid_at)}"
    product, something = _product(priced, rule, day)
    sentence = f"{when}: {product} for {_who(priced, rule)}"
    sentences = [f"{sentence}, {_where(priced, day)}" if something else sentence]
    on = priced.amounts.on
    if on is not None and on > day and any(priced.amounts.at(on)):
        sentences.append(
            f"from {_day(on)}, the network's expected date, for {priced.user_id}: {_where(priced, on)}"
        )
    return sentences


def repriced_sentence(user_id: str, past: tuple[int, str] | None) -> str:
    """Return that the user's terms were chosen anew: `past` is when and why, None if that is not kept."""
    if past is None:
        return f"repriced: rules, level and inviter were chosen anew for {user_id}"
    moment, reason = past
    return f"repriced on {_date(moment)} ({reason}): rules, level and inviter were chosen anew for {user_id}"


def _product(priced: Priced, rule: RuleVersion, day: int) -> tuple[str, bool]:
    """Return (the multiplication in words, whether anything comes of it)."""
    net, base = priced.amounts_before_rate(day)
    if not priced.bps:
        return "the rules give nothing", False
    if net < rule.min_net_commission_fen:
        minimum = yuan(rule.min_net_commission_fen)
        return f"commission {yuan(net)} is below the minimum of {minimum}, nothing", False
    result = floor_share(base, priced.bps)
    of_rebate = bool(priced.chain) and rule.inviter_base == BASE_BUYER_REBATE
    name = f"rebate of {priced.chain[0]}" if of_rebate else "commission"
    words = f"{name} {yuan(base)} × {percent(priced.bps)} = {yuan(result)}"
    if result < rule.min_rebate_fen:
        return f"{words}, below the minimum of {yuan(rule.min_rebate_fen)}, nothing", False
    return words, result > 0


def _where(priced: Priced, day: int) -> str:
    """Return in which buckets the share is on that day."""
    estimated, held, settled = priced.amounts.at(day)
    released = priced.amounts.release_on
    since = released is not None and released <= day
    parts = (
        (estimated, "estimated"),
        (settled, f"available since {_day(released)}" if since else f"confirmed until {_day(released)}"),
        (held, f"held while {_why_held(priced.line_value)}"),
    )
    return " and ".join(f"{yuan(amount)} {words}" for amount, words in parts if amount)


def _why_held(line_value: LineValue) -> str:
    return "the network has frozen the line" if line_value.punished == FROZEN else "a dispute is open"


def _who(priced: Priced, rule: RuleVersion) -> str:
    terms = f"level {priced.pricing.level}, rules {rule.version}"
    if not priced.chain:
        return f"{priced.user_id} ({terms})"
    return f"{priced.user_id}, who invited {priced.chain[-1]} ({terms})"


def _day(day: int | None) -> str:
    return "an unknown date" if day is None else format_date(day)


def _date(moment: int | None) -> str:
    return "an unknown date" if moment is None else format_moment(moment)[: len("2026-01-03")]
