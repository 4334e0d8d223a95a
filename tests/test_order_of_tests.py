"""The order in which tests are begun, and which of them are not measured (see the lists in conftest.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import LONG, SLOW, UNMEASURED, UNTRACED

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("path", sorted({*LONG, *SLOW, *UNMEASURED, *UNTRACED}))
def test_each_one_is_there(path: str) -> None:
    """A folder that was renamed would be begun last, or be measured, and everybody would wait for it."""
    file, _, name = path.partition("::")
    assert (ROOT / file).exists()
    assert not name or f"\nclass {name}:" in (ROOT / file).read_text(encoding="utf-8")
