"""The executor of a partition against a simulated service: money leaves once, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from examples.simulators.payouts import book as faults
from examples.simulators.payouts.book import DAY_SECONDS, Fault
from rebate_app.domain.money_out import paying, states
from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.domain.money_out.withdrawal import Withdrawal
from rebate_app.payouts.executor import CRASH_POINTS, LOOKS_MAX, NotCalledError, _order_of
from rebate_app.payouts.number_search import READ_AT_ONCE, WANTED_MAX, NumberSearch
from rebate_app.payouts.ports import Standing
from rebate_app.payouts.watch_list import PLACES_MAX

from .services import Remote, remote
from .world import USER, Fenced, Log, World

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def there(keys: Path) -> AsyncIterator[Remote]:
    """Yield a service of kind http."""
    async with remote("http", keys, "timeout_s = 2\n") as running:
        yield running


def results(log: Log) -> list[str]:
    """Return the statuses of the results that were written."""
    return [fact.status for fact in log.facts if isinstance(fact, PayoutResult)]


def attempts(log: Log) -> int:
    """Return how many attempts were written."""
    return sum(isinstance(fact, PayoutAttempt) for fact in log.facts)


class TestPaying:
    """The usual course."""

    async def test_attempt_call_result(self, there: Remote) -> None:
        """One attempt, one call, one result; then nothing for a day."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        await world.turn()
        await world.pass_time(3_600, 60)
        assert (made.state, log.paid) == (states.PAID, 995)
        assert [type(fact).__name__ for fact in log.facts] == ["PayoutAttempt", "PayoutResult"]
        assert there.book.transfers == [(made.payout_no, 995)]
        assert len(there.book.queries) == 0
        assert world.counted == [("http", "call", "paid")]

    @pytest.mark.parametrize(
        ("given", "kept", "dropped"), [("SIM/0001", "SIM/0001", []), ("号 1", "", [("http", "channel_ref")])]
    )
    async def test_the_services_reference(
        self, there: Remote, given: str, kept: str, dropped: list[tuple[str, str]]
    ) -> None:
        """Written as it is given, or left out and counted; the payout ends in either case."""
        log, members = Log(), there.service.members
        made = log.request()
        there.service.members = (  # type: ignore[method-assign]
            lambda payout, *, is_query: members(payout, is_query=is_query) | {"channel_ref": given}
        )
        world = World(log, there.spec)
        await world.turn()
        assert (made.state, log.paid, world.dropped) == (states.PAID, 995, dropped)
        assert isinstance(log.facts[-1], PayoutResult)
        assert log.facts[-1].channel_ref == kept

    async def test_paid_ones_are_asked_about_once_a_day_for_a_week(self, there: Remote) -> None:
        """Attack 12: paid and returned while nobody looked."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(faults.THEN_RETURNED, seconds=3 * 86_400))
        await world.turn()
        for day in range(1, 10):
            world.advance(86_400)
            world.ahead_us += 86_400 * 10**6
            payout = there.book.payouts[made.payout_no]
            if day == 3:
                payout.steps = [(0, "paid"), (0, "returned")]
            await world.turn()
        assert made.state == states.RETURNED
        assert results(log) == ["paid", "returned"]
        assert len(there.book.queries) <= 8

    async def test_pending_is_asked_on_the_schedule(self, there: Remote) -> None:
        """1 s, 5 s, 30 s, 2 min, 10 min, then hourly; written once (attack 17)."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(faults.SLOW_PAID, seconds=10**6))
        await world.turn()
        await world.pass_time(660, 1)
        assert len(there.book.queries) == 5
        await world.pass_time(10 * 3_600, 600)
        assert len(there.book.queries) == 15
        assert (made.state, results(log)) == (states.SENDING, ["pending"])


