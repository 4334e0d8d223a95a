"""When a withdrawal was paid and when it came back, whatever is said about it later."""

from __future__ import annotations

from msgspec.structs import replace

from rebate_app.domain.money_out.withdrawal import Withdrawal
from tests.money_out.bank import DAY_US, NOW_US, SECOND_US, Bank

PAID_AT = NOW_US + 60 * SECOND_US


def attempted() -> Bank:
    """Return a bank with a withdrawal that was sent at NOW_US, a minute ago."""
    bank = Bank()
    bank.fund()
    bank.request()
    bank.attempt()
    bank.now_us = PAID_AT
    return bank


def moments(bank: Bank) -> tuple[int | None, int | None]:
    """Return when the withdrawal was paid and returned."""
    found = known(bank)
    return found.payment_at, found.return_at


def known(bank: Bank) -> Withdrawal:
    """Return the withdrawal."""
    found = bank.withdrawal()
    assert found is not None
    return found


def test_before_it_is_paid_there_is_no_moment() -> None:
    """Sent, failed."""
    bank = attempted()
    assert moments(bank) == (None, None)
    bank.result("failed")
    assert moments(bank) == (None, None)


def test_the_first_paid_counts() -> None:
    """A later one, with another reference, and what contradicts it, do not."""
    bank = attempted()
    bank.result("paid", channel_ref="one")
    bank.now_us += DAY_US
    bank.result("paid", channel_ref="two")
    assert known(bank).updated_at == bank.now_us
    bank.result("failed")
    assert moments(bank) == (PAID_AT, None)


def test_the_moment_is_that_of_the_result_and_not_of_its_record() -> None:
    """A file brings it days later."""
    bank = attempted()
    bank.append_result("paid", recorded_at=PAID_AT + 3 * DAY_US)
    assert moments(bank) == (PAID_AT, None)
    assert known(bank).updated_at == PAID_AT + 3 * DAY_US


def test_a_return_has_a_moment_of_its_own() -> None:
    """The payment keeps its moment, and what is said after the return changes neither."""
    bank = attempted()
    bank.result("paid")
    returned_at = bank.now_us = PAID_AT + DAY_US
    bank.result("returned")
    bank.now_us += DAY_US
    bank.result("paid")
    assert moments(bank) == (PAID_AT, returned_at)


def test_returned_at_once_was_paid_with_the_attempt() -> None:
    """Nobody says when, and the attempt is the nearest that is known."""
    bank = attempted()
    bank.result("returned")
    assert moments(bank) == (NOW_US, PAID_AT)


def test_what_people_confirm_was_paid_with_the_attempt() -> None:
    """The bill of the day on which they do does not have it."""
    bank = attempted()
    bank.result("stuck", code="not-found")
    bank.now_us += 2 * DAY_US
    members = {"withdrawal_id": "w1", "outcome": "paid", "channel_ref": "R", "reason": "bill"}
    bank.send("withdrawal.resolve", by="key:one", **members)
    bank.send("withdrawal.confirm", by="key:two", **members)
    assert bank.state() == "paid"
    assert moments(bank) == (NOW_US, None)


def test_paid_after_failed() -> None:
    """From then on, and whatever is said later."""
    bank = attempted()
    bank.result("failed")
    bank.now_us += DAY_US
    bank.result("paid")
    bank.now_us += DAY_US
    bank.result("paid", channel_ref="two")
    assert moments(bank) == (PAID_AT + DAY_US, None)


def test_records_of_a_version_that_kept_no_moments() -> None:
    """The last result is the payment while it says paid; then the attempt and the last change are."""
    bank = attempted()
    bank.result("paid")
    assert replace(known(bank), paid_at=0).payment_at == PAID_AT
    bank.now_us += DAY_US
    bank.result("returned")
    old = replace(known(bank), paid_at=0, returned_at=0)
    assert (old.payment_at, old.return_at) == (NOW_US, PAID_AT + DAY_US)
