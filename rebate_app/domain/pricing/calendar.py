"""Days of Asia/Shanghai and the release calendar (docs/spec/money.md#release).

Money moves at the start of days of Asia/Shanghai, which has kept UTC+8 without summer time since 1991. So a
day is an integer (days since 1970-01-01) and needs no time zone database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import lru_cache

from rebate_app.networks import NETWORKS, ReleasePolicyName

from ..compact_moment import SECOND_US

#: From the day of settlement and the expected date, None for none, to the day of release.
ReleasePolicy = Callable[[int, int | None], int]

EPOCH = date(1970, 1, 1)
FIRST_DAY = (date.min - EPOCH).days
LAST_DAY = (date.max - EPOCH).days
DAY_US = 86_400 * SECOND_US
SHANGHAI_OFFSET_US = 8 * 3_600 * SECOND_US

#: The networks pay about the 20th (docs/spec/domain.md#settlement-calendar); one day of margin.
RELEASE_DAY_OF_MONTH = 21
CUT_OFF_DAY_OF_MONTH = 15
DEFAULT_RELEASE_DAYS = 30


def day_of(moment_us: int) -> int:
    """Return the Shanghai day (days since 1970-01-01) in which the moment lies."""
    return (moment_us + SHANGHAI_OFFSET_US) // DAY_US


def midnight(day: int) -> int:
    """Return the moment at which the Shanghai day begins, in microseconds."""
    return day * DAY_US - SHANGHAI_OFFSET_US


def to_date(day: int) -> date:
    """Return the calendar date of a day number; beyond year 1 or 9999 the nearest date there is."""
    return EPOCH + timedelta(days=min(max(day, FIRST_DAY), LAST_DAY))


def _day_21(day: int, months_later: int) -> int:
    settled = to_date(day)
    months = settled.year * 12 + settled.month - 1 + months_later
    if months // 12 > date.max.year:
        return LAST_DAY
    return (date(months // 12, months % 12 + 1, RELEASE_DAY_OF_MONTH) - EPOCH).days


def _day_21_of_next_month(settled_on: int, _expected_on: int | None) -> int:
    return _day_21(settled_on, 1)


def _day_21_after_the_15th(settled_on: int, _expected_on: int | None) -> int:
    """Return day 21 of the month, or of the next one when settled after the 15th."""
    return _day_21(settled_on, 0 if to_date(settled_on).day <= CUT_OFF_DAY_OF_MONTH else 1)


def _day_after_expected_date(settled_on: int, expected_on: int | None) -> int:
    return _after_30_days(settled_on, None) if expected_on is None else expected_on + 1


def _after_30_days(settled_on: int, _expected_on: int | None) -> int:
    return settled_on + DEFAULT_RELEASE_DAYS


#: The policies that rows of rebate_app/networks.py name.
RELEASE_POLICIES: Mapping[ReleasePolicyName, ReleasePolicy] = {
    "day-21-of-next-month": _day_21_of_next_month,
    "day-21-after-the-15th": _day_21_after_the_15th,
    "day-after-expected-date": _day_after_expected_date,
    "after-30-days": _after_30_days,
}


@lru_cache(maxsize=4_096)
def release_day(platform: str, settled_on: int, expected_on: int | None) -> int:
    """Return the day from whose start a settled share is available, by the policy of the platform's network.

    `expected_on` is the expected date that settled the line, else the earliest that a settled snapshot
    carries. Platforms that are no network here: 30 days after settlement.
    """
    network = NETWORKS.get(platform)
    policy = _after_30_days if network is None else RELEASE_POLICIES[network.release_policy]
    return policy(settled_on, expected_on)