class TestUnclear:
    """A call without a clear answer is asked about, and sent again only when that is safe."""

    @pytest.mark.parametrize(
        "name", [faults.LOST_AFTER, faults.HANG_AFTER, faults.ERROR_AFTER, faults.BAD_SIGNATURE]
    )
    async def test_paid_all_the_same(self, name: str, there: Remote) -> None:
        """The question finds it."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(name, seconds=2.5))
        await world.turn()
        assert made.state == states.SENDING
        await world.pass_time(2)
        assert (made.state, attempts(log)) == (states.PAID, 1)
        assert len(there.book.transfers) == 1

    async def test_never_arrived_is_sent_again_after_seven_minutes(self, there: Remote) -> None:
        """Under the same number, as attempt 2."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(faults.LOST_BEFORE))
        await world.turn()
        await world.pass_time(419, 1)
        assert attempts(log) == 1
        await world.pass_time(300, 10)
        assert (made.state, attempts(log)) == (states.PAID, 2)
        assert there.book.transfers == [(made.payout_no, 995)]

    async def test_late_visible_is_not_sent_again(self, there: Remote) -> None:
        """Not found, soon after a call, proves nothing."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(faults.LATE_VISIBLE, seconds=60))
        there.book.plan(Fault(faults.BAD_SIGNATURE))
        await world.turn()
        await world.pass_time(120, 1)
        there.book.advance(61)
        await world.pass_time(600, 10)
        assert (made.state, attempts(log)) == (states.PAID, 1)

    async def test_payer_pauses_and_is_sent_again(self, there: Remote) -> None:
        """Our balance: approved again, nothing sent until somebody opens the channel."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.balance = 0
        await world.turn()
        assert (made.state, world.pauses) == (states.APPROVED, [("http", "payer")])
        await world.pass_time(60)
        assert (attempts(log), world.executor.held) == (1, {(USER, "w1"): "channel-not-open"})
        there.book.balance, world.opened = 10**6, True
        await world.turn()
        assert (made.state, attempts(log)) == (states.PAID, 2)

    async def test_payer_and_then_a_block(self, there: Remote) -> None:
        """Attack 12: it waits, without a loop."""
        log = Log()
        log.request()
        world = World(log, there.spec)
        there.book.balance = 0
        await world.turn()
        world.opened, log.blocked = True, True
        await world.pass_time(120)
        assert (attempts(log), world.executor.held) == (1, {(USER, "w1"): "blocked"})

    async def test_a_first_lie_pauses_a_channel_that_was_opened_since_the_attempt(
        self, there: Remote
    ) -> None:
        """Whoever opened it did not know; what is only repeated does not pause it again."""
        log = Log()
        made = log.request()
        there.book.plan(Fault(faults.LOST_AFTER))
        world = World(log, there.spec)
        await world.turn()
        world.opened_at_us = world.now_us()
        there.book.plan(Fault(faults.OTHER_AMOUNT, is_query=True, times=2))
        await world.pass_time(3)
        assert (made.state, world.pauses) == (states.STUCK, [("http", "lies")])
        world.opened, world.opened_at_us = True, world.now_us()
        world.executor.prompt(made.payout_no)
        await world.pass_time(3)
        assert (world.opened, len(there.book.queries)) == (True, 2)

    async def test_lies_are_stuck_and_pause_the_channel(self, there: Remote) -> None:
        """Attack 12: another amount."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(faults.OTHER_AMOUNT))
        await world.turn()
        assert (made.state, made.result and made.result.code) == (states.STUCK, "lies")
        assert (log.paid, world.pauses) == (0, [("http", "lies")])
        await world.pass_time(2 * 86_400, 3_600)
        assert made.state == states.PAID  # by asking, once it speaks the truth
        assert len(there.book.queries) <= 4

    async def test_a_channel_that_left_the_file_waits(self, there: Remote) -> None:
        """Attack 12: nothing is sent or asked, and nothing loops."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(faults.LOST_AFTER))
        await world.turn()
        world.specs = {}
        await world.pass_time(7_200, 10)
        assert (made.state, there.book.queries) == (states.SENDING, [])
        assert world.executor.held == {(USER, "w1"): "channel-missing"}


class TestForgetting:
    """Attack 1: a service that forgets a number."""

    async def test_pending_for_31_days_and_paid_meanwhile(self, there: Remote) -> None:
        """Stuck, and never a second request."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(faults.SLOW_PAID, seconds=1))
        await world.turn()
        there.book.payouts[made.payout_no].accepted_at -= 31 * DAY_SECONDS
        await world.pass_time(31 * 86_400, 86_400 / 2)
        assert made.state == states.STUCK
        assert attempts(log) == len(there.book.posts) == 1

    async def test_the_address_was_changed_after_a_lost_answer(self, there: Remote, keys: Path) -> None:
        """Another service cannot say that it was not paid."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(faults.LOST_AFTER))
        await world.turn()
        async with remote("http", keys) as elsewhere:
            world.specs = {"http": elsewhere.spec}
            await world.pass_time(1_000, 10)
            assert elsewhere.book.posts == []
        assert made.state == states.STUCK

    async def test_the_owners_clock_is_ten_minutes_behind(self, there: Remote) -> None:
        """Its signatures are refused, its answers too old: unclear, until the clock is right."""
        log = Log()
        made = log.request()
        world = World(log, there.spec, ahead_us=-600 * 10**6)
        await world.turn()
        await world.pass_time(1_000, 10)
        assert there.service.refused > 0
        assert len(there.book.transfers) <= 1
        assert made.state in (states.SENDING, states.PAID)


