"""Facts in the form of docs/spec/facts.md#order-facts, one a line, taken as they are.

Every member is kept, also those that decide nothing; the check of the fact finds what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..json_values import parse_strict
from .adapter import Adapter, MappedRow, PageItem, Row

if TYPE_CHECKING:
    from collections.abc import Iterator


def answer_rows(answer: Row) -> Iterator[PageItem]:
    """Return the only row: facts have no envelope."""
    yield answer


def read_row(row: Row, _fetched_at_ms: int) -> MappedRow:
    """Return the row itself."""
    return MappedRow(row, [])


ADAPTER = Adapter(answer_rows, read_row, parse=parse_strict, is_canonical=True)
