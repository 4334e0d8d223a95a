"""Records of older formats, the events' epoch, and what stands between owners and their log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from agents.active_app import AccountNotes, turn_key
from agents.rule_activation import RuleActivation
from rebate_app.domain.account.account import HEAD_FORMAT, Head
from rebate_app.domain.money_out.facts import PayoutResult
from rebate_app.streams.event_emission import EventPolicy
from rebate_app.streams.kafka.active_app import ActiveApp
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import MemoryStore
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.active_app import ActiveRecord, encode_active
from rebate_app.wire.facts.owner import decode_owner_fact, is_ours, payout_author, waits_behind_its_user
from rebate_app.wire.facts.payouts import Author, AuthoredFact, encode_payout_fact
from rebate_app.wire.facts.turns import ACTIVATED, TurnFact, encode_turn
from rebate_app.wire.unreadable import UnreadableValueError
from tables.accounts import HEAD
from tests.money_out.bank import APP, NOW_US, OTHER, Bank
from tests.topology_driver import ACCOUNTS, LogRecord


def test_a_head_of_the_format_before_is_upgraded() -> None:
    """Once money out changes it."""
    bank = Bank()
    old = Head(format=1, version=7)
    bank.store.apply({HEAD.key("u1"): encode(old)}, bank.store.position + 1)
    bank.fund(500)
    head = bank.head()
    assert (head.format, head.frozen, bank.money()) == (HEAD_FORMAT, 0, (500, 0, 0))
    assert head.version == 9  # a proposal and its approval


def test_nothing_is_told_about_what_is_too_old() -> None:
    """Withdrawals and adjustments before the epoch change the account, and emit no event."""
    bank = Bank()
    policy = EventPolicy(since_ms=lambda: NOW_US // 1_000 + 1)
    bank.driver.stages[ACCOUNTS] = replace(bank.driver.stages[ACCOUNTS], event_policy=policy)
    bank.fund()
    bank.request()
    assert (bank.state(), bank.driver.events) == ("approved", {})
    bank.now_us += 1_000_000
    bank.attempt()
    assert len(bank.driver.events[0]) == 1


def test_what_is_open() -> None:
    """Its amount is frozen."""
    bank = Bank()
    bank.fund()
    bank.request("w1")
    bank.request("w2", 10**8)
    one, two = bank.withdrawal("w1"), bank.withdrawal("w2")
    assert one is not None
    assert two is not None
    assert (one.is_open, two.is_open) == (True, False)


def test_more_approvals_than_can_count_do_not_wait() -> None:
    """Three of different people: one of them may be the requester."""
    bank = Bank(is_active=False)
    bank.request()
    for number in (0, 0, *range(1, 9)):
        bank.judge("approve", by=f"key:{number}")
    found = bank.withdrawal()
    assert found is not None
    assert [each.actor for each in found.waiting] == ["key:0", "key:1", "key:2"]


class TestOwnerFacts:
    """What is on the wire."""

    FACT = PayoutResult("u1", "w1", 1, "stuck", 990, "not-found", "", "", NOW_US)

    def test_there_and_back(self) -> None:
        """With who wrote it."""
        key, value = encode_payout_fact(self.FACT, Author("a", "t"))
        assert decode_owner_fact(value, key, "me") == AuthoredFact(self.FACT, Author("a", "t"))
        assert payout_author(value) == Author("a", "t")
        assert payout_author(b'{"schema":"owner-fact/1","kind":"rules.activated"}') is None
        assert payout_author(b'{"schema":"owner-fact/1",') is None
        assert payout_author(b"{}") is None

    def test_an_acceptance_without_its_figures_cannot_be_read(self) -> None:
        """It would pay an unknown amount."""
        bank = Bank()
        bank.fund()
        bank.request()
        record = next(each for each in bank.log if b"withdrawal.decided" in (each.value or b""))
        value = (record.value or b"").replace(b'"net":1000', b'"net":null')
        with pytest.raises(UnreadableValueError, match="lacks fee"):
            decode_owner_fact(value, record.key, APP)
        assert waits_behind_its_user(record.value, record.key)
        assert not waits_behind_its_user(value, record.key)
        assert is_ours(record.value, APP)
        assert not is_ours(record.value, OTHER)

    def test_turns(self) -> None:
        """Of every app; another format cannot be read, and it waits for nobody."""
        value = encode_turn(ACTIVATED, "a", "t", "1/x", NOW_US)
        fact = decode_owner_fact(value, None, "me")
        assert isinstance(fact, TurnFact)
        assert (fact.app, fact.turn) == ("a", "1/x")
        assert not waits_behind_its_user(value, b"k")
        assert not is_ours(value, "a")
        with pytest.raises(UnreadableValueError, match="format"):
            decode_owner_fact(value.replace(b'"format":1', b'"format":2'), None, "me")


class TestActiveApp:
    """`rebate-active`, and what owners note because of it."""

    def app_named(self, app: str, topic_id: str = "t") -> ActiveApp:
        """Return what an app has read of the topic."""
        active = ActiveApp("rebate-active", APP)
        active.topic_id = "t"
        key, value = encode_active(ActiveRecord(app, topic_id, "2026-03-10T12:00:00+08:00", "lin"))
        active.take(LogRecord("rebate-active", 0, 0, 0, key, value, ()))
        return active

    def test_who_is_active(self) -> None:
        """A record about another log counts as absent."""
        assert self.app_named(APP).is_active()
        assert self.app_named(APP).activation() == "2026-03-10T12:00:00+08:00"
        assert not self.app_named(OTHER).is_active()
        other_log = self.app_named(APP, "another")
        assert (other_log.record, other_log.is_active(), other_log.activation()) == (None, False, "")

    def test_a_record_that_cannot_be_read_is_skipped(self) -> None:
        """And reported."""
        active = self.app_named(APP)
        skipped: list[Any] = []
        active.skip = skipped.append
        active.take(LogRecord("rebate-active", 0, 1, 0, b"active", b"[]", ()))
        assert (len(skipped), active.is_active()) == (1, True)

    def test_owners_note_a_turn_once(self) -> None:
        """In a record of their partition, under a key that belongs there."""
        bank = Bank()
        stage = bank.driver.stages[ACCOUNTS]
        active = self.app_named(APP)
        rules = RuleActivation(stage, None, {}, 4)  # type: ignore[arg-type] # nothing is read on
        notes = AccountNotes(stage, rules, active, 4)  # type: ignore[arg-type]
        store = MemoryStore()
        transaction, collector = StateTransaction(store), RecordCollector()
        notes.note(store, 3, -1, transaction, collector)
        (sent,) = [each for each in collector.records if b"payouts.activated" in (each.value or b"")]
        assert sent.partition == partition_of(turn_key(3, 4), 4) == 3
        store.apply(transaction.changes, 1)
        again = RecordCollector()
        notes.note(store, 3, 5, StateTransaction(store), again)
        assert again.records == []
        before = notes.revision
        active.revision += 1
        assert notes.revision == before + 1
        asyncio.run(notes.ready(MemoryStore()))


@pytest.mark.parametrize("ref", ["SIM/0001", "2026:12", "~" * 64, "", "as older versions never wrote it, 号"])
def test_any_reference_of_a_result_can_be_read(ref: str) -> None:
    """What a service calls a payout has been paid: it never halts a partition, whatever version reads it."""
    result = PayoutResult("u1", "w1", 1, "paid", 995, "", ref, "weixin://x#y", NOW_US)
    key, value = encode_payout_fact(result, Author(APP, "log-1"))
    found = decode_owner_fact(value, key, OTHER)
    assert isinstance(found, AuthoredFact)
    assert found.fact == result
