"""Moments and dates as text at the border, integers inside.

A moment is RFC 3339 with an offset, compared as an instant, so it becomes microseconds since
1970-01-01T00:00:00Z; a date is `YYYY-MM-DD`, so it becomes days since 1970-01-01 (docs/spec/facts.md#values).
Every fact has two to four moments, so parsed hours and parsed rests of an hour are cached apart: a feed
repeats both. ValueError for text that is no moment or date.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache

MILLISECOND_US = 1_000
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
BEIJING_OFFSET_US = 8 * HOUR_US

#: 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: outside of them no calendar of ours works.
MOMENT_US_MIN = -62_135_596_800 * SECOND_US
MOMENT_US_MAX = 253_402_300_800 * SECOND_US - 1

#: Four years of hours, and all seconds of an hour in four offsets. Full caches are emptied, not pruned.
HOURS_KEPT_MAX = 35_064
RESTS_KEPT_MAX = 14_400
DATES_KEPT_MAX = 8_192
#: Texts of moments: what follows from one record names its moment several times, and soon after it.
MOMENTS_KEPT_MAX = 4_096

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive arithmetic, offsets are added by hand
_EPOCH_ORDINAL = 719_163
#: The Gregorian calendar repeats after 400 years of exactly this many days.
_CYCLE_YEARS = 400
_CYCLE_DAYS = 146_097

_HOUR_LENGTH = 13
#: Hours 00-23 only: whether `datetime.fromisoformat` accepts 24 depends on the version of Python.
_HOUR = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([01][0-9]|2[0-3])")
_REST = re.compile(
    r":([0-5][0-9]):([0-5][0-9])(?:\.([0-9]+))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))", re.ASCII
)
_REST_KEPT_LENGTH_MAX = len(":22:40+08:00")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BEIJING = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_OFFSET_LENGTH = len("+08:00")

_hours: dict[str, int] = {}
_rests: dict[str, int] = {}
_dates: dict[str, int] = {}


def parse_moment(text: str) -> int:
    """Return the instant that an RFC 3339 text with offset names, in microseconds UTC.

    Digits after the sixth of a fraction are cut off. ValueError for everything else: no offset,
    `+0800`, a space for the `T`, a leap second, an instant outside of the years 1-9999 UTC.
    """
    try:
        moment = _hours[text[:_HOUR_LENGTH]] + _rests[text[_HOUR_LENGTH:]]
    except KeyError:
        moment = _hour_us(text[:_HOUR_LENGTH]) + _rest_us(text[_HOUR_LENGTH:])
    if MOMENT_US_MIN <= moment <= MOMENT_US_MAX:
        return moment
    raise ValueError("the moment is outside of the years 1 to 9999")


def parse_at(text: str) -> int:
    """Return `parse_moment(text)`, where a space stands for the `+` that an unescaped URL turned into one.

    ValueError as there (docs/spec/http.md#at).
    """
    if len(text) > _OFFSET_LENGTH and text[-_OFFSET_LENGTH] == " ":
        text = f"{text[:-_OFFSET_LENGTH]}+{text[1 - _OFFSET_LENGTH :]}"
    return parse_moment(text)


def parse_date(text: str) -> int:
    """Return the days from 1970-01-01 to a `YYYY-MM-DD`; ValueError for every other text."""
    days = _dates.get(text)
    if days is not None:
        return days
    if _DATE.fullmatch(text) is None:
        raise ValueError("not a date YYYY-MM-DD")
    days = date.fromisoformat(text).toordinal() - _EPOCH_ORDINAL
    if len(_dates) >= DATES_KEPT_MAX:
        _dates.clear()
    _dates[text] = days
    return days


def beijing_to_us(text: str) -> int:
    """Return the instant of a naive `yyyy-MM-dd HH:mm:ss` in Beijing time, in microseconds UTC.

    Networks that write no offset mean Beijing time (docs/spec/networks.md#times). ValueError for every
    other text.
    """
    if _BEIJING.fullmatch(text) is None:
        raise ValueError("not a time yyyy-MM-dd HH:mm:ss")
    return parse_moment(f"{text[:10]}T{text[11:]}+08:00")


def unix_to_us(seconds: int) -> int:
    """Return Unix seconds as microseconds; ValueError for a time before 1970 or after the year 9999."""
    us = seconds * SECOND_US
    if 0 < us <= MOMENT_US_MAX:
        return us
    raise ValueError("not a time in seconds")


@lru_cache(maxsize=DATES_KEPT_MAX)
def format_date(days: int) -> str:
    """Return `YYYY-MM-DD` of days since 1970-01-01; total, years beyond 9999 get more digits."""
    cycles, ordinal = _into_calendar(days)
    day = date.fromordinal(ordinal)
    return f"{day.year + cycles * _CYCLE_YEARS:04d}-{day.month:02d}-{day.day:02d}"


@lru_cache(maxsize=MOMENTS_KEPT_MAX)
def format_moment(us: int) -> str:
    """Return microseconds UTC as RFC 3339 in +08:00, with a fraction only if there is one; total."""
    days, rest = divmod(us + BEIJING_OFFSET_US, DAY_US)
    seconds, fraction = divmod(rest, SECOND_US)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    tail = f".{fraction:06d}" if fraction else ""
    return f"{format_date(days)}T{hour:02d}:{minute:02d}:{second:02d}{tail}+08:00"


def _hour_us(text: str) -> int:
    """Return the microseconds from the epoch to `YYYY-MM-DDTHH`, without the offset, and cache them."""
    match = _HOUR.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 moment with offset")
    hour = datetime.fromisoformat(f"{match[1]}T{match[2]}")
    us = (hour - _EPOCH) // timedelta(microseconds=1)
    if len(_hours) >= HOURS_KEPT_MAX:
        _hours.clear()
    _hours[text] = us
    return us


def _rest_us(text: str) -> int:
    """Return the microseconds that `:MM:SS[.fraction]offset` adds, and cache those without a fraction."""
    match = _REST.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 moment with offset")
    minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    us = int(minute) * MINUTE_US + int(second) * SECOND_US
    if fraction is not None:
        us += int(fraction[:6].ljust(6, "0"))
    if sign is not None:
        offset = int(offset_hour) * HOUR_US + int(offset_minute) * MINUTE_US
        us += offset if sign == "-" else -offset
    if len(text) <= _REST_KEPT_LENGTH_MAX:
        if len(_rests) >= RESTS_KEPT_MAX:
            _rests.clear()
        _rests[text] = us
    return us


def _into_calendar(days: int) -> tuple[int, int]:
    """Return (whole cycles of 400 years, ordinal within 0001-9999) that together are `days`."""
    ordinal = days + _EPOCH_ORDINAL
    if 1 <= ordinal <= date.max.toordinal():
        return 0, ordinal
    cycles, rest = divmod(ordinal - 1, _CYCLE_DAYS)
    return cycles, rest + 1
