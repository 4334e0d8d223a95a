"""Moments and dates at the border."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebate_app.wire import moments
from rebate_app.wire.moments import (
    MOMENT_US_MAX,
    MOMENT_US_MIN,
    beijing_to_us,
    format_date,
    format_moment,
    parse_at,
    parse_date,
    parse_moment,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


class TestParseMoment:
    """RFC 3339 with offset, compared as instants."""

    @pytest.mark.parametrize(
        "text",
        [
            "2026-01-10T03:22:40+08:00",
            "2026-01-09T19:22:40Z",
            "2026-01-09t19:22:40z",
            "2026-01-09T19:22:40.000-00:00",
            "2026-01-09T11:52:40-07:30",
        ],
    )
    def test_same_instant(self, text: str) -> None:
        """Every way to write one instant gives one number."""
        assert parse_moment(text) == 1767986560_000000

    @given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS))  # noqa: DTZ001
    def test_every_moment(self, moment: datetime) -> None:
        """Whatever Python writes as RFC 3339 is read as the same instant, first and remembered."""
        expected = (moment - EPOCH) // timedelta(microseconds=1)
        assert parse_moment(moment.isoformat()) == expected
        assert parse_moment(moment.isoformat()) == expected

    @pytest.mark.parametrize(
        ("fraction", "us"), [(".5", 500_000), (".000001", 1), (".1234567", 123_456), (".999999999", 999_999)]
    )
    def test_fraction(self, fraction: str, us: int) -> None:
        """A fraction of any length counts to the microsecond, and is cut off there."""
        assert parse_moment(f"1970-01-01T00:00:00{fraction}Z") == us

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "2026-01-10",
            "2026-01-10T03:22:40",
            "2026-01-10 03:22:40+08:00",
            "2026-01-10T03:22:40+0800",
            "2026-01-10T03:22:40+08",
            "2026-01-10T03:22:40 08:00",
            "2026-01-10T03:22+08:00",
            "2026-01-10T03:22:40.+08:00",
            "2026-01-10T03:22:40,5+08:00",
            "2026-01-10T24:00:00+08:00",
            "2026-01-10T23:60:00+08:00",
            "2026-01-10T23:59:60+08:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-10T03:22:40+24:00",
            "2026-01-10T03:22:40+08:60",
            "2026-01-10T03:22:40+08:00\n",
            " 2026-01-10T03:22:40+08:00",
            "2026-W02-6T03:22:40+08:00",
            "20260110T032240+08:00",
            "２０２６-01-10T03:22:40+08:00",
            "2026-01-10T03:22:4٠+08:00",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+08:00",
            "9999-12-31T23:59:59-00:01",
            "+2026-01-10T03:22:40Z",
            "\ud800",
        ],
    )
    def test_refused(self, text: str) -> None:
        """What is no RFC 3339 moment with offset, or has no place in our calendar, is refused."""
        with pytest.raises(ValueError, match=r"moment|range|month|hour|year|day"):
            parse_moment(text)

    @pytest.mark.parametrize("hour", [*range(24, 30), 99])
    def test_hours_end_at_23(self, monkeypatch: pytest.MonkeyPatch, hour: int) -> None:
        """Later hours are refused, also where the library accepts them, as Python 3.14 accepts 24."""

        class Lenient(datetime):
            @classmethod
            def fromisoformat(cls, text: str) -> datetime:  # type: ignore[override]
                return datetime.fromisoformat(text[:10]) + timedelta(hours=int(text[11:13]))

        monkeypatch.setattr(moments, "datetime", Lenient)
        with pytest.raises(ValueError, match="moment"):
            parse_moment(f"2004-01-10T{hour}:00:00+08:00")
        with pytest.raises(ValueError, match="moment"):
            beijing_to_us(f"2004-01-10 {hour}:00:00")
        assert parse_moment("2004-01-10T23:00:00Z") == parse_moment("2004-01-11T07:00:00+08:00")

    def test_bounds(self) -> None:
        """The first and the last moment of the years 1 to 9999 UTC are moments."""
        assert parse_moment("0001-01-01T00:00:00Z") == MOMENT_US_MIN
        assert parse_moment("9999-12-31T23:59:59.999999Z") == MOMENT_US_MAX

    def test_forgets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Full memories are emptied, and the answers stay the same."""
        for limit in ("HOURS_KEPT_MAX", "RESTS_KEPT_MAX", "DATES_KEPT_MAX"):
            monkeypatch.setattr(moments, limit, 2)
        for hour in range(24):
            assert parse_moment(f"1970-01-01T{hour:02d}:00:{hour:02d}Z") == hour * 3601 * 10**6
            assert parse_date(f"1970-01-{hour + 1:02d}") == hour
        assert max(len(moments._hours), len(moments._rests), len(moments._dates)) <= 2


