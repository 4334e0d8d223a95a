"""One beneficiary's share of a line: what it is on a day, why, and in sentences that a person can check.

Law: every figure in a sentence is one that the account holds, and the product in it is the contract's
(contracts.md 3, "Shares"). It is separate because only the beneficiary's owner knows rule, level and
amounts, while the sentences are shown with the line, wherever that is.
"""

from __future__ import annotations

from msgspec import Struct

from rebate_app.domain.account import Contribution, Pin, worth_of
from rebate_app.domain.ledger import Amounts
from rebate_app.domain.money import floor_share, percent, yuan
from rebate_app.domain.rules import BASE_BUYER_REBATE, RuleVersion
from rebate_app.domain.worth import CLOSED, CONFIRMED, FROZEN, Worth
from rebate_app.wire.moments import format_date, format_moment

from .account_lists import settled_at

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
    """A share as its owner knows it: `rule` and `bps` as pinned, `base` figures before the rate."""

    user_id: str
    chain: tuple[str, ...]
    contribution: Contribution
    pin: Pin
    rule: RuleVersion | None
    bps: int
    amounts: Amounts

    @property
    def worth(self) -> Worth:
        """Return the worth that the share is computed from."""
        return worth_of(self.contribution)

    def figures(self, day: int) -> tuple[int, int]:
        """Return (net, what the rate applies to) in fen on that day."""
        worth, terms = self.worth, self.contribution.terms
        settled = settled_at(worth, day)
        net = worth.gross if settled else worth.net
        if terms is None:
            return net, net
        return net, terms.base_gross if settled else terms.base_net


def reason_of(priced: Priced, day: int) -> str | None:
    """Return why the share is 0 on that day, None where it is more."""
    worth = priced.worth
    if priced.rule is None:
        return "no-rule"
    if worth.phase == CLOSED or worth.status == "created":
        return "worthless"
    if worth.punished == CONFIRMED:
        return "punished"
    if any(priced.amounts.at(day)):
        return None
    if not priced.bps:
        return "no-rate"
    net, _ = priced.figures(day)
    return "below-minimum" if net else "no-commission"


def share_sentences(priced: Priced, day: int) -> list[str]:
    """Return why the share is what it is on that day; nothing where the line's own sentences say it all."""
    worth, rule = priced.worth, priced.rule
    if worth.phase == CLOSED or worth.punished == CONFIRMED or worth.status == "created":
        return []
    if rule is None:
        paid = _date(worth.paid_at)
        return [f"paid {paid}, before the first rule version: nothing for {priced.user_id} (no-rule)"]
    settled = settled_at(worth, day)
    when = f"settled {_day(worth.settled_on)}" if settled else f"paid {_date(worth.paid_at)}"
    product, something = _product(priced, rule, day)
    sentence = f"{when}: {product} for {_who(priced, rule)}"
    sentences = [f"{sentence}, {_where(priced, day)}" if something else sentence]
    on = priced.amounts.on
    if on is not None and on > day and any(priced.amounts.at(on)):
        sentences.append(
            f"from {_day(on)}, the network's expected date, for {priced.user_id}: {_where(priced, on)}"
        )
    return sentences


def _product(priced: Priced, rule: RuleVersion, day: int) -> tuple[str, bool]:
    """Return (the multiplication in words, whether anything comes of it)."""
    net, base = priced.figures(day)
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
        (held, f"held while {_why_held(priced.worth)}"),
    )
    return " and ".join(f"{yuan(amount)} {words}" for amount, words in parts if amount)


def _why_held(worth: Worth) -> str:
    return "the network has frozen the line" if worth.punished == FROZEN else "a dispute is open"


def _who(priced: Priced, rule: RuleVersion) -> str:
    terms = f"level {priced.pin.level}, rules {rule.version}"
    if not priced.chain:
        return f"{priced.user_id} ({terms})"
    return f"{priced.user_id}, who invited {priced.chain[-1]} ({terms})"


def _day(day: int | None) -> str:
    return "at an unknown date" if day is None else format_date(day)


def _date(moment: int | None) -> str:
    return "at an unknown time" if moment is None else format_moment(moment)[: len("2026-01-03")]
