"""The edge cases of withdrawals, numbered as in docs/edge-cases.md, and two bugs of other systems."""

from __future__ import annotations

import pytest

from rebate_app.wire.facts.user import check_money
from tests.money_out.bank import DAY_US, FREELY, Bank
from tests.web.facts import paid, refund, settled

#: The buyer's half of TB-A's net commission, released on 2026-02-21: before the bank's moment.
SHARE = 765


def bank_with_a_line() -> Bank:
    """Return a bank whose user u1 has a released line, and nothing else."""
    bank = Bank(FREELY)
    for document in (paid(), settled()):
        bank.driver.send_order(document, bank.now_us)
        bank.run()
    assert bank.money() == (SHARE, 0, 0)
    return bank


def take_back(bank: Bank, status: str) -> None:
    """Let the network open or win a dispute about the line."""
    bank.driver.send_order(refund(status, "2026-03-10T12:00:00+08:00", 1_531), bank.now_us)
    bank.run()


def test_15_a_dispute_after_the_money_was_withdrawn() -> None:
    """It holds the share, the account goes into debt, and the next request is refused."""
    bank = bank_with_a_line()
    bank.request(amount=SHARE)
    bank.attempt()
    bank.result("paid")
    take_back(bank, "open")
    balance = bank.balance()
    assert (balance.available, balance.held, balance.withdrawn, balance.debt) == (-SHARE, SHARE, SHARE, SHARE)
    bank.request("w2", 1)
    assert bank.reason("w2") == "insufficient"


def test_16_a_clawback_beyond_what_is_available() -> None:
    """It is debt; later credits repay it first, and no payout is undone."""
    bank = bank_with_a_line()
    bank.request(amount=SHARE)
    bank.attempt()
    bank.result("paid")
    take_back(bank, "success")
    assert (bank.state(), bank.money(), bank.balance().debt) == ("paid", (-SHARE, 0, SHARE), SHARE)
    bank.fund(SHARE + 10)
    assert (bank.money(), bank.balance().debt) == ((10, 0, SHARE), 0)


@pytest.mark.parametrize("withdrawal_first", [True, False])
def test_17_a_withdrawal_races_with_a_clawback(withdrawal_first: bool) -> None:
    """Whichever is first in the user's log decides."""
    bank = bank_with_a_line()
    if withdrawal_first:
        bank.request(amount=SHARE)
        take_back(bank, "success")
        assert (bank.state(), bank.money()) == ("approved", (-SHARE, SHARE, 0))
        bank.judge("reject")
    else:
        take_back(bank, "success")
        bank.request(amount=SHARE)
        assert bank.reason() == "insufficient"
    assert bank.money() == (0, 0, 0)


def test_18_a_withdrawal_submitted_twice() -> None:
    """The same id is the same withdrawal, also days later; another content is refused."""
    bank = Bank(FREELY)
    bank.fund(1_500)
    bank.request(amount=1_000)
    bank.now_us += 3 * DAY_US
    bank.request(amount=1_000)
    assert bank.refusal(bank.request(amount=400)) == "id-reused"
    assert (bank.money(), len(bank.decisions())) == ((500, 1_000, 0), 1)


def test_19_a_result_that_is_lost() -> None:
    """The amount stays frozen under the same number until somebody knows."""
    bank = Bank(FREELY)
    bank.fund(1_500)
    bank.request()
    bank.attempt()
    bank.now_us += 30 * DAY_US
    bank.result("stuck", code="not-found")
    bank.attempt(2)
    found = bank.withdrawal()
    assert found is not None
    assert (found.state, len(found.attempts), bank.money()) == ("stuck", 1, (500, 1_000, 0))
    bank.result("paid")
    assert (bank.state(), bank.money()) == ("paid", (500, 0, 1_000))


def test_20_a_result_twice_or_of_another_amount() -> None:
    """The second one moves nothing; another amount is not booked, and counted."""
    bank = Bank(FREELY)
    bank.fund(1_500)
    bank.request()
    bank.attempt()
    bank.result("paid", amount=1_001)
    assert (bank.state(), bank.money()) == ("sending", (500, 1_000, 0))
    for _ in range(3):
        bank.result("paid")
    found = bank.withdrawal()
    assert found is not None
    assert (bank.money(), found.contradicted) == ((500, 0, 1_000), 1)
    assert [entry.kind for entry in bank.entries()].count("withdraw-paid") == 1


@pytest.mark.parametrize("amount", [-1, 0, 10**9 + 1, 1.5, "5", True, None, float("nan")])
def test_21_an_amount_that_is_none(amount: object) -> None:
    """Refused before anything is written; on the topic a dead letter, and the account is as it was."""
    members = {"user_id": "u1", "withdrawal_id": "w1", "channel": "bank", "payee_id": "p1"}
    verdict = check_money("withdrawal.request", members | {"amount": amount}, "user:u1")
    assert isinstance(verdict, list)
    assert [fault.member for fault in verdict] == ["amount"]
    bank = Bank(FREELY)
    bank.fund(1_500)
    bank.send("withdrawal.request", **members | {"amount": amount})
    assert (bank.state(), bank.money(), len(bank.driver.dead_letters)) == ("", (1_500, 0, 0), 1)


def test_bug_14_a_withdrawal_takes_the_amount_that_it_names() -> None:
    """It sums no orders: what a line brings in later is not part of it."""
    bank = bank_with_a_line()
    bank.request(amount=500)
    bank.driver.send_order(paid(line_id="77"), bank.now_us)
    bank.driver.send_order(settled(line_id="77"), bank.now_us)
    bank.run()
    bank.attempt()
    bank.result("paid")
    assert bank.money() == (2 * SHARE - 500, 0, 500)
