"""What a snapshot keeps for people.

See docs/spec/facts.md#display-members: kept for display, decides nothing.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from rebate_app.domain.facts import Snapshot
from rebate_app.wire.facts.order import check_order
from tests.wire.samples import NOW_US, decoded, snapshot


def show_of(**members: Any) -> Any:
    """Return what is kept of a snapshot's members, the same by bytes and by value."""
    fact = decoded(snapshot(**members))
    checked = check_order(snapshot(**members), NOW_US)
    assert isinstance(fact, Snapshot)
    assert isinstance(checked, Snapshot)
    assert fact.display == checked.display
    return json.loads(fact.display)


class TestShow:
    """The four members that are kept."""

    def test_nothing(self) -> None:
        """Without them nothing is kept."""
        assert show_of(raw={"x": 1}, item=None) == {}

    def test_as_they_came(self) -> None:
        """They are kept as they came, compact, whatever their types."""
        members = {
            "parent_order_id": "390",
            "platform_status": 3,
            "status_reason": ["x", None],
            "item": {"title": "轻量跑鞋 男款", "price": 259.5, "deep": [{"a": {}}]},
        }
        assert show_of(**members) == members
        fact = decoded(snapshot(item={"title": "跑鞋"}, parent_order_id="1"))
        assert isinstance(fact, Snapshot)
        assert fact.display == '{"parent_order_id":"1","item":{"title":"跑鞋"}}'.encode()

    @pytest.mark.parametrize("item", ["x" * 1_023, {"title": "鞋" * 400}, ["\ud800"], "\udc00", [1] * 600])
    def test_dropped(self, item: object) -> None:
        """One that is larger than 1 KiB, or half a character, is left out; the others stay."""
        assert show_of(item=item, platform_status="3") == {"platform_status": "3"}

    def test_all_large(self) -> None:
        """Each member has its own 1 KiB."""
        members = {"parent_order_id": "a" * 1_000, "status_reason": "b" * 1_000, "item": ["c" * 1_000]}
        assert show_of(**members) == members

    def test_huge_numbers(self) -> None:
        """A number that no other decoder can hold is kept exactly or left out, never guessed."""
        assert show_of(item=10**40) == {"item": 10**40}
        assert show_of(item=10**2_000) == {}
