"""Any sequence of facts about one user: the stage agrees with the law written a second time, after each step.

200 sequences of up to 50 facts here; `make model` runs 2,000 (MONEY_MODEL_EXAMPLES). At the end of each one
the log is folded again by an app that only follows, and anew by the app itself.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rebate_app.domain.account.ledger import LEDGER_KINDS
from rebate_app.domain.money_out.states import OPEN
from rebate_app.domain.pricing.withdraw_rules import ApprovalsOver, WithdrawRules
from tests.money_out.bank import DAY_US, HOUR_US, NOW_US, OTHER, SECOND_US, Bank
from tests.oracle.money_out import Law

EXAMPLES = int(os.environ.get("MONEY_MODEL_EXAMPLES", "200"))
IDS = st.sampled_from(["w1", "w2", "w3"])
ACTORS = st.sampled_from(["user:u1", "key:a", "key:b", "anonymous"])
AMOUNTS = st.sampled_from([1, 99, 100, 150, 1_000, 2_500, 5_000])
STATUSES = st.sampled_from(["paid", "failed", "payer", "pending", "needs-user", "returned", "stuck"])
NUMBERS = st.integers(1, 3)
CHANNELS = ("bank", "alipay")
SECTIONS: tuple[dict[str, Any] | None, ...] = (
    {"channels": ("bank",), "max_per_day": 3, "fee_bps": 100, "fee_min_fen": 100},
    {"channels": ("bank", "alipay"), "max_per_day": 3, "max_open": 2, "min_fen": 1, "review_over_fen": 1_000},
    {
        "channels": ("bank",),
        "max_per_day": 2,
        "day_max_fen": 6_000,
        "multiple_fen": 50,
        "approvals_over": ((1_000, 2),),
    },
    {
        "channels": ("bank",),
        "max_per_day": 9,
        "review_over_fen": 10**9,
        "review_first": False,
        "review_new_payee": False,
        "days_of_month": (1, 11),
    },
    None,
)


def section_of(figures: dict[str, Any] | None) -> WithdrawRules | None:
    """Return the section that the product reads."""
    if figures is None:
        return None
    over = tuple(ApprovalsOver(*each) for each in figures.get("approvals_over", ()))
    return WithdrawRules(**(figures | {"approvals_over": over}))


class MoneyMachine(RuleBasedStateMachine):
    """One user, one bank, one law."""

    @initialize(figures=st.sampled_from(SECTIONS), funded=st.sampled_from([0, 5_000, 20_000]))
    def begin(self, figures: dict[str, Any] | None, funded: int) -> None:
        """Choose the rules and some money."""
        self.bank, self.law = Bank(section_of(figures)), Law("u1", figures)
        self.users = False
        if funded:
            self.bank.fund(funded)
            self.law.propose("fund-1", funded, "key:one")
            self.law.judge_adjustment("approve", "fund-1", "key:two")

    @property
    def at(self) -> float:
        """Return the moment in seconds."""
        return self.bank.now_us / SECOND_US

    @rule(hours=st.sampled_from([1, 13, 25]))
    def wait(self, hours: int) -> None:
        """Time goes on."""
        self.bank.now_us += hours * HOUR_US

    @rule(own_id=IDS, amount=AMOUNTS, channel=st.sampled_from(CHANNELS), actor=ACTORS)
    def request(self, own_id: str, amount: int, channel: str, actor: str) -> None:
        """Request a withdrawal, or repeat one, or use its id again."""
        payee = f"p-{channel}"
        self.bank.request(own_id, amount, channel=channel, payee_id=payee, by=actor)
        self.law.request(own_id, amount, channel, payee, actor, self.at)

    @rule(own_id=IDS, verdict=st.sampled_from(["approve", "approve", "reject", "cancel"]), actor=ACTORS)
    def judge(self, own_id: str, verdict: str, actor: str) -> None:
        """Approve, reject or cancel."""
        self.bank.judge(verdict, own_id, by=actor)
        self.law.judge(verdict, own_id, actor)

    @rule(own_id=IDS, actor=ACTORS)
    def approve_and_attempt(self, own_id: str, actor: str) -> None:
        """Approve, and attempt the next number: the way that most withdrawals take."""
        self.judge(own_id, "approve", actor)
        known = self.law.withdrawals.get(own_id)
        if known is None:
            self.attempt(own_id, 1, "bank")
        else:
            self.attempt(own_id, known["attempts"] + 1, known["channel"])

    @rule(own_id=IDS, number=NUMBERS, channel=st.sampled_from(CHANNELS))
    def attempt(self, own_id: str, number: int, channel: str) -> None:
        """Write an attempt, legal or not."""
        self.bank.attempt(number, own_id, channel=channel)
        self.law.attempt(own_id, number, channel, self.at)

    @rule(own_id=IDS, number=NUMBERS, status=STATUSES)
    def result(self, own_id: str, number: int, status: str) -> None:
        """Write a result, expected or not."""
        self.bank.result(status, number, own_id)
        self.law.result(own_id, number, status)

    @rule(own_id=IDS, outcome=st.sampled_from(["paid", "failed"]), one=ACTORS, other=ACTORS)
    def resolve(self, own_id: str, outcome: str, one: str, other: str) -> None:
        """Resolve and confirm."""
        ref = "R" if outcome == "paid" else ""
        members = {"withdrawal_id": own_id, "outcome": outcome, "reason": "it says so"}
        members |= {"channel_ref": ref} if ref else {}
        self.bank.send("withdrawal.resolve", by=one, **members)
        self.law.resolve(own_id, outcome, ref, one, self.at)
        self.bank.send("withdrawal.confirm", by=other, **members)
        self.law.confirm(own_id, outcome, ref, other)

    @rule(own_id=st.sampled_from(["a1", "a2"]), amount=st.sampled_from([-3_000, 4_000]), actor=ACTORS)
    def propose(self, own_id: str, amount: int, actor: str) -> None:
        """Propose an adjustment."""
        members = {"adjustment_id": own_id, "amount": amount, "reason_code": "other", "reason": "r"}
        self.bank.send("adjustment.propose", by=actor, **members)
        self.law.propose(own_id, amount, actor)

    @rule(own_id=st.sampled_from(["a1", "a2"]), verdict=st.sampled_from(["approve", "reject"]), actor=ACTORS)
    def judge_adjustment(self, own_id: str, verdict: str, actor: str) -> None:
        """Approve or reject an adjustment."""
        self.bank.send(f"adjustment.{verdict}", by=actor, adjustment_id=own_id, reason="r")
        self.law.judge_adjustment(verdict, own_id, actor)

    @rule(available=st.sampled_from([-500, 3_000]), actor=ACTORS, other=ACTORS)
    def bring_along(self, available: int, actor: str, other: str) -> None:
        """Bring an opening along, and approve it."""
        confirmed = [("2026-03-11", 700), ("2026-03-13", -50)]
        parts = [{"on": on, "amount": amount} for on, amount in confirmed]
        members = {"opening_id": "o1", "batch": "b", "source": "old", "as_of": "2026-03-01"}
        figures = {"available": available, "confirmed": parts, "withdrawn": 900}
        self.bank.send("account.opening", by=actor, **members, **figures)
        self.law.open("o1", available, confirmed, 900, actor)
        self.bank.send("account.opening.approve", by=other, opening_id="o1", reason="r")
        self.law.approve_opening("o1", other)

    @rule(kind=st.sampled_from(["block", "unblock", "unblock"]))
    def block(self, kind: str) -> None:
        """Block or unblock."""
        self.bank.send(f"account.{kind}", reason="r")
        self.law.blocked = kind == "block"

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def both_say_the_same(self) -> None:
        """States and money agree, and the law of money out holds."""
        bank, law = self.bank, self.law
        for own_id, expected in law.withdrawals.items():
            found = bank.withdrawal(own_id)
            assert found is not None
            assert (found.state, len(found.attempts)) == (expected["state"], expected["attempts"]), own_id
            assert (found.net, found.payout_no) == (expected.get("net", 0), expected.get("payout_no", ""))
            if found.state == "refused":
                assert found.reason == expected["reason"]
        available, frozen, withdrawn = bank.money()
        assert (available, frozen, withdrawn) == (law.available(self.at), law.frozen(), law.withdrawn())
        history = sum(opening["withdrawn"] for opening in law.openings.values() if opening["approved"])
        assert available + frozen + withdrawn == law.granted(self.at) + history

    @precondition(lambda self: hasattr(self, "bank"))
    @invariant()
    def books_agree(self) -> None:
        """Compare ledger and head, and the lists with the withdrawals."""
        bank = self.bank
        entries, head = bank.entries(), bank.head()
        assert sum(entry.frozen for entry in entries) == head.frozen >= 0
        assert sum(entry.withdrawn for entry in entries) == head.withdrawn
        balance = bank.balance()
        later = sum(sum(days.values()) for days in head.settled.values())
        assert sum(entry.settled for entry in entries) == later == balance.available + balance.confirmed
        assert all(entry.kind in LEDGER_KINDS and entry.own_id for entry in entries)
        known = [bank.withdrawal(own_id) for own_id in self.law.withdrawals]
        still_open = {each.withdrawal_id for each in known if each is not None and each.state in OPEN}
        assert set(bank.summary().open) == still_open

    def teardown(self) -> None:
        """Fold the log again, as a follower and from the beginning: money and states are the same."""
        if not hasattr(self, "bank"):
            return
        bank = self.bank
        assert not bank.driver.dead_letters
        for app in (OTHER, bank.app):
            again = Bank(app=app, is_active=False, log=list(bank.log))
            again.now_us = bank.now_us
            assert again.money() == bank.money()
            for own_id in self.law.withdrawals:
                assert again.state(own_id) == bank.state(own_id)
            assert again.alarm() == bank.alarm()


TestMoney = MoneyMachine.TestCase
TestMoney.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
assert NOW_US % DAY_US  # the bank does not begin at midnight