class TestParseAt:
    """The moment of a query."""

    def test_space_for_plus(self) -> None:
        """A space where + was meant is understood, because a query string turns one into the other."""
        plain = parse_moment("2026-02-01T00:00:00+08:00")
        assert parse_at("2026-02-01T00:00:00 08:00") == parse_at("2026-02-01T00:00:00+08:00") == plain

    @pytest.mark.parametrize("text", ["2026-02-01 00:00:00 08:00", "2026-02-01T00:00:00", " 08:00", "now"])
    def test_nothing_else(self, text: str) -> None:
        """Only that space is forgiven."""
        with pytest.raises(ValueError, match="moment"):
            parse_at(text)


class TestDates:
    """Dates are days since 1970-01-01."""

    @given(st.dates())
    def test_round_trip(self, day: object) -> None:
        """Every date of the calendar is read and written as itself."""
        assert format_date(parse_date(str(day))) == str(day)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "20260220",
            "2026-2-20",
            "2026-02-30",
            "2026-W08-5",
            "0000-01-01",
            "2026-02-20 ",
            "２０２６-02-20",
        ],
    )
    def test_refused(self, text: str) -> None:
        """What is no YYYY-MM-DD is refused."""
        with pytest.raises(ValueError, match=r"date|year|day"):
            parse_date(text)

    def test_beyond_the_calendar(self) -> None:
        """A date that was reckoned past the year 9999 can still be written."""
        assert format_date(parse_date("9999-12-31") + 1) == "10000-01-01"
        assert format_date(parse_date("0001-01-01") - 1) == "0000-12-31"


class TestFormatMoment:
    """Moments are written in +08:00."""

    @given(st.integers(MOMENT_US_MIN, MOMENT_US_MAX - 8 * 3600 * 10**6))
    def test_round_trip(self, us: int) -> None:
        """What is written is read back as the same instant."""
        assert parse_moment(format_moment(us)) == us

    def test_form(self) -> None:
        """A fraction is written only if there is one."""
        assert format_moment(0) == "1970-01-01T08:00:00+08:00"
        assert format_moment(-1) == "1970-01-01T07:59:59.999999+08:00"

    def test_total(self) -> None:
        """The last moment of the calendar lies in the year 10000 in Beijing, and is written all the same."""
        assert format_moment(MOMENT_US_MAX) == "10000-01-01T07:59:59.999999+08:00"


class TestBeijing:
    """Naive times of the networks are Beijing time."""

    def test_offset(self) -> None:
        """A naive time is eight hours ahead of UTC, summer and winter."""
        assert beijing_to_us("2026-01-10 03:22:40") == parse_moment("2026-01-10T03:22:40+08:00")
        assert beijing_to_us("1988-07-01 00:00:00") == parse_moment("1988-06-30T16:00:00Z")

    @pytest.mark.parametrize(
        "text", ["", "--", "2026-01-10", "2026-01-10T03:22:40", "2026-01-10 3:22:40", "0000-00-00 00:00:00"]
    )
    def test_refused(self, text: str) -> None:
        """Every other text is refused."""
        with pytest.raises(ValueError, match=r"time|year|day|month"):
            beijing_to_us(text)
