"""Versions that become known while lines come: each line is priced by those known at its place in the log."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from msgspec.structs import replace

from agents.accounts import AccountsStage
from agents.rule_activation import activation_key, activations_of, note_activations
from rebate_app.domain.pricing.catalogue import (
    Activation,
    RuleCatalogue,
    VersionNotReadError,
    conflict,
    in_order,
)
from rebate_app.domain.pricing.rules import Level, RuleBook, RuleVersion
from rebate_app.streams.errors import HaltError
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import MemoryStore
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.facts.identifiers import attribution_id_ok, user_id_ok
from rebate_app.wire.rules.parsing import parse_rules
from tables.accounts import USED_RULE
from tests.audit.list_logs import ListLogs, audit
from tests.domain.histories import HISTORY, PROFILES, VERSIONS, phases, rules_text
from tests.domain.judging import Product
from tests.domain.world import World
from tests.oracle import Oracle
from tests.oracle.activations import KnownVersions
from tests.topology_driver import ACCOUNTS, at_random

AT = datetime.fromisoformat("2026-06-01T00:00:00+08:00")
SEEDS = range(12)
NEWER_FORMAT = (
    b'{"schema":"owner-fact/1","kind":"rules.activated","app":"rebate","format":2,"version":"v",'
    b'"hash":"","after_offset":1,"at":1}'
)


def parsed(text: str) -> RuleVersion:
    """Return the version of a file that is right."""
    version = parse_rules(text, "rules")
    assert isinstance(version, RuleVersion), version
    return version


def rule(name: str, since: int = 0, replaces: str | None = None) -> RuleVersion:
    """Return a small version."""
    return RuleVersion(name, since, (Level("basic", 5_000),), replaces=replaces, content_hash=name)


class TestHistory:
    """Random histories against the oracle, which is told what was known when."""

    @pytest.mark.parametrize("seed", SEEDS)
    def test_equal_orders_are_priced_equally(self, seed: int) -> None:
        """Late versions and replacements price what comes after them; an audit finds the same amounts."""
        rng = random.Random(seed)
        world = World(HISTORY[:1], partitions=3)
        world.know(PROFILES)
        history, known = [], KnownVersions(HISTORY)
        for number, facts in enumerate(phases(rng, 12)):
            if number:
                world.stream.catalogue.add(parsed(HISTORY[number]))
            history += facts
            for document in facts:
                world.stream.send_order(document, 1_785_000_000_000_000)
            world.stream.run(at_random(rng, 9))
            assert world.stream.dead_letters == []
            known.phase(Oracle(history, PROFILES, HISTORY), VERSIONS[: number + 1])
            oracle = Oracle(history, PROFILES, HISTORY, pinned=known.pinned)
            assert list(Product(world).disagreements(oracle, AT)) == []
        assert set(known.pinned.values()) == set(VERSIONS)
        assert audit(ListLogs(world.stream)).differences == 0

    def test_partitions_learn_at_different_places(self) -> None:
        """A partition that learns later goes on with what it knows; the audit finds the same amounts."""
        rng = random.Random(5)
        world = World(HISTORY[:1], partitions=3)
        world.know(PROFILES)
        for number, facts in enumerate(phases(rng, 15, 4)):
            for position, document in enumerate(facts):
                world.stream.send_order(document, 1_785_000_000_000_000)
                if position == len(facts) // 2 and number:
                    world.stream.catalogue.add(parsed(HISTORY[number]))
                works = world.stream.waiting()
                if works and rng.random() < 0.4:
                    work = rng.choice(works)
                    world.stream.step(work.stage, work.partition, rng.randint(1, work.waiting))
        world.stream.run(at_random(rng, 9))
        places = {
            tuple(sorted((each.version, each.after_offset) for each in world.activations(number)))
            for number in range(3)
        }
        assert len(places) == 3
        assert audit(ListLogs(world.stream)).differences == 0

    def test_an_unknown_activation_in_the_log_decides_nothing(self) -> None:
        """What others write there under our app is no note: lines are priced as before; an audit names it."""
        world = World(HISTORY[:1], partitions=1)
        world.know(PROFILES)
        (facts, *_) = phases(random.Random(1), 5)
        forged = (
            b'{"schema":"owner-fact/1","kind":"rules.activated","app":"rebate","format":1,'
            b'"version":"v9","hash":"x","after_offset":-1,"at":0}'
        )
        world.stream.send(world.stream.topics.user_log, b"rules.activated:0", forged, 0)
        world.take(facts)
        assert world.stream.dead_letters == []
        assert [each.version for each in world.activations(0)] == ["v1"]
        report = audit(ListLogs(world.stream))
        assert [item.kind for item in report.items] == ["invented-message"]

    def test_others_activations_are_ignored(self) -> None:
        """Another app of the same prefix notes in the same log."""
        world = World(HISTORY[:1], partitions=1)
        theirs = (
            b'{"app":"rebate-2","schema":"owner-fact/1","kind":"rules.activated","format":7,"version":"v9"}'
        )
        world.stream.send(world.stream.topics.user_log, b"rules.activated:0", theirs, 0)
        world.take(phases(random.Random(1), 5)[0])
        assert world.stream.dead_letters == []
        assert audit(ListLogs(world.stream)).differences == 0

    def test_a_damaged_note_is_found(self) -> None:
        """The table's note is compared with what its owner stated in the log."""
        world = World(HISTORY[:2], partitions=1)
        world.know(PROFILES)
        world.take(phases(random.Random(2), 5)[0])
        logs = ListLogs(world.stream)
        store = world.stream.stores[ACCOUNTS, 0]
        stored = store.get(b"R") or b""
        logs.damage[world.stream.topics.accounts.changelog, 0] = {b"R": stored.replace(b'"v2"', b'"v1b"')}
        world.stream.catalogue.add(parsed(HISTORY[2]))
        assert audit(logs).differences > 0


