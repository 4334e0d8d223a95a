"""Attacks on money out that concern the fold (docs/spec/money-out.md#attacks), by their numbers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.streams.errors import HaltError
from rebate_app.streams.failures.guard import FailurePolicy
from rebate_app.streams.kafka.announcements import GENERATION
from rebate_app.streams.kafka.records import KafkaRecord
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.control import encode_release
from rebate_app.wire.facts.payouts import Author
from tables.money_out import SUMMARY
from tests.money_out.bank import APP, DAY_US, FREELY, HOUR_US, OTHER, REVIEWED, Bank, is_owners, rules_with
from tests.topology_driver import ACCOUNTS, TopologyDriver


def fold_one(bank: Bank, key: bytes, value: bytes) -> None:
    """Fold a record that stands in the log next."""
    bank.driver.send(bank.driver.topics.user_log, key, value, bank.now_us)
    bank.run()


class TestUnreadable:
    """4: what an owner fact states has happened."""

    @pytest.mark.parametrize(
        "value",
        [
            b'{"schema":"owner-fact/1","kind":"payout.unheard-of","app":"a","topic_id":"t","format":1}',
            b'{"schema":"owner-fact/1","kind":"payout.result","app":"a","topic_id":"t","format":2}',
            b'{"schema":"owner-fact/1","kind":"withdrawal.decided","app":"a"}',
            b'{"kind":"payout.attempt","schema":"owner-fact/1"}',
        ],
    )
    def test_it_halts_and_is_no_dead_letter(self, value: bytes) -> None:
        """Whatever its spelling, also while its user is parked."""
        for parked in (False, True):
            bank = Bank()
            bank.fund()
            if parked:
                park(bank)
            with pytest.raises(HaltError):
                fold_one(bank, b"u1", value)
            assert len(bank.driver.dead_letters) == int(parked)

    def test_under_the_key_of_somebody_else(self) -> None:
        """It cannot be read either."""
        bank, other = Bank(), Bank()
        other.fund()
        other.request()
        decided = next(record for record in other.log if b"withdrawal.decided" in (record.value or b""))
        with pytest.raises(HaltError):
            fold_one(bank, b"u2", decided.value or b"")


def park(bank: Bank) -> int:
    """Let our fold fail on a fact of u1, which parks the user; return the offset."""
    stage = bank.driver.stages[ACCOUNTS]
    fact = {"schema": "user-fact/1", "kind": "account.unblock", "user_id": "u1", "reason": "r", "actor": "x"}
    record = bank.append(fact, "u1")
    transaction, collector = StateTransaction(bank.store), RecordCollector()
    processor = stage.processor(transaction, collector, {record.offset: record.offset})
    processor.take(record)
    processor.finish()
    bank.store.apply(transaction.changes, bank.store.position + 1)
    bank.driver.done[ACCOUNTS, 0] = record.offset + 1
    bank.driver.dead_letters += [each for each in collector.records if each.topic.endswith("-dlt")]
    return record.offset


class TestParked:
    """4 and 7: a parked user's owner facts wait in order, and none is left out by a release."""

    def test_decisions_and_results_wait_behind_the_request(self) -> None:
        """A follower whose own bug parks the user comes to the same in the end."""
        bank = Bank()
        bank.fund()
        follower = Bank(app=OTHER, is_active=False, log=bank.log)
        offset = park(follower)
        bank.run()
        bank.request()
        bank.attempt()
        bank.result("paid")
        follower.run()
        assert (follower.state(), follower.money()) == ("", (100_000, 0, 0))
        waiting = [each.offset for each in bank.log if each.key == b"u1" and each.offset >= offset]
        release = encode_release(OTHER, "ops", waiting)  # asks to leave everything out
        fold_one(follower, b"u1", release)
        # The request was left out, as asked; what owners wrote is folded, and has no withdrawal to be about.
        assert follower.state() == ""
        second = Bank(app=OTHER, is_active=False, log=[each for each in bank.log if each.value != release])
        assert (second.state(), second.money()) == ("paid", (99_000, 0, 1_000))

    def test_owner_facts_cannot_be_left_out(self) -> None:
        """A release that asks for it folds them all the same."""
        bank = Bank()
        bank.fund()
        follower = Bank(app=OTHER, is_active=False, log=bank.log)
        park(follower)
        bank.run()
        bank.request()
        bank.attempt()
        bank.result("paid")
        follower.run()
        theirs = [record.offset for record in bank.log if is_owners(record)]
        fold_one(follower, b"u1", encode_release(OTHER, "ops", theirs))
        assert (follower.state(), follower.money()) == ("paid", (99_000, 0, 1_000))

    def test_released_in_order(self) -> None:
        """Nothing is left out, and state and money are those of the app without the bug."""
        bank = Bank()
        bank.fund()
        follower = Bank(app=OTHER, is_active=False, log=bank.log)
        park(follower)
        bank.run()
        bank.request()
        bank.attempt()
        bank.result("paid")
        follower.run()
        fold_one(follower, b"u1", encode_release(OTHER, "ops", []))
        assert (follower.state(), follower.money()) == (bank.state(), bank.money())

    def test_released_weeks_later(self) -> None:
        """7: the request is expired, the decision is recorded, and a replay gives the same."""
        bank = Bank()
        bank.fund()
        park(bank)
        bank.request()
        bank.now_us += 20 * DAY_US
        fold_one(bank, b"u1", encode_release(APP, "ops", []))
        assert (bank.state(), bank.reason()) == ("refused", "expired")
        again = Bank(log=list(bank.log))
        assert (again.state(), again.reason()) == ("refused", "expired")