class TestZombies:
    """Attacks 2 and 3: a worker that freezes and wakes up."""

    async def test_a_frozen_call_is_not_made(self, there: Remote) -> None:
        """A's attempt is folded, A freezes; B sends; A wakes up and does not call."""
        log = Log()
        made = log.request()
        a = World(log, there.spec)
        a.frozen_at = "attempt-folded"
        await a.turn()
        assert there.book.posts == []
        b = World(log, there.spec)
        await b.pass_time(1_000, 10)
        assert (made.state, attempts(log)) == (states.PAID, 2)
        a.ahead_us = 11 * 10**6
        with pytest.raises(NotCalledError, match="too old"):
            await a.executor._send((USER, "w1"), made, there.spec, made.attempts[0].at)
        assert there.book.posts == [made.payout_no]

    async def test_a_frozen_call_that_is_made_is_refused(self, there: Remote) -> None:
        """Its signature is as old as its attempt."""
        log = Log()
        made = log.request()
        a = World(log, there.spec)
        old = a.now_us() // 10**6 - 301
        answer = await there.spec.channel.send(_order_of((USER, "w1"), made, "x", "y"), old)
        assert (answer.outcome, there.book.posts, there.service.refused) == ("unclear", [], 1)

    async def test_a_zombies_answer_is_fenced(self, there: Remote) -> None:
        """A holds an answer and freezes; B takes over; A's write is refused."""
        log = Log()
        made = log.request()
        a = World(log, there.spec)
        a.frozen_at = "answered"  # then B takes over
        there.book.plan(Fault(faults.REFUSED))
        await a.turn()
        World(log, there.spec)
        a.frozen_at = ""
        with pytest.raises(Fenced):
            await a.executor._take_answer(
                (USER, "w1"),
                there.spec,
                await there.channel.query(_order_of((USER, "w1"), made, "", "")),
                a.now_us(),
                is_query=False,
            )
        assert results(log) == []

    async def test_without_authority_nothing_is_called(self, there: Remote) -> None:
        """Attack 18: the lease is asked immediately before each call."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        world.allowed = False
        await world.pass_time(10)
        assert (there.book.posts, there.book.queries, attempts(log)) == ([], [], 0)
        world.allowed = True
        world.frozen_at = "attempt-folded"
        await world.turn()
        world.frozen_at, world.allowed = "", False
        await world.pass_time(60)
        assert (made.state, there.book.queries) == (states.SENDING, [])


class TestActivation:
    """Another app pays until its turn ends; this one has followed for a day."""

    async def test_not_found_counts_from_the_activation(self, there: Remote) -> None:
        """What the app before has just sent may still arrive: it is not sent again at once."""
        log = Log()
        made = log.request()
        old = World(log, there.spec)
        old.frozen_at = "attempt-folded"  # its call is on the way
        new = World(log, there.spec)
        new.allowed = False
        await new.pass_time(86_400, 3_600)
        old.epoch = log.epoch
        await old.turn()
        new.allowed = True
        await new.pass_time(400, 10)
        assert (there.book.posts, attempts(log), len(there.book.queries) > 0) == ([], 1, True)
        await new.pass_time(700, 10)
        assert (made.state, attempts(log)) == (states.PAID, 2)

    async def test_back_again(self, there: Remote) -> None:
        """A, then B, then A: what B sent last counts from when A sees it."""
        log = Log()
        made = log.request()
        a, b = World(log, there.spec), World(log, there.spec)
        b.allowed = False
        there.book.plan(Fault(faults.LOST_BEFORE))
        a.epoch = log.epoch
        await a.turn()
        a.allowed, b.allowed = False, True
        b.frozen_at = "attempt-folded"
        await b.pass_time(700, 10)
        assert attempts(log) == 2
        a.advance(86_400)
        a.allowed, b.allowed = True, False
        await a.pass_time(400, 10)
        assert (there.book.posts, attempts(log)) == ([], 2)
        await a.pass_time(700, 10)
        assert (made.state, attempts(log)) == (states.PAID, 3)


class TestCrashes:
    """A crash at each point leaves one payment at most, and after the next owner exactly one."""

    @pytest.mark.parametrize("point", CRASH_POINTS)
    @pytest.mark.parametrize("name", ["", faults.LOST_AFTER, faults.LOST_BEFORE, faults.LATE_VISIBLE])
    async def test_at_each_point(self, point: str, name: str, there: Remote) -> None:
        """Whatever went wrong with the call before."""
        log = Log()
        made = log.request()
        a = World(log, there.spec)
        a.frozen_at = point
        if name:
            there.book.plan(Fault(name, seconds=30))
        await a.turn()
        await a.pass_time(2)
        await a.executor.stop()
        there.book.advance(31)
        b = World(log, there.spec)
        await b.pass_time(1_500, 10)
        assert (made.state, log.paid) == (states.PAID, 995)
        assert there.book.transfers == [(made.payout_no, 995)]


class TestSleepers:
    """A worker that freezes at a point, and wakes up believing that it may still call."""

    @pytest.mark.parametrize("point", CRASH_POINTS)
    @pytest.mark.parametrize("name", ["", faults.LOST_AFTER, faults.LOST_BEFORE])
    async def test_wakes_after_the_next_owner(self, point: str, name: str, there: Remote) -> None:
        """It sends nothing and writes nothing: it is fenced, and its attempt is too old."""
        log = Log()
        made = log.request()
        a = World(log, there.spec)
        a.sleeps_at = point
        if name or point == "asked":
            there.book.plan(Fault(name or faults.LOST_AFTER))
        await self.until_asleep(a)
        b = World(log, there.spec)
        await b.pass_time(1_500, 10)
        assert (made.state, log.paid) == (states.PAID, 995)
        posts, facts = list(there.book.posts), list(log.facts)
        a.ahead_us += 11 * 10**6  # its wall clock has gone on; its lease is thought to hold
        a.woken.set()
        await a.executor.settle()
        await a.pass_time(30)
        assert (there.book.posts, log.facts) == (posts, facts)
        assert there.book.transfers == [(made.payout_no, 995)]

    async def until_asleep(self, world: World) -> None:
        """Let time pass until the worker sleeps."""
        for _ in range(100):
            world.executor.begin_due()
            async with asyncio.timeout(60):
                while world.executor._busy and not world.fell_asleep.is_set():  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.002)
            if world.fell_asleep.is_set():
                return
            world.advance(10)
        raise AssertionError("the point is not passed")


class TestHolds:
    """What makes an approved one wait."""

    async def test_a_payee_that_is_gone(self, there: Remote) -> None:
        """Attack 13: no attempt; one between attempt and call is not sent."""
        log = Log()
        log.request()
        world = World(log, there.spec)
        payee = world.payees.pop("p1")
        await world.pass_time(3)
        assert world.executor.held == {(USER, "w1"): "payee-missing"}
        world.payees["p1"] = payee
        world.frozen_at = "attempt-folded"
        await world.turn()
        world.payees.clear()
        await world.pass_time(900, 10)
        assert there.book.posts == []

    async def test_what_no_longer_covers(self, there: Remote) -> None:
        """Attack 8: a clawback came meanwhile."""
        log = Log(available=-1)
        log.request()
        world = World(log, there.spec)
        await world.pass_time(3)
        assert (attempts(log), world.executor.held) == (0, {(USER, "w1"): "covers-not"})


class TestCallbacks:
    """Attack 19: callbacks lead to one question, never to a booking by themselves."""

    async def test_ten_callbacks_ask_once(self, there: Remote) -> None:
        """In whatever order, and for a number that nobody knows."""
        log = Log()
        made = log.request()
        world = World(log, there.spec)
        there.book.plan(Fault(faults.SLOW_PAID, seconds=1))
        await world.turn()
        await world.pass_time(660, 1)
        queries = len(there.book.queries)
        there.book.advance(2)
        for _ in range(10):
            assert world.executor.prompt(made.payout_no)
        assert not world.executor.prompt("nobody")
        await world.turn()
        assert (made.state, len(there.book.queries)) == (states.PAID, queries + 1)

    @pytest.mark.parametrize("ended", ["returned", "failed"])
    async def test_one_that_ended_long_ago_is_asked_about_once(self, there: Remote, ended: str) -> None:
        """Nobody watches it any more: it is looked for in the table."""
        log = Log()
        made = log.request()
        there.book.plan(Fault(faults.REFUSED if ended == "failed" else faults.THEN_RETURNED, seconds=5))
        await World(log, there.spec).turn()
        made.updated_at -= 10 * paying.DAY_US
        there.book.advance(10)
        world, before = World(log, there.spec), len(there.book.queries)
        await world.pass_time(3)
        assert len(there.book.queries) == before, "by itself it is not asked about"
        assert not world.executor.prompt(made.payout_no)
        await world.pass_time(3)
        assert len(there.book.queries) == before, "another partition may watch it"
        world.executor.prompt(made.payout_no, searches=True)
        await world.pass_time(3)
        assert (made.state, len(there.book.queries)) == (ended, before + 1)
        made.updated_at -= 10 * paying.DAY_US
        await world.pass_time(2 * DAY_SECONDS, 3_600)
        world.executor.prompt(made.payout_no, searches=True)
        await world.pass_time(3)
        assert len(there.book.queries) == before + 2, "and again after another callback"

    async def test_one_that_was_rejected_is_asked_about(self, there: Remote) -> None:
        """The payer had no money, it was rejected, and the service paid after all."""
        log = Log()
        made = log.request()
        there.book.plan(Fault(faults.PAYER))
        world = World(log, there.spec)
        await world.turn()
        made.state = states.REJECTED
        await world.pass_time(5)
        at_seconds = world.now_us() // paying.SECOND_US
        await there.channel.send(_order_of((USER, "w1"), made, "a@example.com", "张三丰"), at_seconds)
        before = len(there.book.queries)
        world.executor.prompt(made.payout_no, searches=True)
        await world.pass_time(3)
        assert (results(log)[-1], len(there.book.queries)) == ("paid", before + 1)

    async def test_the_search_is_bounded(self, there: Remote) -> None:
        """A step reads a bounded number, and a service cannot have it look for any number of numbers."""
        log = Log()
        for number in range(2 * READ_AT_ONCE + 1):
            log.request(f"w{number}").state = states.PAID
        world = Counting(log, there.spec)
        search, last = NumberSearch(world), log.withdrawals[f"w{2 * READ_AT_ONCE}"].payout_no
        for number in range(WANTED_MAX + 5):
            search.want(last if number == 0 else f"unknown-{number}")
        steps = [search.step() for _ in range(4)]
        assert steps == [[], [], [(last, (USER, f"w{2 * READ_AT_ONCE}"))], []]
        assert world.reads == 2 * READ_AT_ONCE + 1


class Counting(World):
    """Counts the records that the executor reads."""

    reads = 0

    def withdrawal(self, user_id: str, withdrawal_id: str) -> Withdrawal | None:
        """Return one, and count it."""
        self.reads += 1
        return super().withdrawal(user_id, withdrawal_id)

    def standing(self, user_id: str) -> Standing:
        """Return the user's standing, and count it."""
        self.reads += 1
        return super().standing(user_id)


