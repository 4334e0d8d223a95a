"""Reads section `[withdraw]` of a rule file (docs/spec/money-out.md#withdrawal-rules)."""

from __future__ import annotations

import re

from rebate_app.domain.facts import AMOUNT_FEN_MAX
from rebate_app.domain.money import BPS
from rebate_app.domain.money_out.facts import OWN_ID_PATTERN
from rebate_app.domain.pricing.withdraw_rules import ApprovalsOver, WithdrawRules

from .section import Section

DAY_OF_MONTH_MAX = 31
COUNT_MAX = 10_000  # as many withdrawals a user can have
APPROVALS_MAX = 2
_match_channel = re.compile(OWN_ID_PATTERN).fullmatch


def read_withdraw(top: Section) -> WithdrawRules | None:
    """Return the section, None where it is absent."""
    if not top.has("withdraw"):
        return None
    section = top.section("withdraw")
    channels = _channels(section)
    defaults = WithdrawRules(channels)
    rules = WithdrawRules(
        channels=channels,
        min_fen=section.integer("min_fen", 1, AMOUNT_FEN_MAX, defaults.min_fen),
        max_fen=section.integer("max_fen", 1, AMOUNT_FEN_MAX, defaults.max_fen),
        multiple_fen=section.integer("multiple_fen", 1, AMOUNT_FEN_MAX, defaults.multiple_fen),
        days_of_month=_days_of_month(section),
        max_per_day=section.integer("max_per_day", 1, COUNT_MAX, defaults.max_per_day),
        day_max_fen=section.integer("day_max_fen", 1, AMOUNT_FEN_MAX, defaults.day_max_fen),
        max_open=section.integer("max_open", 1, COUNT_MAX, defaults.max_open),
        fee_bps=section.integer("fee_bps", 0, BPS, defaults.fee_bps),
        fee_min_fen=section.integer("fee_min_fen", 0, AMOUNT_FEN_MAX, defaults.fee_min_fen),
        fee_max_fen=section.integer("fee_max_fen", 0, AMOUNT_FEN_MAX, defaults.fee_max_fen),
        review_over_fen=section.integer("review_over_fen", 0, AMOUNT_FEN_MAX, defaults.review_over_fen),
        review_first=section.flag("review_first", default=defaults.review_first),
        review_new_payee=section.flag("review_new_payee", default=defaults.review_new_payee),
        approvals=section.integer("approvals", 1, APPROVALS_MAX, defaults.approvals),
        approvals_over=_approvals_over(section),
    )
    section.refuse_unknown()
    _check_order(section, rules)
    return rules


def _channels(section: Section) -> tuple[str, ...]:
    value = section.take("channels", needed=True)
    if value is None:
        return ()
    names = value if isinstance(value, list) else [None]
    good = all(isinstance(name, str) and _match_channel(name) for name in names)
    if good and len(set(names)) == len(names):
        return tuple(names)
    section.problem("channels", 'has to be a list of different names of channels, as ["alipay", "bank"]')
    return ()


def _days_of_month(section: Section) -> tuple[int, int]:
    value = section.take("days_of_month")
    if value is None:
        return 1, DAY_OF_MONTH_MAX
    if isinstance(value, list) and [type(day) for day in value] == [int, int]:
        first, last = value
        if 1 <= first <= last <= DAY_OF_MONTH_MAX:
            return first, last
    section.problem("days_of_month", f"has to be the first and the last day, as [1, 25], not {value!r}")
    return 1, DAY_OF_MONTH_MAX


def _approvals_over(section: Section) -> tuple[ApprovalsOver, ...]:
    found = []
    for each in section.sections("approvals_over"):
        fen = each.integer("fen", 0, AMOUNT_FEN_MAX)
        found.append(ApprovalsOver(fen, each.integer("approvals", 1, APPROVALS_MAX)))
        each.refuse_unknown()
    return tuple(found)


def _check_order(section: Section, rules: WithdrawRules) -> None:
    """Refuse limits that exclude each other."""
    for least, most in (("min_fen", "max_fen"), ("fee_min_fen", "fee_max_fen")):
        if section.has(least) and getattr(rules, least) > getattr(rules, most):
            section.problem(least, f"is more than {most}")