def test_the_generation_is_a_new_one() -> None:
    """5: a worker of the version before halts on what this one writes, so both are not in one group."""
    assert GENERATION >= 3


def test_a_replay_is_decided_by_its_own_time() -> None:
    """7: stamped a month ahead, or replayed after a month."""
    bank = Bank()
    bank.fund()
    now = bank.now_us
    bank.clock_ahead_us = -30 * DAY_US
    bank.request("w1")
    bank.clock_ahead_us = 30 * DAY_US
    bank.request("w2")
    bank.clock_ahead_us = 0
    bank.request("w1")  # the same again
    assert (bank.reason("w1"), bank.reason("w2"), bank.now_us) == ("implausible-time", "expired", now)


def test_money_is_gone_when_its_turn_comes() -> None:
    """8: accepted, in review for three days, then taken back: it waits, and can be rejected."""
    bank = Bank(REVIEWED)
    bank.fund(1_000)
    bank.request(amount=1_000)
    bank.now_us += 3 * DAY_US
    members = {"adjustment_id": "back", "amount": -700, "reason_code": "other", "reason": "refund"}
    bank.send("adjustment.propose", by="key:a", **members)
    bank.send("adjustment.approve", by="key:b", adjustment_id="back", reason="r")
    bank.judge("approve")
    assert (bank.state(), bank.money(), bank.balance().debt) == ("approved", (-700, 1_000, 0), 700)
    bank.judge("reject")
    assert (bank.state(), bank.money()) == ("rejected", (300, 0, 0))


def test_a_misplaced_unblock_does_not_take_effect_again() -> None:
    """10: an unblock of months ago, in the wrong partition, in a log that is folded anew."""
    first = TopologyDriver(2, rules_with(FREELY))
    home = first.partition_of("u1")

    def send(driver: TopologyDriver, kind: str, partition: int) -> None:
        document = {"schema": "user-fact/1", "kind": kind, "user_id": "u1", "reason": "r", "actor": "x"}
        value = orjson.dumps(document)
        driver.send(driver.topics.user_log, b"u1", value, 1_773_115_200_000_000, partition=partition)
        driver.run()

    send(first, "account.unblock", 1 - home)
    send(first, "account.block", home)
    again = TopologyDriver(2, rules_with(FREELY), app=OTHER)
    for partition in range(2):
        log: list[KafkaRecord] = first.log(first.topics.user_log, partition)
        again.logs[again.topics.user_log, partition] = list(log)
    again.run()
    for driver in (first, again):
        summary = SUMMARY.read(driver.stores[ACCOUNTS, home], SUMMARY.key("u1"))
        assert summary is not None
        assert summary.blocked is True


def test_authentication_off_and_on() -> None:
    """14: a demo can be approved; one key for both cannot."""
    for actor, state in (("anonymous", "approved"), ("key:one", "review")):
        bank = Bank(REVIEWED)
        bank.fund()
        bank.request(by=actor)
        bank.judge("approve", by=actor)
        assert bank.state() == state


def test_business_refusals_halt_nothing_and_a_replay_revives_nothing() -> None:
    """15: a hundred in a row count for no limit; an old approval finds another state."""
    bank = Bank(REVIEWED)
    bank.driver.stages[ACCOUNTS] = _limited(bank)
    bank.fund()
    bank.request("w1")
    bank.judge("approve", "w1")
    bank.judge("cancel", "w1")
    for _ in range(100):
        bank.judge("approve", "w1")
        bank.judge("approve", "nothing")
    assert (bank.state("w1"), bank.driver.dead_letters) == ("cancelled", [])
    assert len(bank.summary().refusals) == 16
    bank.request("w1")
    assert bank.state("w1") == "cancelled"


def _limited(bank: Bank) -> Any:
    return replace(bank.driver.stages[ACCOUNTS], failures=FailurePolicy(limited=True))


def test_a_user_who_asks_all_day_leaves_little() -> None:
    """17: fifty requests a day are kept; hourly `pending` for a year leaves one record as it was."""
    bank = Bank()
    bank.fund()
    for number in range(200):
        bank.request(f"w{number}", 10**9)
    assert bank.summary().withdrawals == 50
    sizes = []
    for hours in (1, 1_000):
        other = Bank()
        other.fund()
        other.request()
        other.attempt()
        for _ in range(hours):
            other.now_us += HOUR_US
            other.result("pending")
        found = other.withdrawal()
        assert found is not None
        sizes.append((len(other.entries()), len(found.attempts), len(dict(other.store.items()))))
    assert sizes[0] == sizes[1]


def test_owner_facts_of_any_app_count() -> None:
    """6: an attempt or result of another app and log is a fact like any other."""
    bank = Bank()
    bank.fund()
    bank.request()
    foreign = Author("another", "another-log")
    bank.write(PayoutAttempt("u1", "w1", 1, "bank", "i", "", bank.now_us), foreign)
    bank.write(PayoutResult("u1", "w1", 1, "paid", 1_000, "", "R", "", bank.now_us), foreign)
    assert bank.money() == (99_000, 0, 1_000)
