"""Figures of withdrawals: what is kept as they change is what a listing of all of them gives."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from rebate_app.domain.money_out import states
from rebate_app.domain.money_out.withdrawal import Withdrawal
from rebate_app.metrics.registry import Sample
from rebate_app.payouts.desk import PayoutDesk
from rebate_app.payouts.meter import RECENT_US, read_payouts, recent_ends
from rebate_app.payouts.partition import PartitionTable
from tables.money_out import WITHDRAWAL
from tables.withdrawal_counts import ENDS_MAX, is_unanswered
from tests.money_out.bank import HOUR_US, REVIEWED, SECOND_US, Bank

USERS = ("u1", "u2", "u3")
STATUSES = ("paid", "paid", "failed", "failed", "payer", "pending", "needs-user", "returned", "stuck")
SEEDS = range(6)


def withdrawals(bank: Bank) -> list[Withdrawal]:
    """Return all withdrawals of the table."""
    return [
        WITHDRAWAL.decode(value, key)
        for key, value in dict(bank.store.items()).items()
        if key.startswith(WITHDRAWAL.prefix)
    ]


def agree(bank: Bank) -> None:
    """Assert that the figures are those of the withdrawals."""
    table, known = PartitionTable(bank.store), withdrawals(bank)
    for state, count, amount in table.waiting():
        found = [each for each in known if each.state == state]
        assert (count, amount) == (len(found), sum(each.amount for each in found)), state
        oldest = min((each.requested_at // 1_000 * 1_000 for each in found), default=None)
        assert table.oldest_request_us(state) == oldest
    sent = [each.attempts[-1].at // 1_000 * 1_000 for each in known if is_unanswered(each)]
    assert table.oldest_unanswered_us() == min(sent, default=None)


class TestFigures:
    """Over random lives."""

    @pytest.mark.parametrize("seed", SEEDS)
    def test_they_are_those_of_a_listing(self, seed: int) -> None:
        """After each fact, whatever it was, and also where several share a batch."""
        rng = random.Random(seed)
        bank = Bank() if seed % 2 else Bank(REVIEWED)
        seen: set[str] = set()
        for user in USERS:
            bank.fund(50_000, user)
        for number in range(400):
            bank.now_us += rng.randrange(1, 600) * SECOND_US
            user, own_id = rng.choice(USERS), f"w{rng.randrange(1 + number // 12)}"
            roll = rng.random()
            if roll < 0.25:
                bank.request(own_id, rng.randrange(1, 900), user)
            elif roll < 0.4:
                verdict = rng.choice(("approve", "approve", "reject", "cancel"))
                bank.judge(verdict, own_id, user, by=f"key:{rng.randrange(3)}")
            elif roll < 0.7:
                bank.attempt(rng.choice((1, 1, 2)), own_id, user_id=user)
            else:
                bank.result(rng.choice(STATUSES), own_id=own_id, user_id=user)
            agree(bank)
            seen |= {each.state for each in withdrawals(bank)}
        assert len(seen) >= 6, seen

    def test_undecided_ones_wait_too(self) -> None:
        """Where no app decides, they are the oldest of their state."""
        bank = Bank(is_active=False)
        bank.request()
        agree(bank)
        assert ("requested", 1, 1_000) in list(PartitionTable(bank.store).waiting())

    def test_ends_of_payouts(self) -> None:
        """The last ones of a channel, paid or failed; refusals, rejections and cancellations are none."""
        bank = Bank()
        bank.fund(10**6)
        for number in range(ENDS_MAX + 20):
            own_id = f"w{number}"
            bank.now_us += HOUR_US  # a user has few requests a day
            bank.request(own_id)
            if number % 10 == 0:
                bank.judge("cancel", own_id)
                continue
            bank.attempt(own_id=own_id)
            bank.result("failed" if number % 5 == 1 else "paid", own_id=own_id)
            if number % 5 == 2:
                bank.result("returned", own_id=own_id)
        ends = PartitionTable(bank.store).payout_ends("bank")
        assert len(ends) == ENDS_MAX
        expected = [number % 5 == 1 for number in range(ENDS_MAX + 20) if number % 10]
        assert [failed for _, failed in ends] == expected[-ENDS_MAX:]
        assert PartitionTable(bank.store).payout_ends("alipay") == []

    def test_exports_are_no_unanswered_payouts(self) -> None:
        """People pay them."""
        bank = Bank()
        bank.fund()
        bank.request()
        bank.attempt(export_id="x1")
        assert bank.state() == states.SENDING
        assert PartitionTable(bank.store).oldest_unanswered_us() is None


class TestRecentEnds:
    """The last hundred over all partitions."""

    def test_the_last_hundred_of_all_partitions(self) -> None:
        """By time, whichever partition they are of."""
        even = [(2 * number, True) for number in range(80)]
        odd = [(2 * number + 1, False) for number in range(80)]
        recent = recent_ends([even, odd], now_us=160)
        assert Counter(recent) == {True: 50, False: 50}

    def test_old_ones_do_not_count(self) -> None:
        """A channel that is used once a month would fail for a year."""
        assert recent_ends([[(5, True), (6, False)]], now_us=RECENT_US + 5) == [False]


class _Store:
    """A store that counts what is read of it."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.reads = 0

    def __getattr__(self, name: str) -> object:
        self.reads += 1
        return getattr(self._bank.store, name)


