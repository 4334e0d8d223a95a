"""Deciding requests: every refusal, fees, reviews and approvals (docs/spec/money-out.md#deciding)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from rebate_app.domain.money_out.deciding import REFUSALS
from rebate_app.domain.money_out.withdrawal import payout_number
from rebate_app.domain.pricing.withdraw_rules import ApprovalsOver, WithdrawRules
from tests.money_out.bank import DAY_US, FREELY, HOUR_US, REVIEWED, SECOND_US, Bank

MINUTE_US = 60 * SECOND_US


def refused(
    section: WithdrawRules | None, *, funded: int = 100_000, clock_us: int = 0, **request: Any
) -> str:
    """Return why a request is refused, "" when it is accepted."""
    bank = Bank(section)
    bank.fund(funded)
    bank.clock_ahead_us = clock_us
    bank.request(**request)
    return bank.reason()


@pytest.mark.parametrize(
    ("reason", "changes", "request_members"),
    [
        ("channel-not-allowed", {}, {"channel": "wechat"}),
        ("below-minimum", {"min_fen": 1_001}, {}),
        ("above-maximum", {"max_fen": 999}, {}),
        ("not-a-multiple", {"multiple_fen": 300}, {}),
        ("not-today", {"days_of_month": (11, 31)}, {}),
        ("not-today", {"days_of_month": (1, 9)}, {}),
        ("", {"days_of_month": (10, 10)}, {}),
        ("day-limit", {"day_max_fen": 999}, {}),
        ("fee-too-high", {"fee_min_fen": 1_000}, {}),
        ("", {"fee_min_fen": 999}, {}),
        ("insufficient", {}, {"amount": 100_001}),
        ("", {}, {"amount": 100_000}),
    ],
)
def test_reasons(reason: str, changes: dict[str, Any], request_members: dict[str, Any]) -> None:
    """Each limit refuses what is just beyond it."""
    assert refused(replace(FREELY, **changes), **request_members) == reason


def test_the_first_match_refuses() -> None:
    """A request that everything refuses gets the first reason; each one that is mended, the next."""
    hostile = replace(
        FREELY,
        channels=("alipay",),
        min_fen=2_000,
        max_fen=999,
        multiple_fen=300,
        days_of_month=(1, 1),
        max_per_day=0,
        day_max_fen=1,
        max_open=0,
        fee_min_fen=5_000,
    )
    mending: dict[str, Any] = {
        "channel-not-allowed": {"channels": ("bank",)},
        "below-minimum": {"min_fen": 1},
        "above-maximum": {"max_fen": 10**9},
        "not-a-multiple": {"multiple_fen": 1},
        "not-today": {"days_of_month": (1, 31)},
        "too-many-today": {"max_per_day": 1},
        "day-limit": {"day_max_fen": 10**9},
        "too-many-open": {"max_open": 1},
        "fee-too-high": {"fee_min_fen": 0},
    }
    section = hostile
    found = []
    for change in mending.values():
        found.append(refused(section, funded=1))
        section = replace(section, **change)
    assert found == list(mending)
    assert refused(section, funded=1) == "insufficient"
    names = list(REFUSALS)
    assert names[:4] == ["implausible-time", "expired", "blocked", "withdrawals-off"]
    assert names[4:] == [*mending, "insufficient"]


def test_without_the_section_nobody_withdraws() -> None:
    """And a block comes before that."""
    assert refused(None) == "withdrawals-off"
    bank = Bank(None)
    bank.send("account.block", reason="fraud")
    bank.request()
    assert bank.reason() == "blocked"


@pytest.mark.parametrize(
    ("ahead_us", "reason"),
    [
        (-5 * MINUTE_US, ""),
        (-5 * MINUTE_US - 1_000, "implausible-time"),
        (24 * HOUR_US, ""),
        (24 * HOUR_US + 1_000, "expired"),
    ],
)
def test_the_owners_clock(ahead_us: int, reason: str) -> None:
    """A request from the future or of yesterday is refused, whatever the account has."""
    assert refused(FREELY, clock_us=ahead_us) == reason


def test_a_refused_one_has_no_number_and_no_money() -> None:
    """The decision says what was seen."""
    bank = Bank()
    bank.fund(999)
    offset = bank.request()
    (decision,) = bank.decisions()
    assert (decision.accepted, decision.reason, decision.available) == (False, "insufficient", 999)
    assert (decision.payout_no, decision.net, decision.fee, decision.request_offset) == ("", 0, 0, offset)
    assert bank.money() == (999, 0, 0)


def test_the_number() -> None:
    """The first 32 hex digits of SHA-256 over user, line feed, id."""
    assert payout_number("u1", "w1") == "dad8bf16f750ec86d5b6e9bc06baaf31"
    bank = Bank()
    bank.fund()
    bank.request()
    assert bank.decisions()[0].payout_no == payout_number("u1", "w1")


@pytest.mark.parametrize(
    ("amount", "fee"), [(1_000, 100), (10_050, 100), (19_999, 199), (30_000, 300), (90_000, 500)]
)
def test_fees(amount: int, fee: int) -> None:
    """A share, rounded down, at least 100 and at most 500."""
    bank = Bank(replace(FREELY, fee_bps=100, fee_min_fen=100, fee_max_fen=500))
    bank.fund()
    bank.request(amount=amount)
    found = bank.withdrawal()
    assert found is not None
    assert (found.fee, found.net) == (fee, amount - fee)
    assert bank.money() == (100_000 - amount, amount, 0)


class TestDay:
    """Limits of a Shanghai day, and how many may be open."""

    def test_counted_are_those_that_took_or_may_take_money(self) -> None:
        """Rejected, cancelled and failed ones count no more; paid ones do."""
        bank = Bank(replace(FREELY, max_per_day=2))
        bank.fund()
        bank.request("w1")
        bank.judge("reject", "w1")
        bank.request("w2")
        bank.attempt(own_id="w2")
        bank.result("failed", own_id="w2")
        bank.request("w3")
        bank.attempt(own_id="w3")
        bank.result("paid", own_id="w3")
        bank.request("w4")
        bank.request("w5")
        states = [bank.state(f"w{n}") for n in range(1, 6)]
        assert states == ["rejected", "failed", "paid", "approved", "refused"]
        assert bank.reason("w5") == "too-many-today"
        bank.now_us += DAY_US
        bank.request("w6")
        assert bank.state("w6") == "approved"

    def test_the_day_begins_at_midnight_in_shanghai(self) -> None:
        """The bank's moment is noon there."""
        bank = Bank(replace(FREELY, day_max_fen=1_500))
        bank.fund()
        bank.request("w1")
        bank.now_us += 12 * HOUR_US - SECOND_US
        bank.request("w2")
        assert bank.reason("w2") == "day-limit"
        bank.now_us += SECOND_US
        bank.request("w3")
        assert bank.state("w3") == "approved"

    def test_open_ones(self) -> None:
        """An end makes room."""
        bank = Bank(replace(FREELY, max_open=1))
        bank.fund()
        bank.request("w1")
        bank.request("w2")
        assert bank.reason("w2") == "too-many-open"
        bank.judge("cancel", "w1")
        bank.request("w3")
        assert bank.state("w3") == "approved"

    def test_fifty_new_ones_a_day(self) -> None:
        """The next is not remembered, and changes nothing; a repeat is none."""
        bank = Bank(None)
        for number in range(50):
            bank.request(f"w{number}")
        offset = bank.request("w50")
        assert (bank.refusal(offset), bank.withdrawal("w50")) == ("too-many-requests", None)
        assert bank.refusal(bank.request("w49")) == ""
        bank.now_us += DAY_US
        assert bank.refusal(bank.request("w50")) == ""
        assert bank.state("w50") == "refused"


