"""Days, amounts and names: what the domain makes of the odd value at its border."""

from __future__ import annotations

from datetime import date

import pytest

from rebate_app.domain.faults import RefusedError, invalid, missing
from rebate_app.domain.money import at_least_zero, percent, yuan
from rebate_app.domain.order.attribution import parse_user_id_fields
from rebate_app.domain.pricing.calendar import EPOCH, LAST_DAY, day_of, midnight, release_day, to_date
from rebate_app.domain.reasons import reason_of


class TestCalendar:
    """Days of Shanghai and the days on which networks pay."""

    @pytest.mark.parametrize(
        ("platform", "settled", "released"),
        [
            ("taobao", "2026-01-01", "2026-02-21"),
            ("taobao", "2026-12-31", "2027-01-21"),
            ("pdd", "2026-01-15", "2026-01-21"),
            ("pdd", "2026-01-16", "2026-02-21"),
            ("pdd", "2026-12-16", "2027-01-21"),
            ("jd", "2026-01-31", "2026-03-02"),
            ("vip", "2026-01-31", "2026-03-02"),
        ],
    )
    def test_release_days(self, platform: str, settled: str, released: str) -> None:
        """Each network's own; without an expected date thirty days."""
        day = (date.fromisoformat(settled) - EPOCH).days
        assert to_date(release_day(platform, day, None)).isoformat() == released

    def test_jd_goes_by_the_expected_date(self) -> None:
        """The day after it, whatever the settlement day; no other network has one."""
        assert release_day("jd", 100, 90) == 91
        assert release_day("vip", 100, 90) == 130

    def test_the_end_of_the_calendar_is_no_error(self) -> None:
        """Beyond year 9999 everything is released on its last day."""
        assert release_day("taobao", LAST_DAY, None) == LAST_DAY
        assert release_day("pdd", LAST_DAY + 5, None) == LAST_DAY
        assert to_date(-(10**7)) == date.min

    def test_midnight_begins_its_day(self) -> None:
        """A microsecond before it is the day before, before 1970 too."""
        for day in (-40_000, -1, 0, 1, 20_000):
            assert (day_of(midnight(day)), day_of(midnight(day) - 1)) == (day, day - 1)


class TestWords:
    """Amounts and rates for sentences, faults for clients."""

    def test_money(self) -> None:
        """Two decimals, the sign first."""
        assert [yuan(fen) for fen in (0, 5, 1047, -332, -5)] == ["0.00", "0.05", "10.47", "-3.32", "-0.05"]
        assert [percent(bps) for bps in (0, 6500, 650, 1, 10_000)] == [
            "0 %",
            "65 %",
            "6.5 %",
            "0.01 %",
            "100 %",
        ]
        assert (at_least_zero(-1), at_least_zero(1)) == (0, 1)

    def test_refused_facts_name_every_fault(self) -> None:
        """In contract order, with code and detail."""
        error = RefusedError([missing("seq.modified_at"), invalid("status", "what is this")])
        assert [fault.code for fault in error.faults] == ["missing-seq.modified_at", "invalid-status"]
        assert "missing-seq.modified_at: " in str(error)

    def test_a_reason_that_is_not_in_the_table_is_a_bug(self) -> None:
        """Every code that is given has its row; one without is a KeyError, never an empty page."""
        assert reason_of("missing-seq.modified_at").covers("missing-status")
        with pytest.raises(KeyError):
            reason_of("no-such-reason")

    def test_user_id_fields(self) -> None:
        """`platform:member,…`, spaces allowed, several of one platform in their order."""
        text = "jd:sub_union_id, pdd:custom_uid ,,jd:special_id"
        assert parse_user_id_fields(text) == {"jd": ("sub_union_id", "special_id"), "pdd": ("custom_uid",)}
        assert parse_user_id_fields("") == {}

    @pytest.mark.parametrize("text", ["jd", "jd:user_id", "JD:pid", "jd:", ":pid"])
    def test_user_id_fields_that_are_none(self, text: str) -> None:
        """The part that is wrong is named."""
        with pytest.raises(ValueError, match="platform:member"):
            parse_user_id_fields(text)