class TestBook:
    """Which version is in force among those that are known."""

    def test_the_last_of_a_chain_is_in_force(self) -> None:
        """In place of those that it replaces, wherever those would be."""
        chain = [rule("a", 10), rule("z", 10, "a"), rule("b", 10, "z"), rule("n", 20)]
        book = RuleBook(chain)
        assert [getattr(book.in_force(at), "version", None) for at in (9, 10, 19, 20)] == [
            None,
            "b",
            "b",
            "n",
        ]
        assert RuleBook(chain[:2]).in_force(10) is chain[1]
        assert RuleBook(chain[:1]).in_force(10) is chain[0]
        assert book.named("a") is chain[0]

    def test_a_version_that_was_not_read(self) -> None:
        """A live catalogue asks for it to be read; once it is known to be absent, there is none."""
        catalogue = RuleCatalogue([rule("a")], live=True)
        book = catalogue.book_of(b"x", [Activation("a", "a", -1, 0)])
        with pytest.raises(VersionNotReadError):
            book.named("b")
        with pytest.raises(VersionNotReadError):
            catalogue.book_of(b"y", [Activation("b", "b", -1, 0)])
        catalogue.note_absent("b")
        with pytest.raises(KeyError):
            book.named("b")
        catalogue.add(rule("b", 5))
        assert book.named("b").version == "b"
        assert book.in_force(5).version == "a"  # type: ignore[union-attr]

    def test_what_was_known_at_an_offset(self) -> None:
        """An activation holds behind its offset, for the book of an earlier place too."""
        catalogue = RuleCatalogue([rule("a", 10), rule("b", 10, "a"), rule("c", 20)])
        noted = [Activation("a", "a", -1, 0), Activation("b", "b", 7, 0), Activation("c", "c", 7, 0)]
        book = catalogue.book_of(b"x", noted)
        assert [book.known_at(at).in_force(25).version for at in (0, 7, 8)] == ["a", "a", "c"]  # type: ignore[union-attr]
        assert book.known_at(8) is book
        assert book.known_at(7).named("c").version == "c"

    def test_what_cannot_be_published(self) -> None:
        """A moment belongs to one version and those that replace it, one after the other."""
        a, b = rule("a", 10), rule("b", 10, "a")
        assert conflict(b, [a]) is None
        assert conflict(rule("c", 10, "b"), [a, b]) is None
        assert "there already" in (conflict(a, [a]) or "")
        assert "no replaces" in (conflict(rule("c", 10), [a]) or "")
        assert "replaces 'a' already" in (conflict(rule("c", 10, "a"), [a, b]) or "")
        assert "has to be that of" in (conflict(rule("c", 11, "a"), [a]) or "")
        assert "there is no version" in (conflict(rule("c", 10, "x"), [a]) or "")

    def test_order_of_publishing(self) -> None:
        """By moment, then name, each behind the one that it replaces; a circle does not hang."""
        z, a, b = rule("z", 1), rule("a", 1, "z"), rule("b", 0)
        assert in_order([a, z, b]) == [b, z, a]
        assert len(in_order([rule("p", 1, "q"), rule("q", 1, "p")])) == 2