class TestReview:
    """Who has to look at a withdrawal, and who may."""

    def test_by_amount_first_time_and_payee(self) -> None:
        """Each by itself; a payout that came back was paid."""
        by_amount = replace(REVIEWED, review_first=False, review_new_payee=False, review_over_fen=1_000)
        bank = Bank(by_amount)
        bank.fund()
        bank.request("w1", 1_000)
        bank.request("w2", 1_001)
        assert (bank.state("w1"), bank.state("w2")) == ("approved", "review")
        bank = Bank(replace(REVIEWED, review_over_fen=10**9))
        bank.fund()
        bank.request("w1", payee_id="p1")
        assert bank.state("w1") == "review"
        bank.judge("approve", "w1")
        bank.attempt(own_id="w1")
        bank.result("returned", own_id="w1")
        bank.request("w2", payee_id="p1")
        bank.request("w3", payee_id="p2")
        assert (bank.state("w2"), bank.state("w3")) == ("approved", "review")

    def test_an_opening_is_no_payout(self) -> None:
        """What was paid elsewhere says nothing about the payee here."""
        bank = Bank(replace(REVIEWED, review_over_fen=10**9, review_new_payee=False))
        bank.fund()
        members = {"opening_id": "o1", "batch": "b", "source": "s", "as_of": "2026-03-01"}
        bank.send("account.opening", by="key:a", **members, available=0, withdrawn=9_000)
        bank.send("account.opening.approve", by="key:b", opening_id="o1", reason="r")
        assert bank.money() == (100_000, 0, 9_000)
        bank.request()
        assert bank.state() == "review"

    def test_two_approvals_need_two_actors_and_not_the_requester(self) -> None:
        """And the greatest number of the steps below the amount is needed."""
        over = (ApprovalsOver(500, 2), ApprovalsOver(5_000, 1))
        bank = Bank(replace(REVIEWED, approvals_over=over))
        bank.fund()
        bank.request("small", 500)
        bank.request("w1", 6_000)
        found = bank.withdrawal("small")
        assert found is not None
        assert found.approvals_needed == 1
        assert bank.refusal(bank.judge("approve", by="user:u1")) == "same-actor"
        assert bank.refusal(bank.judge("approve", by="key:a")) == ""
        assert bank.refusal(bank.judge("approve", by="key:a")) == "same-actor"
        assert bank.state() == "review"
        bank.judge("approve", by="key:b")
        assert bank.state() == "approved"

    def test_anonymous_is_exempt(self) -> None:
        """Authentication is off: a demo can be approved."""
        bank = Bank(replace(REVIEWED, approvals=2))
        bank.fund()
        bank.request(by="anonymous")
        bank.judge("approve", by="anonymous")
        bank.judge("approve", by="anonymous")
        assert bank.state() == "approved"


