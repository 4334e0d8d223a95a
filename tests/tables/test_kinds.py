"""The table of record kinds: every record of every table is of exactly one kind, in the format written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.json import Decoder

from agents.accounts import AccountsFold
from rebate_app.domain.account import repricing
from rebate_app.domain.facts import PLATFORM_PATTERN
from rebate_app.streams.state.store import WATERMARK_KEY, decode_watermark
from rebate_app.streams.task.stage import Record
from rebate_app.wire.control import encode_release
from tables import accounts, order_lines
from tables.kinds import EVERY_TABLE, KINDS, KindSpec, KindTable, kind_of
from tests.domain.event_lines import lived
from tests.domain.world import NOW_US, World
from tests.money_out.bank import Bank
from tests.topology_driver import ACCOUNTS, APP, LINES

TABLES = {LINES: order_lines.NAME, ACCOUNTS: accounts.NAME}
SEEDS = range(4)


def matches(spec: KindSpec, key: bytes) -> bool:
    """Return whether the key has the kind's form, without regard to other kinds."""
    if spec.match == "exact":
        return key == spec.key
    if spec.match == "prefix":
        return key.startswith(spec.key)
    return re.match(PLATFORM_PATTERN.encode() + b":", key) is not None


def records_of(world: World) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield table, key and value of every record, watermarks too."""
    for (stage, _), store in world.stream.stores.items():
        yield from ((TABLES[stage], key, value) for key, value in dict(store.items()).items())
        watermark = store.get(WATERMARK_KEY)
        if watermark is not None:
            yield TABLES[stage], WATERMARK_KEY, watermark


def with_parked_keys(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return the world with keys of users parked, one of them released in vain, and facts misplaced."""
    fold = AccountsFold.take
    broken = {user.encode() for user in world.users()[:2]}

    def take(self: AccountsFold, record: Record) -> None:
        fold(self, record)
        if record.key in broken:
            raise ZeroDivisionError

    monkeypatch.setattr(AccountsFold, "take", take)
    stream = world.stream
    for user in sorted(broken):
        document = {
            "schema": "user-fact/1",
            "kind": "user.profile",
            "user_id": user.decode(),
            "level": "basic",
        }
        sent = stream.send_user(document | {"effective_at": "2026-01-01T00:00:00+08:00"}, NOW_US)
        stream.send(sent.topic, user, sent.value, NOW_US, partition=(sent.partition + 1) % stream.partitions)
        stream.send(stream.topics.user_log, user, encode_release(APP, "ann", []), NOW_US)
    stream.run()
    for user_id in world.users()[2:]:
        reprice_halfway(world, user_id, monkeypatch)
    return world


