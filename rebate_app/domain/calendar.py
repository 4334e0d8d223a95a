"""Days of Asia/Shanghai and the release calendar (contracts.md 3).

Money moves on days, and every such day is meant in Asia/Shanghai, which has kept UTC+8 without
summer time since 1991: so a day is an integer and needs no time zone database.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

EPOCH = date(1970, 1, 1)
SECOND_US = 1_000_000
FIRST_DAY = (date.min - EPOCH).days
LAST_DAY = (date.max - EPOCH).days
DAY_US = 86_400 * SECOND_US
SHANGHAI_OFFSET_US = 8 * 3_600 * SECOND_US

RELEASE_DAY_OF_MONTH = 21  # the networks pay about the 20th (domain.md 2.7); one day of margin
PDD_CUT_OFF_DAY_OF_MONTH = 15
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


@lru_cache(maxsize=4_096)
def release_day(platform: str, settled_on: int, field_day: int | None) -> int:
    """Return the day from whose start a settled share is available.

    taobao: day 21 of the month after settlement. pdd: day 21 of the month, or of the next one when
    settled after the 15th. jd: the day after `field_day` (the expected date that settled the line,
    else the earliest that a settled snapshot carries). Others, and jd without a date: 30 days after.
    """
    if platform == "taobao":
        return _day_21(settled_on, 1)
    if platform == "pdd":
        return _day_21(settled_on, 0 if to_date(settled_on).day <= PDD_CUT_OFF_DAY_OF_MONTH else 1)
    if platform == "jd" and field_day is not None:
        return field_day + 1
    return settled_on + DEFAULT_RELEASE_DAYS
