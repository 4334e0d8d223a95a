"""The write buffer of a batch: records move from the cache to the batch, and back once it is committed."""

from __future__ import annotations

import pytest

from rebate_app.streams.errors import UnreadableStateError
from rebate_app.streams.state.buffer import StateTransaction, TransactionRecords
from rebate_app.streams.state.cache import RecordCache
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.state.store import MemoryStore

NUMBERS = RecordKind("n", list[int])
KEY = NUMBERS.key("u1")


class Partition:
    """A store with its cache, and batches over them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.cache = RecordCache()

    def begin(self) -> tuple[StateTransaction, TransactionRecords]:
        """Begin a batch."""
        transaction = StateTransaction(self.store, self.cache)
        return transaction, TransactionRecords(transaction)

    def commit(self, transaction: StateTransaction, records: TransactionRecords) -> None:
        """Commit a batch as the engine does."""
        records.flush()
        self.store.apply(transaction.changes, self.store.position + 1)
        self.cache.keep(transaction)

    def append(self, number: int) -> None:
        """Append a number in a batch of its own."""
        transaction, records = self.begin()
        found = records.get(NUMBERS, KEY)
        if found is None:
            records.add(KEY, [number])
        else:
            found.append(number)
        self.commit(transaction, records)


@pytest.fixture
def partition() -> Partition:
    """Return a partition whose record has two numbers, committed by two batches."""
    partition = Partition()
    partition.append(1)
    partition.append(2)
    return partition


class TestCommit:
    """What a batch commits is in the store and, decoded, in the cache."""

    def test_the_next_batch_gets_the_decoded_record(self, partition: Partition) -> None:
        """It is the same object, and what is stored is its encoding."""
        cached = partition.cache.records.get(KEY)
        assert cached is not None
        assert (cached.record, cached.stored) == ([1, 2], b"[1,2]")
        assert partition.store.get(KEY) == b"[1,2]"
        _, records = partition.begin()
        assert records.peek(NUMBERS, KEY) is cached.record

    def test_an_unchanged_record_is_not_written(self, partition: Partition) -> None:
        """`get` without a change leaves no trace in the changelog."""
        transaction, records = partition.begin()
        assert records.get(NUMBERS, KEY) == [1, 2]
        records.flush()
        assert transaction.changes == {}

    def test_a_record_changed_after_peek_is_written_by_add(self, partition: Partition) -> None:
        """`peek` alone writes nothing; `add` of the same record does."""
        transaction, records = partition.begin()
        found = records.peek(NUMBERS, KEY)
        assert found is not None
        found.append(3)
        records.flush()
        assert transaction.changes == {}
        records.add(KEY, found)
        records.flush()
        assert transaction.changes == {KEY: b"[1,2,3]"}

    def test_a_record_that_is_missing_is_not_written(self, partition: Partition) -> None:
        """`get` of nothing creates nothing."""
        transaction, records = partition.begin()
        assert records.get(NUMBERS, NUMBERS.key("u2")) is None
        records.flush()
        assert transaction.changes == {}


class TestDroppedBatch:
    """A batch that is dropped leaves nothing behind."""

    def test_its_changes_are_not_in_the_cache(self, partition: Partition) -> None:
        """The record was changed in place; the next batch reads the store."""
        _, records = partition.begin()
        found = records.get(NUMBERS, KEY)
        assert found is not None
        found.append(99)
        partition.append(3)
        assert partition.store.get(KEY) == b"[1,2,3]"

    def test_roll_back_returns_to_the_given_changes(self, partition: Partition) -> None:
        """Within the batch: changes as they were, decoded records read again."""
        transaction, records = partition.begin()
        transaction.put(b"x", b"1")
        savepoint = dict(transaction.changes)
        found = records.get(NUMBERS, KEY)
        assert found is not None
        found.append(99)
        records.flush()
        transaction.sources[b"value"] = (KEY, 1)
        transaction.roll_back(savepoint)
        assert transaction.changes == {b"x": b"1"}
        assert transaction.sources == {}
        assert TransactionRecords(transaction).get(NUMBERS, KEY) == [1, 2]


class TestReading:
    """Reads see the batch's own writes first."""

    def test_puts_and_deletes_hide_the_store(self, partition: Partition) -> None:
        """A deleted record is none, a put one has the new value; the store is unchanged."""
        transaction, _ = partition.begin()
        transaction.put(KEY, b"[7]")
        assert transaction.get(KEY) == b"[7]"
        transaction.delete(KEY)
        assert transaction.get(KEY) is None
        assert partition.store.get(KEY) == b"[1,2]"

    def test_a_value_of_another_type_is_an_error(self) -> None:
        """UnreadableStateError names the key."""
        partition = Partition()
        partition.store.apply({KEY: b'"text"'}, 1)
        _, records = partition.begin()
        with pytest.raises(UnreadableStateError) as caught:
            records.get(NUMBERS, KEY)
        assert caught.value.key == KEY
