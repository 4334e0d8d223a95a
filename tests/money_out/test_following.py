"""Several apps on one log: one decides, the others follow (docs/spec/money-out.md#active-app)."""

from __future__ import annotations

from typing import Any

import orjson
from msgspec.structs import replace

from rebate_app.wire.facts.turns import ENDED, encode_turn
from tables.money_out import TURN, TURN_KEY
from tests.money_out.bank import APP, FREELY, NOW_US, OTHER, REVIEWED, SECOND_US, Bank
from tests.topology_driver import ACCOUNTS, LogRecord


def request(own_id: str = "w1", amount: int = 1_000) -> dict[str, Any]:
    """Return a request as it stands in the log."""
    return {
        "schema": "user-fact/1",
        "kind": "withdrawal.request",
        "user_id": "u1",
        "withdrawal_id": own_id,
        "amount": amount,
        "channel": "bank",
        "payee_id": "p1",
        "actor": "user:u1",
    }


def verdict(kind: str, by: str = "key:ops", own_id: str = "w1") -> dict[str, Any]:
    """Return a verdict as it stands in the log."""
    members = {"user_id": "u1", "withdrawal_id": own_id, "reason": "r", "actor": by}
    return {"schema": "user-fact/1", "kind": f"withdrawal.{kind}", **members}


def decided_after(between: list[dict[str, Any]], section: Any = REVIEWED) -> tuple[Bank, Bank]:
    """Return the deciding app, and a follower for which these facts stand before the decision.

    The deciding app folds the request; before it sends on, others have written to the log.
    """
    bank = Bank(section)
    bank.fund()
    bank.append(request(), "u1")
    for document in between:
        bank.append(document, "u1")
    bank.run()
    follower = Bank(section, app=OTHER, is_active=False, log=list(bank.log))
    return bank, follower


class TestTheFirstDecisionHolds:
    """In other apps it takes effect where it stands."""

    def test_facts_between_request_and_decision(self) -> None:
        """They are folded right after it, in log order: the same state in both."""
        for between in (
            [verdict("approve")],
            [verdict("reject")],
            [verdict("cancel"), verdict("approve")],
            [verdict("approve", "user:u1"), verdict("approve", "key:ops"), verdict("reject")],
            [verdict("approve", f"key:{n}") for n in range(6)],
        ):
            bank, follower = decided_after(between)
            assert follower.state() == bank.state() != "requested"
            assert follower.money() == bank.money()
            assert len(follower.decisions()) == 1

    def test_what_waits_is_bounded(self) -> None:
        """An operator who approves a thousand times does not make a record of a thousand."""
        bank = Bank(is_active=False)
        bank.request()
        for number in range(100):
            bank.judge("approve", by=f"key:{number}")
            bank.judge("approve", by="anonymous")
            bank.judge("cancel")
        found = bank.withdrawal()
        assert found is not None
        assert (found.state, len(found.waiting)) == ("requested", 3)

    def test_undecided_without_a_decision(self) -> None:
        """Its amount is not frozen, and nothing can be paid."""
        bank = Bank(is_active=False)
        bank.fund()
        bank.request()
        bank.attempt()
        assert (bank.state(), bank.money(), bank.decisions()) == ("requested", (100_000, 0, 0), [])

    def test_another_decision_changes_nothing(self) -> None:
        """The first one in the log holds, whoever wrote the second."""
        bank = Bank()
        bank.fund()
        bank.request()
        (decision,) = bank.decisions()
        bank.write(type(decision)("u1", "w1", 0, False, "blocked", False, 0, 0, 0, "", "", 0, NOW_US))
        assert (bank.state(), bank.money()) == ("approved", (99_000, 1_000, 0))

    def test_a_decision_about_something_unknown(self) -> None:
        """It is counted, and changes nothing."""
        bank = Bank(is_active=False)
        other = Bank()
        other.fund()
        other.request()
        bank.write(other.decisions()[0])
        assert (bank.state(), bank.money()) == ("", (0, 0, 0))


class TestTurns:
    """An app decides from its activation on, until its turn ends."""

    def test_a_new_app_decides_what_nobody_has_decided(self) -> None:
        """In the order of the log, where it folds its activation."""
        old = Bank()
        old.fund(1_500)
        old.request("w1")
        new = Bank(app=OTHER, is_active=False, log=old.log)
        value = encode_turn(ENDED, APP, "log-1", "", NOW_US)
        old.driver.send(old.driver.topics.user_log, b"payouts.activated:0", value, NOW_US)
        old.run()
        for own_id in ("w2", "w3"):
            old.append(request(own_id, 400), "u1")
        old.run()
        new.run()
        assert (old.state("w2"), new.state("w2")) == ("requested", "requested")
        new.is_active = True
        new.driver.note(ACCOUNTS, 0)
        new.run()
        old.run()
        for bank in (old, new):
            assert [bank.state(f"w{n}") for n in (1, 2, 3)] == ["approved", "approved", "refused"]
            assert bank.money() == (100, 1_400, 0)
        assert len(new.decisions()) == 3
        new.append(request("w4", 50), "u1")
        old.run()
        assert old.state("w4") == "requested"
        new.run()
        old.run()
        assert (old.state("w4"), new.state("w4")) == ("approved", "approved")

    def test_an_app_that_is_not_named_decides_nothing(self) -> None:
        """Even in its turn: what it has not decided waits for an activation."""
        bank = Bank()
        bank.fund()
        bank.is_active = False
        bank.request()
        assert bank.state() == "requested"
        bank.is_active = True
        bank.request("w2")
        assert (bank.state("w1"), bank.state("w2")) == ("requested", "approved")
        bank.activation = "second"
        bank.driver.note(ACCOUNTS, 0)
        bank.run()
        assert bank.state("w1") == "approved"

    def test_a_rebuild_follows_what_it_has_decided_before(self) -> None:
        """By whatever clock: an expired request of long ago stays accepted, and nothing is decided twice."""
        bank = Bank()
        bank.fund()
        bank.request("w1")
        again = Bank(log=list(bank.log))
        again.now_us += 90 * 86_400 * SECOND_US
        fresh = Bank(log=list(bank.log))
        fresh.now_us = again.now_us
        assert fresh.state("w1") == "approved"
        assert len(fresh.decisions()) == 1
        fresh.request("w2")
        assert fresh.state("w2") == "approved"