class _Desk:
    """One open channel."""

    channels = ("bank",)

    def is_open(self, channel: str) -> bool:
        return channel == "bank"


def scraped(bank: Bank) -> tuple[dict[tuple[str, ...], float], int]:
    """Return the gauges by name and labels, and how often the store was asked for them."""
    store = _Store(bank)
    desk: PayoutDesk = _Desk()  # type: ignore[assignment] # all that the gauges read of it
    samples: list[Sample] = list(
        read_payouts([(PartitionTable(store), None)], desk)  # type: ignore[arg-type] # a store that counts
    )
    return {(metric.name, *labels): value for metric, labels, value in samples}, store.reads


class TestGauges:
    """What a scrape sees."""

    def test_a_scrape_reads_as_much_of_a_thousand_as_of_one(self) -> None:
        """Its cost does not depend on how many are open."""
        bank = Bank()
        for number in range(10):
            bank.fund(10**6, f"u{number}")
        bank.request("w0", user_id="u0")
        _, reads = scraped(bank)
        for number in range(1, 300):
            bank.request(f"w{number}", user_id=f"u{number % 10}")
        bank.attempt(own_id="w7", user_id="u7")
        found, more = scraped(bank)
        assert more == reads
        assert found["rebate_withdrawals_open", "approved"] == 299
        assert found["rebate_withdrawals_open_fen", "approved"] == 299_000
        assert found["rebate_withdrawals_open", "sending"] == 1
        assert found["rebate_withdrawals_oldest_seconds", "review"] == 0
        assert found["rebate_withdrawals_oldest_seconds", "approved"] > HOUR_US / SECOND_US
        assert found["rebate_payouts_unknown_seconds",] > HOUR_US / SECOND_US
        assert found["rebate_payouts_held", "covers-not"] == 0
        assert found["rebate_payout_channel_open", "bank"] == 1

    def test_a_channel_of_which_the_last_payouts_failed(self) -> None:
        """Two of three, now."""
        import time

        bank = Bank()
        bank.now_us = time.time_ns() // 1_000
        bank.fund()
        for own_id, status in (("w1", "paid"), ("w2", "failed"), ("w3", "failed")):
            bank.request(own_id)
            bank.attempt(own_id=own_id)
            bank.result(status, own_id=own_id)
        found, _ = scraped(bank)
        assert found["rebate_payouts_recent", "bank"] == 3
        assert found["rebate_payouts_recent_failed", "bank"] == 2
