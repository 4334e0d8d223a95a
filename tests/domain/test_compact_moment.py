"""Moments in their compact form."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from rebate_app.domain.compact_moment import SECOND_US, compact_moment, full_moment
from rebate_app.wire.moments import parse_moment

FIRST, LAST = parse_moment("0001-01-02T00:00:00Z"), parse_moment("9999-12-30T23:59:59.999999Z")


@given(st.integers(FIRST, LAST) | st.integers(-(2 * 10**12), 2 * 10**12))
@example(10**12)
@example(-(10**12))
@example(10**12 + 1)
@example(10**12 - 1)
def test_it_stands_for_the_same_moment(moment: int) -> None:
    """Back and forth nothing changes, but for fractions within twelve days of 1970."""
    back = full_moment(compact_moment(moment))
    if moment % SECOND_US == 0 or abs(moment) >= 10**12:
        assert back == moment
    else:
        assert back == moment // SECOND_US * SECOND_US


def test_a_whole_second_has_ten_digits() -> None:
    """What networks send costs as little as it can."""
    assert compact_moment(parse_moment("2026-01-10T03:22:40+08:00")) == 1_767_986_560