class TestEnds:
    """An activation that was ended never begins again, in whatever state."""

    def end(self, bank: Bank, activation: str = "first") -> None:
        """Append the end of the app's turn."""
        value = encode_turn(ENDED, bank.app, "log-1", activation, NOW_US)
        bank.driver.send(bank.driver.topics.user_log, b"payouts.activated:0", value, NOW_US)

    def test_an_owner_that_had_not_begun_yet(self) -> None:
        """`rebate-active` still names the app, and the end is folded: nothing is announced."""
        bank = Bank(is_active=False)
        bank.fund()
        self.end(bank)
        bank.run()
        before = len(bank.log)
        bank.is_active = True
        bank.driver.note(ACCOUNTS, 0)
        bank.run()
        bank.request()
        assert (bank.state(), bank.decisions()) == ("requested", [])
        assert len(bank.log) == before + 1
        again = Bank(log=list(bank.log))  # a state that is built anew meets the end as well
        again.driver.note(ACCOUNTS, 0)
        again.run()
        again.request("w2")
        assert (again.state(), again.state("w2")) == ("requested", "requested")

    def test_an_announcement_that_crosses_the_end(self) -> None:
        """The record that begins the turn was sent before the end was folded, and stands behind it."""
        bank = Bank(is_active=False)
        bank.fund()
        self.end(bank)
        bank.is_active = True
        bank.driver.note(ACCOUNTS, 0)
        assert any(b'"payouts.activated"' in (record.value or b"") for record in bank.log[-1:])
        bank.run()
        bank.request()
        assert bank.state() == "requested"

    def test_the_next_activation_of_the_same_app(self) -> None:
        """It decides what waited."""
        bank = Bank()
        bank.fund()
        self.end(bank)
        bank.run()
        bank.request()
        bank.activation = "second"
        bank.driver.note(ACCOUNTS, 0)
        bank.run()
        assert bank.state() == "approved"
        turn = TURN.read(bank.store, TURN_KEY)
        assert turn is not None
        assert (turn.decides, turn.ended) == (True, "first")

    def test_the_end_of_another_app_ends_nothing(self) -> None:
        """Each app has its own turns."""
        bank = Bank()
        bank.fund()
        value = encode_turn(ENDED, OTHER, "log-1", "first", NOW_US)
        bank.driver.send(bank.driver.topics.user_log, b"payouts.activated:0", value, NOW_US)
        bank.run()
        bank.request()
        assert bank.state() == "approved"


class TestOneBatch:
    """Attack 20: our bug between two requests folds the first ones twice."""

    def test_one_decision_each(self) -> None:
        """The clock that was read first holds for the repeat."""
        bank = Bank()
        bank.fund()
        bank.tick_us = 1_000
        start = len(bank.log)
        bank.append(request("w1"), "u1")
        broken: LogRecord = bank.append({**request("w2"), "user_id": "u2"}, "u2")
        bank.append(request("w3"), "u1")
        stage = bank.driver.stages[ACCOUNTS]
        take = type(stage).fold

        def fold(self: Any, transaction: Any, collector: Any) -> Any:
            found = take(self, transaction, collector)
            before = found.take

            def take_one(record: Any) -> None:
                before(record)
                if record.offset == broken.offset:
                    raise ZeroDivisionError

            object.__setattr__(found, "take", take_one)
            return found

        type(stage).fold = fold  # type: ignore[method-assign]
        try:
            bank.driver.step(ACCOUNTS, 0, 3)
        finally:
            type(stage).fold = take  # type: ignore[method-assign]
        bank.run()
        decisions = bank.decisions()
        assert [decision.withdrawal_id for decision in decisions] == ["w1", "w3"]
        for decision in decisions:
            found = bank.withdrawal(decision.withdrawal_id)
            assert found is not None
            assert found.decided_at == decision.at
        assert bank.money() == (98_000, 2_000, 0)
        assert len(bank.log) >= start + 5


def test_another_partition_count_and_a_user_with_another_id() -> None:
    """Attack 6: the number in the decision holds, whatever the user is called in this log."""
    bank = Bank()
    bank.fund()
    bank.request()
    renamed = []
    for record in bank.log:
        value = (record.value or b"").replace(b'"u1"', b'"u9"')
        key = b"u9" if record.key == b"u1" else record.key
        renamed.append(record.__class__(record.topic, 0, record.offset, record.timestamp, key, value, ()))
    copy = Bank(app="copy", is_active=False, log=renamed)
    original, found = bank.withdrawal(), copy.withdrawal("w1", "u9")
    assert original is not None
    assert found is not None
    assert (found.state, found.payout_no) == ("approved", original.payout_no)
    assert orjson.loads(renamed[5].value or b"")["payout_no"] == original.payout_no
    assert copy.decisions() == [replace(each, user_id="u9") for each in bank.decisions()]


def test_the_default_does_not_pay() -> None:
    """An app that is not told otherwise decides nothing."""
    bank = Bank(FREELY, is_active=False)
    bank.fund()
    bank.request()
    assert bank.state() == "requested"
