"""Adjustments, openings, blocks, and the end of stuck withdrawals by two people."""

from __future__ import annotations

from typing import Any

import pytest

from rebate_app.domain.account.balance import balance_on
from rebate_app.domain.pricing.calendar import day_of
from tests.money_out.bank import DAY_US, FREELY, HOUR_US, SECOND_US, Bank
from tests.money_out.test_states import bring

PROPOSAL = {"adjustment_id": "a1", "amount": -700, "reason_code": "write-off", "reason": "r"}
OPENING = {"opening_id": "o1", "batch": "b1", "source": "old shop", "as_of": "2026-03-01T00:00:00+08:00"}
FIGURES = {"available": 5_000, "confirmed": [{"on": "2026-03-12", "amount": 300}], "withdrawn": 2_000}


class TestAdjustments:
    """Two people agree on a change of available money."""

    def test_it_counts_from_its_approval_and_may_make_debt(self) -> None:
        """By another actor than the one who proposed it."""
        bank = Bank()
        bank.send("adjustment.propose", by="key:a", **PROPOSAL)
        assert bank.money() == (0, 0, 0)
        offset = bank.send("adjustment.approve", by="key:a", adjustment_id="a1", reason="r")
        assert bank.refusal(offset) == "same-actor"
        bank.send("adjustment.approve", by="key:b", adjustment_id="a1", reason="yes")
        assert (bank.money(), bank.balance().debt) == ((-700, 0, 0), 700)
        found = bank.adjustment("a1")
        assert found is not None
        assert (found.state, found.why) == ("approved", "yes")
        (entry,) = bank.entries()
        assert (entry.kind, entry.settled, entry.own_id) == ("adjustment", -700, "a1")
        again = bank.send("adjustment.approve", by="key:c", adjustment_id="a1", reason="r")
        assert (bank.refusal(again), bank.money()) == ("wrong-state", (-700, 0, 0))

    def test_rejecting_needs_nobody_else(self) -> None:
        """And ends it."""
        bank = Bank()
        bank.send("adjustment.propose", by="key:a", **PROPOSAL)
        bank.send("adjustment.reject", by="key:a", adjustment_id="a1", reason="no")
        offset = bank.send("adjustment.approve", by="key:b", adjustment_id="a1", reason="r")
        assert (bank.refusal(offset), bank.money()) == ("wrong-state", (0, 0, 0))

    def test_ids(self) -> None:
        """The same again changes nothing, another content is refused, an unknown one too."""
        bank = Bank()
        bank.send("adjustment.propose", by="key:a", **PROPOSAL)
        version = bank.head().version
        assert bank.refusal(bank.send("adjustment.propose", by="key:z", **PROPOSAL)) == ""
        assert bank.refusal(bank.send("adjustment.propose", **PROPOSAL | {"amount": 1})) == "id-reused"
        offset = bank.send("adjustment.approve", adjustment_id="a2", reason="r")
        assert bank.refusal(offset) == "unknown-adjustment"
        assert bank.head().version == version


class TestOpenings:
    """What a user brings along."""

    def test_it_counts_once_from_its_approval(self) -> None:
        """Available at once, confirmed parts on their day, withdrawn as history."""
        bank = Bank()
        bank.send("account.opening", by="key:a", **OPENING, **FIGURES)
        assert bank.money() == (0, 0, 0)
        offset = bank.send("account.opening.approve", by="key:a", opening_id="o1", reason="r")
        assert bank.refusal(offset) == "same-actor"
        bank.send("account.opening.approve", by="key:b", opening_id="o1", reason="r")
        again = bank.send("account.opening.approve", by="key:c", opening_id="o1", reason="r")
        assert bank.refusal(again) == "wrong-state"
        assert (bank.money(), bank.balance().confirmed) == ((5_000, 0, 2_000), 300)
        later = balance_on(bank.head(), day_of(bank.now_us + 2 * DAY_US))
        assert (later.available, later.confirmed) == (5_300, 0)
        (entry,) = bank.entries()
        assert (entry.kind, entry.settled, entry.withdrawn) == ("opening", 5_300, 2_000)

    @pytest.mark.parametrize(
        "change", [{"available": 1}, {"withdrawn": 1}, {"confirmed": []}, {"batch": "b2"}]
    )
    def test_ids(self, change: dict[str, Any]) -> None:
        """Another content under a known id is refused."""
        bank = Bank()
        bank.send("account.opening", **OPENING, **FIGURES)
        assert bank.refusal(bank.send("account.opening", **OPENING, **FIGURES)) == ""
        assert bank.refusal(bank.send("account.opening", **OPENING | FIGURES | change)) == "id-reused"
        offset = bank.send("account.opening.approve", opening_id="o2", reason="r")
        assert bank.refusal(offset) == "unknown-opening"


