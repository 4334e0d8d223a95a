"""Facts that are already in the form of the contract, one a line.

Law: such a row is taken as it is, with every member that decides nothing (contracts.md 1 and 5). It is
an adapter like the others so that a file of facts is read, numbered and refused like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rebate_app.domain.faults import Fault

    from .rows import Row


def read_row(row: Row) -> tuple[dict[str, Any], list[Fault]]:
    """Return the row itself: what it lacks is for the careful reading to say."""
    return row, []
