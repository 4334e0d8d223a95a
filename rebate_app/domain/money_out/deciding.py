"""Decides a request: refused, to be reviewed, or accepted (docs/spec/money-out.md#deciding).

A decision is computed once, by the owner of the account in the active app, from the account at that place. It
is then a fact; nothing decides it again.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..account.balance import balance_on
from ..pricing.calendar import day_of, to_date
from ..pricing.rules import RuleBook
from ..pricing.withdraw_rules import WithdrawRules
from .facts import Decision
from .money_records import MoneyRecords
from .withdrawal import Withdrawal, payout_number

MINUTE_US = 60_000_000
AHEAD_US_MAX = 5 * MINUTE_US
BEHIND_US_MAX = 24 * 60 * MINUTE_US

IMPLAUSIBLE_TIME: Final = "implausible-time"
EXPIRED: Final = "expired"
BLOCKED: Final = "blocked"
WITHDRAWALS_OFF: Final = "withdrawals-off"
CHANNEL_NOT_ALLOWED: Final = "channel-not-allowed"
BELOW_MINIMUM: Final = "below-minimum"
ABOVE_MAXIMUM: Final = "above-maximum"
NOT_A_MULTIPLE: Final = "not-a-multiple"
NOT_TODAY: Final = "not-today"
TOO_MANY_TODAY: Final = "too-many-today"
DAY_LIMIT: Final = "day-limit"
TOO_MANY_OPEN: Final = "too-many-open"
FEE_TOO_HIGH: Final = "fee-too-high"
INSUFFICIENT: Final = "insufficient"

#: Every reason why a request is refused, in the order in which they are looked at → what it means.
REFUSALS: Final[dict[str, str]] = {
    IMPLAUSIBLE_TIME: "the request's timestamp is more than 5 minutes ahead of the owner's clock",
    EXPIRED: "the request is more than 24 hours old when its turn comes",
    BLOCKED: "staff has blocked the user's withdrawals",
    WITHDRAWALS_OFF: "the rules in force have no section [withdraw]",
    CHANNEL_NOT_ALLOWED: "the rules do not name the channel",
    BELOW_MINIMUM: "less than min_fen",
    ABOVE_MAXIMUM: "more than max_fen",
    NOT_A_MULTIPLE: "no multiple of multiple_fen",
    NOT_TODAY: "not within days_of_month",
    TOO_MANY_TODAY: "the user has max_per_day of that day already",
    DAY_LIMIT: "with it the user would have more than day_max_fen of that day",
    TOO_MANY_OPEN: "the user has max_open open ones already",
    FEE_TOO_HIGH: "the fee leaves nothing to pay",
    INSUFFICIENT: "more than is available",
}


class _Seen(Struct, frozen=True):
    """What a decision is computed from."""

    records: MoneyRecords
    withdrawal: Withdrawal
    available: int


def decide(
    user_id: str, records: MoneyRecords, withdrawal: Withdrawal, clock_us: int, rules: RuleBook
) -> Decision:
    """Return the decision of a request from the account as it is; `clock_us`: the owner's clock."""
    at = withdrawal.requested_at
    seen = _Seen(records, withdrawal, balance_on(records.head(), day_of(at)).available)
    version = rules.in_force(at)
    section = None if version is None else version.withdraw
    reason = _late_or_early(at, clock_us) or _refusal(seen, section)
    needed = fee = 0
    review = False
    if not reason and section is not None:
        fee = section.fee(withdrawal.amount)
        review = _needs_review(seen, section)
        needed = section.approvals_needed(withdrawal.amount) if review else 0
    accepted = not reason
    return Decision(
        user_id,
        withdrawal.withdrawal_id,
        withdrawal.request_offset,
        accepted,
        reason,
        review,
        needed,
        fee,
        withdrawal.amount - fee if accepted else 0,
        payout_number(user_id, withdrawal.withdrawal_id) if accepted else "",
        "" if version is None else version.version,
        seen.available,
        clock_us,
    )


def _late_or_early(at: int, clock_us: int) -> str:
    if at > clock_us + AHEAD_US_MAX:
        return IMPLAUSIBLE_TIME
    return EXPIRED if at < clock_us - BEHIND_US_MAX else ""


def _refusal(seen: _Seen, section: WithdrawRules | None) -> str:
    """Return the first reason that refuses the request, "" when none does."""
    if seen.records.summary().blocked:
        return BLOCKED
    if section is None:
        return WITHDRAWALS_OFF
    withdrawal, day = seen.withdrawal, day_of(seen.withdrawal.requested_at)
    amount, count = withdrawal.amount, seen.records.day(day)
    first, last = section.days_of_month
    checks = (
        (CHANNEL_NOT_ALLOWED, withdrawal.channel not in section.channels),
        (BELOW_MINIMUM, amount < section.min_fen),
        (ABOVE_MAXIMUM, amount > section.max_fen),
        (NOT_A_MULTIPLE, amount % section.multiple_fen != 0),
        (NOT_TODAY, not first <= to_date(day).day <= last),
        (TOO_MANY_TODAY, count.counted >= section.max_per_day),
        (DAY_LIMIT, count.amount + amount > section.day_max_fen),
        (TOO_MANY_OPEN, len(seen.records.summary().open) >= section.max_open),
        (FEE_TOO_HIGH, amount - section.fee(amount) < 1),
        (INSUFFICIENT, amount > seen.available),
    )
    return next((reason for reason, refuses in checks if refuses), "")


def _needs_review(seen: _Seen, section: WithdrawRules) -> bool:
    if seen.withdrawal.amount > section.review_over_fen:
        return True
    if section.review_first and not seen.records.summary().paid_ever:
        return True
    return section.review_new_payee and not seen.records.has_been_paid(seen.withdrawal.payee_id)