class TestBlocks:
    """A block makes approved withdrawals wait."""

    def test_no_attempt_counts_while_the_user_is_blocked(self) -> None:
        """What is under way goes on."""
        bank = Bank()
        bank.fund()
        bank.request("w1")
        bank.request("w2")
        bank.attempt(own_id="w1")
        bank.send("account.block", reason="r")
        bank.attempt(own_id="w2")
        bank.result("paid", own_id="w1")
        assert (bank.state("w1"), bank.state("w2")) == ("paid", "approved")
        bank.send("account.unblock", reason="r")
        bank.attempt(own_id="w2")
        assert bank.state("w2") == "sending"

    def test_again_changes_nothing(self) -> None:
        """Neither does the end of no block."""
        bank = Bank()
        bank.send("account.unblock", reason="r")
        bank.send("account.block", reason="r")
        version = bank.head().version
        bank.send("account.block", reason="again")
        assert bank.head().version == version


class TestResolving:
    """A stuck one ends by two people, a day after its last attempt."""

    def stuck(self) -> Bank:
        """Return a bank with a stuck withdrawal."""
        bank = Bank(FREELY)
        bank.fund()
        bank.request()
        bank.attempt()
        bank.result("stuck", code="not-found")
        return bank

    def resolve(self, bank: Bank, kind: str, by: str, outcome: str = "paid", ref: str | None = "R1") -> str:
        """Resolve or confirm; return why it was refused."""
        members = {"withdrawal_id": "w1", "outcome": outcome, "reason": "r"}
        members |= {} if ref is None else {"channel_ref": ref}
        return bank.refusal(bank.send(f"withdrawal.{kind}", by=by, **members))

    def test_paid(self) -> None:
        """Not within the first day, not by one person, not with another reference."""
        bank = self.stuck()
        bank.now_us += 24 * HOUR_US - SECOND_US
        assert self.resolve(bank, "resolve", "key:a") == "wrong-state"
        bank.now_us += SECOND_US
        assert self.resolve(bank, "confirm", "key:b") == "wrong-state"
        assert self.resolve(bank, "resolve", "key:a") == ""
        assert self.resolve(bank, "confirm", "key:a") == "same-actor"
        assert self.resolve(bank, "confirm", "key:b", ref="R2") == "wrong-state"
        assert self.resolve(bank, "confirm", "key:b", "failed", None) == "wrong-state"
        assert bank.state() == "stuck"
        assert self.resolve(bank, "confirm", "key:b") == ""
        assert (bank.state(), bank.money()) == ("paid", (99_000, 0, 1_000))
        assert self.resolve(bank, "resolve", "key:a") == "wrong-state"

    def test_failed(self) -> None:
        """The newest resolution is the one to confirm."""
        bank = self.stuck()
        bank.now_us += 25 * HOUR_US
        self.resolve(bank, "resolve", "key:a")
        self.resolve(bank, "resolve", "key:b", "failed", None)
        assert self.resolve(bank, "confirm", "key:c") == "wrong-state"
        assert self.resolve(bank, "confirm", "key:a", "failed", None) == ""
        assert (bank.state(), bank.money()) == ("failed", (100_000, 0, 0))

    def test_only_stuck_ones(self) -> None:
        """And known ones."""
        bank = Bank(FREELY)
        bank.fund()
        assert self.resolve(bank, "resolve", "key:a") == "unknown-withdrawal"
        bring(bank, "refused")
        assert self.resolve(bank, "resolve", "key:a") == "wrong-state"
