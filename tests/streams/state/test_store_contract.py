"""One suite for both stores: the laws of the port, drawn by Hypothesis against a dictionary."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rebate_app.streams.state import packing
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import WATERMARK_KEY, MemoryStore, Store, StoreClosedError, Watermark
from rebate_app.wire.unreadable import UnreadableValueError
from tests.streams.state.stores import KINDS, open_store, watermark, watermark_value

MEGABYTE = 1_048_576

KEYS = st.one_of(
    st.sampled_from([b"head u1", b"head u2", b"line u1 jd:1", b"\xff\xff", "行 ü".encode()]),
    st.binary(min_size=1, max_size=20).filter(lambda key: key[0] != 0 and key != WATERMARK_KEY),
)
VALUES = st.one_of(
    st.binary(max_size=40),
    st.integers(0, 3).map(lambda number: bytes([65 + number]) * (number * MEGABYTE)),
    st.integers(0, 99).map(lambda number: b'["taobao:%019d",%d]' % (number, number) * 10),  # resembles others
    st.binary(max_size=300).map(lambda tail: packing.MAGIC + tail),  # begins like a packed value
)
CHANGES = st.dictionaries(KEYS, st.one_of(st.none(), VALUES), max_size=8)


class StoreMachine(RuleBasedStateMachine):
    """A store beside a dictionary that does the same."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.store: Store = open_store(self.kind, self._folder)
        self._forget()

    def _forget(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self.watermark: Watermark | None = None
        self.position = 0
        self.complete_at = 0.0

    @rule(
        changes=CHANGES,
        offset=st.one_of(st.none(), st.integers(0, 2**62)),
        step=st.integers(0, 5_000),
        complete_at=st.one_of(st.none(), st.floats(1, 4e9)),
    )
    def apply(
        self, changes: dict[bytes, bytes | None], offset: int | None, step: int, complete_at: float | None
    ) -> None:
        """Move data, watermark, position and age in one step; without a moment the age stays."""
        self.position += step
        mark: dict[bytes, bytes | None] = {} if offset is None else {WATERMARK_KEY: watermark_value(offset)}
        self.store.apply(changes | mark, self.position, complete_at)
        for key, value in changes.items():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value
        self.watermark = self.watermark if offset is None else watermark(offset)
        self.complete_at = self.complete_at if complete_at is None else complete_at

    @rule(keys=st.lists(KEYS, max_size=8), everything=st.booleans())
    def rest(self, keys: list[bytes], everything: bool) -> None:
        """Hold the same in any form, also for keys that it does not have."""
        self.store.rest([*self.records, *keys] if everything else keys)

    @rule(changes=CHANGES)
    def refuse(self, changes: dict[bytes, bytes | None]) -> None:
        """Take nothing of what cannot be taken whole: here the watermark is no watermark."""
        with pytest.raises(UnreadableValueError):
            self.store.apply(changes | {WATERMARK_KEY: b"?"}, self.position + 1, 1.0)

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        """Find what was put last, None when nothing was or it was deleted."""
        assert self.store.get(key) == self.records.get(key)

    @rule(changes=CHANGES, key=KEYS)
    def read_through_an_overlay(self, changes: dict[bytes, bytes | None], key: bytes) -> None:
        """See the changes through a state transaction, else what is below; no trace is left of it."""
        transaction = StateTransaction(self.store)
        for name, value in changes.items():
            if value is None:
                transaction.delete(name)
            else:
                transaction.put(name, value)
        assert transaction.get(key) == (self.records | changes).get(key)

    @rule()
    def clear(self) -> None:
        """Nothing is left, and it can be used at once."""
        self.store.clear()
        self._forget()

    @rule()
    def reopen(self) -> None:
        """Find everything again on a disk, nothing in memory."""
        self.store.close()
        self.store.close()
        with pytest.raises(StoreClosedError):
            self.store.get(b"head u1")
        self.store = open_store(self.kind, self._folder)
        if self.kind == "memory":
            self._forget()

    @precondition(lambda self: self.kind == "rocksdb")
    @rule()
    def flush(self) -> None:
        """Where the records lie, in memory or in files, makes no difference."""
        db: Any = self.store._db  # type: ignore[attr-defined]
        db.flush()
        db.compact_range(None, None)

    @invariant()
    def holds_what_the_dictionary_holds(self) -> None:
        """Items, their number, watermark, position and age are the model's."""
        items = list(self.store.items())
        assert dict(items) == self.records
        assert len(items) == len(self.store) == len(self.records)
        assert self.store.watermark == self.watermark
        assert self.store.position == self.position
        assert self.store.complete_at == self.complete_at
        assert self.store.damage is None

    def teardown(self) -> None:
        """Let go of the folder."""
        self.store.close()
        self._stack.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_store_does_what_a_dictionary_does(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is applied, laid to rest, cleared, closed and opened again, in any order."""
    monkeypatch.setattr(packing, "SAMPLES", 2)  # so that most values are packed with a dictionary
    machine = type(f"{kind.title()}Machine", (StoreMachine,), {"kind": kind})
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=20))


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give a store of each kind, closed in the end."""
    opened = open_store(request.param, tmp_path)
    yield opened
    opened.close()


class TestClosed:
    """The partition is somebody else's: no answer is better than an empty one."""

    def test_every_use_is_refused(self, store: Store) -> None:
        """Reads, writes and clearing raise StoreClosedError; an empty answer would be a wrong balance."""
        store.apply({b"head u1": b"1"}, 1)
        store.close()
        for use in (
            lambda: store.get(b"head u1"),
            lambda: store.apply({}, 2),
            lambda: list(store.items()),
            lambda: len(store),
            *((lambda: store.rest([b"head u1"]),) if isinstance(store, MemoryStore) else ()),
        ):
            with pytest.raises(StoreClosedError):
                use()


class TestItems:
    """Iterating."""

    def test_neither_watermark_nor_the_stores_own_record_is_an_item(self, store: Store) -> None:
        """Only records of the table are listed and counted."""
        store.apply({WATERMARK_KEY: watermark_value(7), b"head u1": b"1"}, 5, 1.0)
        assert list(store.items()) == [(b"head u1", b"1")]
        assert len(store) == 1
        assert store.watermark == watermark(7)

    def test_a_watermark_can_be_deleted(self, store: Store) -> None:
        """A changelog whose watermark is a tombstone is one that nobody has written for."""
        store.apply({WATERMARK_KEY: watermark_value(7)}, 5)
        store.apply({WATERMARK_KEY: None}, 6)
        assert store.watermark is None
