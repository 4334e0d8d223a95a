"""Moments as exact instants and days as days in Asia/Shanghai.

An instant is a `Fraction` of seconds since 1970-01-01T00:00:00Z, so that no digit of a fraction is lost.
"""

import math
import re
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECONDS_PER_SECOND = 1_000_000
_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt](?P<clock>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?"
    r"(?P<offset>[Zz]|[+-]\d\d:\d\d)"
)


def instant_of(moment: datetime) -> Fraction:
    """Return the instant of an aware datetime."""
    if moment.utcoffset() is None:
        raise ValueError(f"a moment needs an offset: {moment!r}")
    past = moment - EPOCH
    return Fraction(past.days * 86_400 + past.seconds) + Fraction(past.microseconds, MICROSECONDS_PER_SECOND)


@cache
def instant(text: str) -> Fraction:
    """Return the instant that an RFC 3339 text with offset names."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(f"no RFC 3339 moment with offset: {text!r}")
    offset = match["offset"].upper().replace("Z", "+00:00")
    whole = datetime.fromisoformat(f"{match['day']}T{match['clock']}{offset}")
    digits = match["fraction"] or "0"
    return instant_of(whole) + Fraction(int(digits), 10 ** len(digits))


def optional_instant(text: str | None) -> Fraction | None:
    """Return the instant that the text names, or None where there is no text."""
    return None if text is None else instant(text)


@cache
def midnight(day: date) -> Fraction:
    """Return the instant at which this day begins in Asia/Shanghai."""
    return instant_of(datetime(day.year, day.month, day.day, tzinfo=SHANGHAI))


def day_of(moment: Fraction) -> date:
    """Return the day in Asia/Shanghai that holds this instant."""
    return (EPOCH + timedelta(seconds=math.floor(moment))).astimezone(SHANGHAI).date()


def next_month_day(day: date, day_of_month: int) -> date:
    """Return that day of the month after the given day's month."""
    if day.month == 12:
        return date(day.year + 1, 1, day_of_month)
    return date(day.year, day.month + 1, day_of_month)
