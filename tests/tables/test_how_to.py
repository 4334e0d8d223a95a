"""docs/how-to/add-a-record-kind.md, followed with a toy kind of table `accounts`."""

from __future__ import annotations

import pytest
from msgspec import Struct

from rebate_app.audit.rendering import rendered_record
from rebate_app.streams.state.buffer import StateTransaction, TransactionRecords
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.state.store import MemoryStore
from tables import accounts, kinds


class Note(Struct, array_like=True):
    """What an operator noted about a user (format 1)."""

    format: int = 1
    text: str = ""


class NoteWithAuthor(Struct, array_like=True):
    """The same record in format 2: a member is appended."""

    format: int = 2
    text: str = ""
    author: str = ""


NOTE = RecordKind("x", Note)
KEY = NOTE.key("u1")


@pytest.fixture
def _with_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the toy kind's row to the table of kinds."""
    row = kinds._typed("note about a user", NOTE)
    monkeypatch.setattr(kinds, "KINDS", kinds.KindTable((*kinds.KINDS.specs, row)))


def written(record: object, store: MemoryStore) -> MemoryStore:
    """Write the record as a batch does."""
    transaction = StateTransaction(store)
    records = TransactionRecords(transaction)
    records.add(KEY, record)
    records.flush()
    store.apply(transaction.changes, store.position + 1)
    return store


class TestToyKind:
    """A struct, a `RecordKind` and a row are all that a record kind takes."""

    def test_without_its_row_a_key_is_of_no_kind(self) -> None:
        """The prefix is free before the row is added."""
        assert kinds.kind_of(accounts.NAME, KEY) is None

    @pytest.mark.usefixtures("_with_row")
    def test_it_is_written_read_and_rendered(self) -> None:
        """A batch writes it, anyone reads it, and an audit shows it decoded."""
        store = written(Note(text="calls back on Monday"), MemoryStore())
        found = NOTE.read(store, KEY)
        assert found == Note(1, "calls back on Monday")
        spec = kinds.kind_of(accounts.NAME, KEY)
        assert spec is not None
        assert (spec.name, spec.from_log) == ("note about a user", True)
        shown = rendered_record(accounts.NAME, KEY, store.get(KEY))
        assert shown == {"format": 1, "text": "calls back on Monday"}

    def test_format_2_reads_format_1(self) -> None:
        """An appended member with a default: a record keeps its format until it is written again."""
        store = written(Note(text="old"), MemoryStore())
        newer = RecordKind("x", NoteWithAuthor)
        found = newer.read(store, KEY)
        assert found == NoteWithAuthor(1, "old", "")

    @pytest.mark.parametrize("prefix", ["h", "e", "#"])
    def test_a_prefix_in_use_is_refused(self, prefix: str) -> None:
        """A row that collides with another kind of its table is a ValueError."""
        taken = kinds.KindSpec("toy", accounts.NAME, "prefix", prefix.encode(), NOTE)
        with pytest.raises(ValueError, match="a key could be both"):
            kinds.KindTable((*kinds.KINDS.specs, taken))