class TestManyWithdrawals:
    """Thousands of them share the event loop with orders and requests."""

    MANY = 3_000

    async def test_a_step_reads_a_bounded_number(self, there: Remote) -> None:
        """While a channel is closed each is looked at in its turn; once it opens, it begins at once."""
        log = Log()
        for number in range(self.MANY):
            log.request(f"w{number}")
        world = Counting(log, there.spec)
        world.opened = False
        steps = 0
        while len(world.executor.held) < self.MANY:
            world.reads, steps = 0, steps + 1
            await world.turn()
            assert world.reads <= PLACES_MAX + LOOKS_MAX
            assert steps <= 2 * self.MANY / LOOKS_MAX
        world.reads = 0
        await world.turn()
        assert world.reads == 0  # none is looked at again within a second
        world.opened = True
        await world.turn()
        assert attempts(log) == LOOKS_MAX

    async def test_who_may_not_call_reads_nothing(self, there: Remote) -> None:
        """An app that only follows, or a worker without its lease: no look, no try four times a second."""
        log = Log()
        made = log.request()
        world = Counting(log, there.spec)
        world.allowed = False
        for _ in range(3):
            await world.turn()
        assert (world.reads, log.facts, world.executor.held) == (0, [], {})
        world.allowed = True
        await world.turn()
        assert made.state == states.PAID
