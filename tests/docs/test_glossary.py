"""docs/glossary.md explains the words that facts and answers use."""

from __future__ import annotations

import re

import pytest

from rebate_app.domain.facts import PUNISH_RANK, REFUND_RANK, STATUS_RANK
from rebate_app.wire.events import Buckets
from tests.docs.pages import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
]
TERMS = {word for row in ROWS for word in re.findall(r"[a-z]+", row[0])}


@pytest.mark.parametrize("words", [STATUS_RANK, REFUND_RANK, PUNISH_RANK, Buckets.__struct_fields__])
def test_every_status_and_bucket_is_a_term(words: object) -> None:
    """What a caller reads in a member has a row."""
    assert isinstance(words, dict | tuple)
    assert set(words) <= TERMS


def test_every_term_has_one_row_with_a_meaning() -> None:
    """One sentence each, and none twice."""
    terms = [row[0] for row in ROWS if row[0] not in ("term", "---")]
    assert len(terms) == len(set(terms))
    assert [row for row in ROWS if len(row) not in (3, 4) or not row[2]] == []
