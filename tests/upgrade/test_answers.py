"""The comparison of two versions' answers finds what it has to find."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upgrade.answers import MOMENTS, amounts, differences

OLD: dict[str, Any] = {
    "balance": {"available": 5, "as_of": {"offset": 3}},
    "lines": [{"held": 1}, {"held": 2}],
}


def test_a_member_that_only_the_new_version_has_is_allowed() -> None:
    """So are other positions."""
    new = OLD | {"balance": {"available": 5, "frozen": 7, "as_of": {"offset": 9}}, "payouts": []}
    assert differences(OLD, new) == []


@pytest.mark.parametrize(
    ("new", "found"),
    [
        ({"lines": OLD["lines"]}, "/balance is missing"),
        (OLD | {"balance": {"available": 6}}, "/balance/available: 5 became 6"),
        (OLD | {"balance": {"available": 5.0}}, "/balance/available: 5 became 5.0"),
        (OLD | {"lines": [{"held": 1}]}, "/lines: [{'held': 1}, {'held': 2}] became [{'held': 1}]"),
        (OLD | {"lines": [{"held": 1}, {"held": 3}]}, "/lines[1]/held: 2 became 3"),
    ],
)
def test_anything_else_is_a_difference(new: dict[str, Any], found: str) -> None:
    """A member that is gone, another value, another type, another length, at any depth."""
    assert differences(OLD, new) == [found]


def test_ledgers_are_compared_by_what_they_add_up_to() -> None:
    """In any order and in any number of entries, but for each moment, line and role."""
    line = {"platform": "jd", "order_line_id": "1", "role": "buyer", "estimated": 0, "held": 0}
    one = [line | {"settled": 30, "effective_on": "2026-02-20"}, line | {"settled": 5, "effective_on": None}]
    two = [
        line | {"settled": 2, "effective_on": None},
        line | {"settled": 3, "effective_on": None},
        line | {"settled": 30, "effective_on": "2026-02-20"},
    ]
    assert amounts({"u/ledger": one}) == amounts({"u/ledger": two})
    assert amounts({"u/ledger": one}) != amounts({"u/ledger": two[:2]})
    assert amounts({"u/ledger": one})["u/ledger"][f"{MOMENTS[0]} jd 1 buyer settled"] == 5