def reprice_halfway(world: World, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a repricing of the user's lines, and let a profile arrive before it has reached them all."""
    monkeypatch.setattr(repricing, "MOVES_MAX", 1)
    stream = world.stream
    stream.send_user(
        {
            "schema": "user-fact/1",
            "kind": "account.reprice",
            "user_id": user,
            "lines": None,
            "reason": "test",
        },
        NOW_US,
    )
    stream.send_user(
        {
            "schema": "user-fact/1",
            "kind": "user.profile",
            "user_id": user,
            "level": "basic",
            "effective_at": "2026-01-01T00:00:00+08:00",
        },
        NOW_US,
    )
    stream.step(ACCOUNTS, stream.partition_of(user), 2)


def lived_bank() -> Bank:
    """Return a bank in which something of each kind has happened, and a request is undecided."""
    bank = Bank()
    bank.fund()
    for own_id in ("w1", "w2"):
        bank.request(own_id)
        bank.attempt(own_id=own_id)
    bank.result("paid", own_id="w1")
    bank.result("failed", own_id="w2")
    bank.result("paid", own_id="w2")
    bank.request("w4")
    bank.attempt(own_id="w4")
    figures = {"batch": "b", "source": "s", "as_of": "2026-03-01", "available": 1, "withdrawn": 0}
    bank.send("account.opening", opening_id="o1", **figures)
    bank.is_active = False
    bank.request("w3")
    return bank


class TestKinds:
    """One table says what every record of a changelog is."""

    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_record_of_a_random_world_is_of_one_kind(
        self, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exactly one kind matches each key, and it is the one that `kind_of` returns."""
        for table, key, _ in records_of(with_parked_keys(lived(seed, 1), monkeypatch)):
            found = [
                spec for spec in KINDS.specs if spec.table in (table, EVERY_TABLE) and matches(spec, key)
            ]
            assert [kind_of(table, key)] == found, (table, key)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_record_is_in_the_format_that_is_written(
        self, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The type of the kind decodes the value; its `format` is the one that the row says."""
        for table, key, value in records_of(with_parked_keys(lived(seed, 1), monkeypatch)):
            spec = kind_of(table, key)
            assert spec is not None
            if key == WATERMARK_KEY:
                record: Any = decode_watermark(value)
            else:
                record = Decoder().decode(value) if spec.record is None else spec.record.decode(value, key)
            written = record.format if hasattr(record, "__struct_fields__") else None
            assert written == spec.format, (table, key)

    def test_random_worlds_write_every_kind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So the two laws above cover the whole table."""
        bank = lived_bank()  # before the patch that parks keys
        written = {
            spec.name
            for seed in SEEDS
            for table, key, _ in records_of(with_parked_keys(lived(seed, 1), monkeypatch))
            if (spec := kind_of(table, key)) is not None
        }
        for key, value in bank.store.items():
            spec = kind_of(accounts.NAME, key)
            assert spec is not None
            assert spec.record is None or spec.record.decode(value, key) is not None
            written.add(spec.name)
        older = {"used rule version"}  # written by older releases
        assert written == {spec.name for spec in KINDS.specs} - older

    def test_names_are_unique_and_the_written_format_is_read(self) -> None:
        """A name means one kind; what is written can be read again."""
        assert len({spec.name for spec in KINDS.specs}) == len(KINDS.specs)
        assert all(spec.format is None or spec.format in spec.formats for spec in KINDS.specs)

    def test_keys_of_order_lines_have_no_other_kinds_prefix(self) -> None:
        """No platform begins like the key of another kind in the same table."""
        for spec in KINDS.specs:
            if spec.table in (order_lines.NAME, EVERY_TABLE) and spec.match != "contains":
                assert not re.fullmatch(f"{PLATFORM_PATTERN}:.*".encode(), spec.key)
                platform = re.match(PLATFORM_PATTERN.encode(), spec.key)
                assert spec.match == "exact" or platform is None or platform.end() < len(spec.key)

    @pytest.mark.parametrize("key", [b"", b"unknown", b"x u1", b"hh u1", b"h"])
    def test_an_unknown_key_is_of_no_kind(self, key: bytes) -> None:
        """Whoever meets it decides what to do."""
        assert kind_of(accounts.NAME, key) is None

    def test_an_unknown_table_is_refused(self) -> None:
        """A wrong table name is a bug, not a record of no kind."""
        with pytest.raises(KeyError):
            kind_of("accounts2", b"h u1")


class TestCollisions:
    """Rows by which a key could be of two kinds are refused."""

    @pytest.mark.parametrize(
        ("match", "key"),
        [("exact", b"#"), ("exact", b"h u1"), ("prefix", b"h "), ("prefix", b"h u"), ("prefix", b"park")],
    )
    def test_two_rows_for_one_key(self, match: str, key: bytes) -> None:
        """Equal keys, one prefix inside another, an exact key behind a prefix."""
        row = KindSpec("toy", accounts.NAME, match, key, None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a key could be both"):
            KindTable((*KINDS.specs, row))

    def test_a_second_kind_without_prefix(self) -> None:
        """Of each table one kind at most has keys without a prefix."""
        row = KindSpec("toy", order_lines.NAME, "contains", b"/", None)
        with pytest.raises(ValueError, match="a key could be both"):
            KindTable((*KINDS.specs, row))

    def test_other_tables_are_free(self) -> None:
        """The same prefix in another table is another kind."""
        row = KindSpec("toy", order_lines.NAME, "prefix", b"h ", None)
        assert KindTable((*KINDS.specs, row)).of(order_lines.NAME, b"h 1") is row