class TestReplaces:
    """The member of the file."""

    def test_it_is_read(self) -> None:
        """A name, and not the version's own."""
        assert parsed(HISTORY[2]).replaces == "v1"
        assert parsed(HISTORY[0]).replaces is None
        problems = parse_rules(rules_text("v1", "2026-01-01", 1, 1, replaces="v1"), "f")
        assert problems == ["f: replaces: is the version itself"]


class TestOwnerFacts:
    """What an owner stated has happened: a record that cannot be read is never passed over."""

    @pytest.mark.parametrize(
        "value",
        [
            b'{"schema":"owner-fact/1",',
            b'{"schema":"owner-fact/1"}',
            b'{"kind":"withdrawal.decided","app":"rebate-2","format":1,"schema":"owner-fact/1"}',
            NEWER_FORMAT,
            b'{ "schema": "owner-fact/1", "kind": "rules.activated", "app": "rebate", "format": 1 }',
        ],
    )
    def test_one_that_cannot_be_read_halts(self, value: bytes) -> None:
        """In whatever spelling; the records before it are taken, and nothing is a dead letter."""
        world = World(HISTORY[:1], partitions=1)
        world.know(PROFILES)
        before = world.stream.done[ACCOUNTS, 0]
        world.stream.send(world.stream.topics.user_log, b"ann", value, 0)
        for _ in range(2):
            with pytest.raises(HaltError, match="unreadable-fact"):
                world.take([])
        assert world.stream.dead_letters == []
        assert world.stream.done[ACCOUNTS, 0] in (before, before + 1)  # the note, and nothing of the record

    def test_others_schemas_are_dead_letters_as_before(self) -> None:
        """Only owner facts halt."""
        world = World(HISTORY[:1], partitions=1)
        for value in (b'{"schema":"owner-fact/2"}', b"{", b"owner-fact/1"):
            world.stream.send(world.stream.topics.user_log, b"ann", value, 0)
        world.take([])
        assert world.dead_reasons() == ["unknown-schema", "undecodable", "undecodable"]


class TestUpgrade:
    """A partition that an older release has owned."""

    def test_what_was_used_there_is_known_from_the_beginning(self) -> None:
        """The others are known behind the watermark, in the order of their places."""
        stream = World(HISTORY[:2], partitions=1).stream
        stage = stream.stages[ACCOUNTS]
        assert isinstance(stage, AccountsStage)
        store = MemoryStore()
        store.apply({USED_RULE.key("v2"): b'"v2"'}, 1)
        transaction, collector = StateTransaction(store), RecordCollector()
        note_activations(stage, store, (0, 1), 41, transaction, collector, lambda: 5)
        store.apply(transaction.changes, 2)
        assert [(each.version, each.after_offset) for each in activations_of(store).items] == [
            ("v2", -1),
            ("v1", 41),
        ]
        assert [record.timestamp_ms for record in collector.records] == [5, 5]
        stream.catalogue.add(parsed(HISTORY[2]))
        store.apply({USED_RULE.key("v1b"): b'"v1b"'}, 3)
        note_activations(stage, store, (0, 1), 50, transaction, collector)
        assert activations_of(transaction).items[-1].after_offset == 50

    def test_an_audit_before_the_first_start(self) -> None:
        """The table has no note yet: what was used is known from the beginning, as its next owner notes."""
        world = World(HISTORY[:1], partitions=1)
        world.know(PROFILES)
        world.take(phases(random.Random(3), 8)[0])
        logs, topics = ListLogs(world.stream), world.stream.topics
        logs.edits[topics.user_log, 0] = lambda log: [
            record for record in log if b"rules.activated" not in (record.key or b"")
        ]
        logs.edits[topics.accounts.changelog, 0] = lambda log: [
            record if record.key != b"R" else replace(record, key=b"v v1", value=b'"v1"') for record in log
        ]
        assert audit(logs).differences == 0

    @pytest.mark.parametrize("partitions", [1, 3, 8, 96])
    def test_the_key_of_an_activation_lies_in_its_partition(self, partitions: int) -> None:
        """As every record's key: by murmur2. It is no user id and no attribution id."""
        for number in range(partitions):
            key = activation_key(number, partitions)
            assert partition_of(key, partitions) == number
            assert not user_id_ok(key.decode())
            assert not attribution_id_ok(key.decode())