class TestIds:
    """Ids are unique for the user."""

    def test_the_same_again_changes_nothing(self) -> None:
        """Whoever sends it, and whatever became of it."""
        bank = Bank()
        bank.fund()
        bank.request()
        before, decisions = bank.money(), len(bank.decisions())
        offset = bank.request(by="key:other")
        assert (bank.refusal(offset), bank.money(), len(bank.decisions())) == ("", before, decisions)

    @pytest.mark.parametrize(
        "change", [{"amount": 1_001}, {"channel": "alipay"}, {"payee_id": "p2"}, {"memo": "x"}]
    )
    def test_another_content_under_a_known_id(self, change: dict[str, Any]) -> None:
        """It is refused, and no dead letter."""
        bank = Bank()
        bank.fund()
        bank.request()
        assert bank.refusal(bank.request(**change)) == "id-reused"
        assert bank.money() == (99_000, 1_000, 0)
        assert bank.driver.dead_letters == []

    def test_another_user_has_ids_of_his_own(self) -> None:
        """And a number of his own."""
        bank = Bank()
        bank.fund()
        bank.fund(user_id="u2")
        bank.request()
        bank.request(user_id="u2")
        numbers = {decision.payout_no for decision in bank.decisions()}
        assert len(numbers) == 2


def test_unknown_ids() -> None:
    """They change nothing and make no account."""
    bank = Bank()
    bank.judge("approve", "nothing", "nobody")
    bank.attempt(1, "nothing", "nobody")
    bank.result("paid", 1, "nothing", "nobody")
    assert not [key for key, _ in bank.store.items() if b"nobody" in key]
    bank.fund()
    assert bank.refusal(bank.judge("approve", "nothing")) == "unknown-withdrawal"
