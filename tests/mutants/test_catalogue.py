"""The mutations still fit the code: `make mutants` proves that they are caught."""

from __future__ import annotations

import pytest

from tests.kafka_fixture import CHECKOUT
from tests.mutants.catalogue import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_change_has_its_one_place(mutation: Mutation) -> None:
    """What a mutation replaces stands in its file once, and the tests that catch it exist."""
    for change in mutation.changes:
        assert (CHECKOUT / change.file).read_text(encoding="utf-8").count(change.old) == 1, change.old
    file, *names = mutation.caught_by.split("::")
    text = (CHECKOUT / file).read_text(encoding="utf-8")
    assert all(f"class {name}" in text or f"def {name}(" in text for name in names)
