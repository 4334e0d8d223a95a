"""The table of a withdrawal's life, against the drawing of docs/spec/money-out.md#states."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from rebate_app.audit.older_formats import is_older_form
from rebate_app.domain.money_out import states
from rebate_app.domain.money_out.facts import RESULT_STATUSES
from rebate_app.domain.money_out.states import OPEN, STATES, TRANSITIONS
from rebate_app.web.resources.money_items import withdrawal_item
from tables.money_out import WITHDRAWAL
from tests.money_out.bank import FREELY, REVIEWED, Bank

#: state → (what brings a withdrawal there): each a list of calls of the bank.
WAYS: dict[str, tuple[str, ...]] = {
    "refused": ("request-too-much",),
    "review": ("request",),
    "approved": ("request", "approve"),
    "sending": ("request", "approve", "attempt"),
    "needs-user": ("request", "approve", "attempt", "needs-user"),
    "stuck": ("request", "approve", "attempt", "stuck"),
    "paid": ("request", "approve", "attempt", "paid"),
    "failed": ("request", "approve", "attempt", "failed"),
    "returned": ("request", "approve", "attempt", "returned"),
    "rejected": ("request", "reject"),
    "cancelled": ("request", "cancel"),
}
#: After at least one attempt, in the states of the drawing: (state, result) → state.
AFTER_ATTEMPT = {
    ("sending", "paid"): "paid",
    ("sending", "failed"): "failed",
    ("sending", "payer"): "approved",
    ("sending", "pending"): "sending",
    ("sending", "needs-user"): "needs-user",
    ("sending", "returned"): "returned",
    ("sending", "stuck"): "stuck",
    ("needs-user", "paid"): "paid",
    ("needs-user", "failed"): "failed",
    ("needs-user", "payer"): "approved",
    ("needs-user", "pending"): "needs-user",
    ("needs-user", "needs-user"): "needs-user",
    ("needs-user", "returned"): "returned",
    ("needs-user", "stuck"): "stuck",
    ("stuck", "paid"): "paid",
    ("stuck", "failed"): "failed",
    ("stuck", "returned"): "returned",
    ("paid", "returned"): "returned",
    ("failed", "paid"): "paid",
}


def bring(bank: Bank, state: str) -> None:
    """Bring withdrawal w1 of 1,000 fen into a state."""
    for step in WAYS[state]:
        if step.startswith("request"):
            bank.request(amount=10**8 if step == "request-too-much" else 1_000)
        elif step == "attempt":
            bank.attempt()
        elif step in RESULT_STATUSES:
            bank.result(step, code="lies" if step == "stuck" else "")
        else:
            bank.judge(step)
    assert bank.state() == state


@pytest.mark.parametrize(("state", "status"), list(product(WAYS, RESULT_STATUSES)))
def test_every_result_in_every_state(state: str, status: str) -> None:
    """What the drawing has changes the state; everything else changes neither state nor money."""
    bank = Bank(REVIEWED)
    bank.fund()
    bring(bank, state)
    before, summary = bank.money(), bank.summary().open
    bank.result(status)
    expected = AFTER_ATTEMPT.get((state, status), state)
    assert bank.state() == expected
    if expected == state:
        assert (bank.money(), bank.summary().open) == (before, summary)
    assert bank.driver.dead_letters == []
    found = bank.withdrawal()
    assert found is not None
    assert found.result is not None
    assert found.result.status == status  # it is kept


@pytest.mark.parametrize(
    ("state", "verdict", "expected"),
    [
        *(("review", verdict, after) for verdict, after in (("approve", "approved"), ("reject", "rejected"))),
        ("review", "cancel", "cancelled"),
        ("approved", "cancel", "cancelled"),
        ("approved", "reject", "rejected"),
        *((state, verdict, state) for state in ("sending", "needs-user", "stuck") for verdict in ("reject",)),
        *((state, verdict, state) for state in ("paid", "failed", "returned") for verdict in ("cancel",)),
        ("approved", "approve", "approved"),
        ("rejected", "approve", "rejected"),
        ("refused", "approve", "refused"),
    ],
)
def test_verdicts(state: str, verdict: str, expected: str) -> None:
    """Where the drawing has no way, the verdict is refused and changes nothing."""
    bank = Bank(REVIEWED)
    bank.fund()
    bring(bank, state)
    offset = bank.judge(verdict)
    assert bank.state() == expected
    assert bank.refusal(offset) == ("wrong-state" if expected == state else "")


def test_after_payer_it_can_be_rejected_and_not_cancelled() -> None:
    """Something was attempted, so only staff ends it; the number of the next attempt goes on."""
    bank = Bank(FREELY)
    bank.fund()
    bank.request()
    bank.attempt()
    bank.result("payer")
    assert bank.state() == "approved"
    assert bank.refusal(bank.judge("cancel")) == "wrong-state"
    bank.attempt(1)
    assert bank.state() == "approved"
    bank.attempt(2)
    assert bank.state() == "sending"
    bank.result("payer", 2)
    bank.judge("reject")
    assert (bank.state(), bank.money()) == ("rejected", (100_000, 0, 0))


def test_paid_late() -> None:
    """In approved after an attempt it is paid; in rejected after one it is booked as after failed."""
    for reject, money in ((False, (99_000, 0, 1_000)), (True, (99_000, 0, 1_000))):
        bank = Bank(FREELY)
        bank.fund()
        bank.request()
        bank.attempt()
        bank.result("payer")
        if reject:
            bank.judge("reject")
        bank.result("paid")
        assert (bank.state(), bank.money()) == ("paid", money)
        assert (bank.alarm() is not None) is reject


@pytest.mark.parametrize("state", ["refused", "review", "approved", "rejected", "cancelled", "returned"])
def test_paid_where_it_cannot_be_is_an_alarm(state: str) -> None:
    """It changes neither state nor money, is kept, and closes the channel."""
    bank = Bank(REVIEWED)
    bank.fund()
    bring(bank, state)
    money = bank.money()
    bank.result("paid")
    assert (bank.state(), bank.money()) == (state, money)
    alarm, found = bank.alarm(), bank.withdrawal()
    assert alarm is not None
    assert (alarm.user_id, alarm.withdrawal_id, alarm.offset) == ("u1", "w1", len(bank.log) - 1)
    assert found is not None
    assert found.contradicted == 1


def test_failed_and_payer_of_an_older_attempt_do_not_count() -> None:
    """`paid` counts for any attempt."""
    bank = Bank(FREELY)
    bank.fund()
    bank.request()
    bank.attempt(1)
    bank.attempt(2)
    for status in ("failed", "payer"):
        bank.result(status, 1)
        assert bank.state() == "sending"
    found = bank.withdrawal()
    assert found is not None
    assert [attempt.status for attempt in found.attempts] == ["payer", ""]
    assert (found.answered, found.contradicted) == (True, 0)
    bank.result("paid", 1)
    assert bank.state() == "paid"


@pytest.mark.parametrize("status", ["paid", "returned"])
def test_another_amount_is_not_booked(status: str) -> None:
    """The law is nothing or the net amount, once."""
    bank = Bank(FREELY)
    bank.fund()
    bank.request()
    bank.attempt()
    bank.result(status, amount=999)
    assert (bank.state(), bank.money()) == ("sending", (99_000, 1_000, 0))


def test_the_table_is_about_known_states() -> None:
    """Every row starts and ends in a state, and money is frozen exactly in the open ones."""
    for (before, happens), step in TRANSITIONS.items():
        assert before in STATES
        assert step.to in STATES
        frozen = int(before in OPEN) + sum(move.frozen for move in step.moves)
        assert frozen == int(step.to in OPEN), (before, happens)
    reachable = {states.REQUESTED} | {step.to for step in TRANSITIONS.values()}
    assert reachable == set(STATES)


class TestWhereTheUserConfirms:
    """The URL of the newest `needs-user` that gave one, for as long as the withdrawal waits for its user."""

    def waiting(self) -> Bank:
        """Return a bank in which w1 waits for its user at https://a.example/1."""
        bank = Bank()
        bank.fund()
        bring(bank, "sending")
        bank.result("needs-user", needs_user_url="https://a.example/1")
        return bank

    def url(self, bank: Bank) -> Any:
        """Return what is shown of w1."""
        found = bank.withdrawal()
        assert found is not None
        return withdrawal_item("u1", found, None)["needs_user_url"]

    @pytest.mark.parametrize("between", [(), ("pending",), ("pending", "needs-user"), ("needs-user",)])
    def test_it_stays_while_the_state_stays(self, between: tuple[str, ...]) -> None:
        """A result that does not give it takes none away; the next one that does replaces it."""
        bank = self.waiting()
        for status in between:
            bank.result(status)
            assert (bank.state(), self.url(bank)) == ("needs-user", "https://a.example/1")
        bank.result("needs-user", needs_user_url="https://a.example/2")
        assert self.url(bank) == "https://a.example/2"
        bank.result("pending", needs_user_url="https://a.example/3")  # only `needs-user` says where
        assert self.url(bank) == "https://a.example/2"

    @pytest.mark.parametrize("status", ["paid", "failed", "payer", "returned", "stuck"])
    def test_it_goes_with_the_state(self, status: str) -> None:
        """Neither shown nor kept, also when the withdrawal waits for its user again."""
        bank = self.waiting()
        bank.result(status, code="lies" if status == "stuck" else "")
        found = bank.withdrawal()
        assert found is not None
        assert found.result is not None
        assert (self.url(bank), found.result.needs_user_url) == (None, "")
        if status == "payer":
            bank.attempt(2)
            bank.result("needs-user", 2)
            assert (bank.state(), self.url(bank)) == ("needs-user", None)

    def test_a_late_result_of_an_older_attempt(self) -> None:
        """It changes neither the state nor where the user confirms."""
        bank = Bank()
        bank.fund()
        bring(bank, "sending")
        bank.result("payer")
        bank.attempt(2)
        bank.result("needs-user", 2, needs_user_url="weixin://x")
        bank.result("failed", 1)
        assert (bank.state(), self.url(bank)) == ("needs-user", "weixin://x")

    def test_a_table_of_the_version_before(self) -> None:
        """It opens, may lack the URL until the service gives it again, and the audit takes it."""
        bank = self.waiting()
        bank.result("pending")
        key = WITHDRAWAL.key("u1", "w1")
        expected, found = bank.store.get(key), bank.withdrawal()
        assert expected is not None
        assert found is not None
        assert found.result is not None
        older = replace(found, result=replace(found.result, needs_user_url=""))
        other = replace(older, amount=1)
        assert is_older_form("accounts", key, encode(older), expected)
        assert not is_older_form("accounts", key, encode(other), expected)
        bank.store.apply({key: encode(older)}, bank.store.position + 1)
        assert self.url(bank) is None
        bank.result("needs-user", needs_user_url="https://a.example/2")
        assert self.url(bank) == "https://a.example/2"

    def test_only_while_it_waits_for_its_user(self) -> None:
        """A URL that is missing elsewhere is a difference."""
        bank = self.waiting()
        key = WITHDRAWAL.key("u1", "w1")
        found = bank.withdrawal()
        assert found is not None
        assert found.result is not None
        sending = replace(found, state="sending")
        lacking = replace(sending, result=replace(found.result, needs_user_url=""))
        assert not is_older_form("accounts", key, encode(lacking), encode(sending))
