"""What is next for an open withdrawal, and what an answer means: money leaves at most once."""

from __future__ import annotations

from itertools import product

import pytest

from rebate_app.domain.money_out import answers, paying, states
from rebate_app.domain.money_out.answers import ChannelAnswer
from rebate_app.domain.money_out.paying import (
    DAY_US,
    HOUR_US,
    SECOND_US,
    ChannelTerms,
    Conditions,
    Verdict,
    Watched,
    hold,
    judge,
    may_send,
    next_attempt,
    query_due,
)
from rebate_app.domain.money_out.withdrawal import Attempt, Result, Withdrawal

NOW = 1_800_000_000 * SECOND_US
MONO = 5_000 * SECOND_US
TERMS = ChannelTerms("here", 420 * SECOND_US, 7 * DAY_US)
READY = Conditions(TERMS, is_open=True, blocked=False, parked=False, available=0, has_payee=True)
LONG_AGO = Watched(MONO - 421 * SECOND_US)
JUST_NOW = Watched(MONO - 419 * SECOND_US)


def withdrawal(
    state: str = states.SENDING,
    *attempts: Attempt,
    answered: bool = False,
    result: Result | None = None,
    updated_at: int = NOW,
) -> Withdrawal:
    """Return a withdrawal with these attempts, one of a minute ago by default."""
    made = Withdrawal(1, "w", 0, 1000, "ch", "p", "", "user:u", 1, NOW, updated_at)
    made.state, made.net, made.payout_no = state, 995, "a" * 32
    made.attempts = list(attempts) or [attempt(1)]
    made.answered, made.result = answered, result
    return made


def attempt(number: int, status: str = "", at: int = NOW - 60 * SECOND_US, identity: str = "here") -> Attempt:
    """Return an attempt."""
    return Attempt(number, at, number, at, identity, "", status)


def judged(
    given: Withdrawal,
    outcome: str,
    watched: Watched = LONG_AGO,
    *,
    is_query: bool = True,
    terms: ChannelTerms = TERMS,
    code: str | None = None,
    ref: str | None = None,
    url: str | None = None,
) -> Verdict:
    """Return what an answer means now."""
    answer = ChannelAnswer(outcome, code, ref, url)
    return judge(given, answer, terms, watched, NOW, MONO, is_query=is_query)


class TestAttempts:
    """When an attempt may be written."""

    def test_numbers_count_from_one(self) -> None:
        """The next one is the last legal one + 1."""
        assert next_attempt(withdrawal(states.APPROVED, attempt(1, "payer"))) == 2
        fresh = withdrawal(states.APPROVED)
        fresh.attempts = []
        assert next_attempt(fresh) == 1

    @pytest.mark.parametrize(
        ("conditions", "reason"),
        [
            (READY, ""),
            (Conditions(None, True, False, False, 0, True), paying.CHANNEL_MISSING),
            (Conditions(TERMS, True, True, False, 0, True), paying.BLOCKED),
            (Conditions(TERMS, True, False, True, 0, True), paying.PARKED),
            (Conditions(TERMS, False, False, False, 0, True), paying.CHANNEL_NOT_OPEN),
            (Conditions(TERMS, True, False, False, -1, True), paying.COVERS_NOT),
            (Conditions(TERMS, True, False, False, 0, False), paying.PAYEE_MISSING),
        ],
    )
    def test_each_condition_holds_an_attempt_back(self, conditions: Conditions, reason: str) -> None:
        """And says which one."""
        assert hold(withdrawal(states.APPROVED), conditions) == reason

    @pytest.mark.parametrize("state", states.STATES)
    def test_only_approved_ones_are_attempted(self, state: str) -> None:
        """And sent ones, once "not found" is believed."""
        assert (hold(withdrawal(state), READY) == "") == (state == states.APPROVED)
        again = hold(withdrawal(state), READY, sends_again=True) == ""
        assert again == (state in (states.APPROVED, states.SENDING, states.NEEDS_USER))

    @pytest.mark.parametrize(
        ("late_us", "may"),
        [(0, True), (10 * SECOND_US, True), (10 * SECOND_US + 1, False), (-2 * SECOND_US, False)],
    )
    def test_a_call_is_made_within_ten_seconds(self, late_us: int, may: bool) -> None:
        """A worker that was frozen in between does not call."""
        assert may_send(NOW - late_us, NOW) is may


class TestNotFound:
    """Attacks 1 and 2: a service that forgets, and a call that is still on its way."""

    @pytest.mark.parametrize("state", [states.SENDING, states.NEEDS_USER])
    def test_believed(self, state: str) -> None:
        """Nothing was ever answered, it is remembered, the service is the same, and the time has passed."""
        assert judged(withdrawal(state), answers.NOT_FOUND).sends_again

    def test_a_call_may_still_be_on_its_way(self) -> None:
        """Before not_found_after_s nothing follows."""
        assert judged(withdrawal(), answers.NOT_FOUND, JUST_NOW) == paying.REMAINS_UNCLEAR

    @pytest.mark.parametrize("watched", [LONG_AGO, JUST_NOW])
    @pytest.mark.parametrize(
        "given",
        [
            withdrawal(answered=True),
            withdrawal(states.SENDING, attempt(1, at=NOW - 7 * DAY_US)),
            withdrawal(states.SENDING, attempt(1, identity="there")),
            withdrawal(states.SENDING, attempt(1, "payer", identity="there"), attempt(2)),
        ],
    )
    def test_not_believed_leads_to_people(self, given: Withdrawal, watched: Watched) -> None:
        """Answered once, too old, or asked somewhere else: stuck, and never a second request."""
        assert judged(given, answers.NOT_FOUND, watched) == Verdict(status="stuck", code="not-found")

    def test_the_first_attempt_counts_and_not_the_last(self) -> None:
        """A number is as old as its first attempt."""
        old = withdrawal(states.SENDING, attempt(1, "payer", at=NOW - 8 * DAY_US), attempt(2))
        assert judged(old, answers.NOT_FOUND).status == "stuck"

    def test_payer_is_no_answer_about_the_number(self) -> None:
        """Nothing was accepted then."""
        given = withdrawal(states.SENDING, attempt(1, "payer"), attempt(2))
        assert judged(given, answers.NOT_FOUND).sends_again

    @pytest.mark.parametrize("state", [states.STUCK, states.PAID, states.FAILED, states.APPROVED])
    def test_counts_only_while_sent(self, state: str) -> None:
        """In other states it changes nothing."""
        assert judged(withdrawal(state), answers.NOT_FOUND) == paying.REMAINS_UNCLEAR

    def test_a_slow_clock_believes_nothing_earlier(self) -> None:
        """Only the worker's own monotonic clock counts the time."""
        answer = ChannelAnswer(answers.NOT_FOUND)
        verdict = judge(withdrawal(), answer, TERMS, JUST_NOW, NOW + DAY_US, MONO, is_query=True)
        assert verdict == paying.REMAINS_UNCLEAR


class TestFailed:
    """Attack 3: `failed` counts only where no earlier attempt can still pay."""

    def test_the_only_attempt(self) -> None:
        """At once, from the call and from a question."""
        for is_query in (True, False):
            assert (
                judged(withdrawal(), answers.FAILED, JUST_NOW, is_query=is_query, code="X").status == "failed"
            )

    def test_after_an_attempt_without_a_result(self) -> None:
        """Only from a question, and after the time."""
        given = withdrawal(states.SENDING, attempt(1), attempt(2))
        assert judged(given, answers.FAILED, LONG_AGO, is_query=False) == paying.REMAINS_UNCLEAR
        assert judged(given, answers.FAILED, JUST_NOW) == paying.REMAINS_UNCLEAR
        assert judged(given, answers.FAILED, LONG_AGO).status == "failed"

    def test_after_attempts_with_results(self) -> None:
        """At once."""
        given = withdrawal(states.SENDING, attempt(1, "payer"), attempt(2))
        assert judged(given, answers.FAILED, JUST_NOW, is_query=False).status == "failed"


class TestOtherAnswers:
    """Paid, pending, payer, lies and unclear."""

    def test_paid_counts_always(self) -> None:
        """For any attempt, in any state that is asked about."""
        for state in paying.QUERIED_STATES:
            assert judged(withdrawal(state), answers.PAID, JUST_NOW, ref="r") == Verdict("paid", "", "r")

    def test_payer_pauses_the_channel(self) -> None:
        """From the call; a question cannot be refused for our balance."""
        assert judged(withdrawal(), answers.PAYER, is_query=False) == Verdict("payer", pauses=True)
        assert judged(withdrawal(), answers.PAYER) == paying.REMAINS_UNCLEAR

    def test_what_was_stated_last_is_not_written_again(self) -> None:
        """So hourly `pending` for a year writes once."""
        last = Result(1, "pending", 995, "", "r", "", NOW)
        given = withdrawal(answered=True, result=last)
        assert judged(given, answers.PENDING, ref="r") == paying.NOTHING
        assert judged(given, answers.PENDING) == paying.NOTHING
        assert judged(given, answers.PENDING, ref="other").status == "pending"
        assert judged(given, answers.PENDING, code="X").status == "pending"

    def test_a_question_that_repeats_no_url_takes_none_away(self) -> None:
        """WeChat tells what the user needs once."""
        last = Result(1, "needs-user", 995, "", "r", "u", NOW)
        given = withdrawal(states.NEEDS_USER, answered=True, result=last)
        assert judged(given, answers.NEEDS_USER, ref="r") == paying.NOTHING
        assert judged(given, answers.NEEDS_USER, ref="r", url="v").needs_user_url == "v"

    def test_a_result_of_an_earlier_attempt_is_no_repetition(self) -> None:
        """Each attempt has its own."""
        last = Result(1, "payer", 995, "", "", "", NOW)
        given = withdrawal(states.SENDING, attempt(1, "payer"), attempt(2), result=last)
        assert judged(given, answers.PAYER, is_query=False).status == "payer"

    @pytest.mark.parametrize("state", states.STATES)
    def test_lies_are_stuck_only_while_sent(self, state: str) -> None:
        """In other states the state stays; the channel pauses anyway."""
        verdict = judged(withdrawal(state), answers.MISMATCH)
        sent = state in (states.SENDING, states.NEEDS_USER)
        assert verdict == (Verdict("stuck", "lies", pauses=True) if sent else Verdict(pauses=True))

    def test_unclear_remains_unclear(self) -> None:
        """Whatever the state."""
        for state, is_query in product(states.STATES, (True, False)):
            assert judged(withdrawal(state), answers.UNCLEAR, is_query=is_query) == paying.REMAINS_UNCLEAR


class TestQueries:
    """When the service is queried."""

    @pytest.mark.parametrize("state", [states.SENDING, states.NEEDS_USER])
    def test_soon_then_hourly(self, state: str) -> None:
        """1 s, 5 s, 30 s, 2 min, 10 min after the call, then each hour."""
        watched, due = Watched(MONO), []
        for _ in range(7):
            at = query_due(withdrawal(state), watched, NOW, MONO)
            assert at is not None
            due.append((at - MONO) // SECOND_US)
            watched.queries += 1
            watched.last_query_mono_us = at
        assert due == [1, 5, 30, 120, 600, 600 + 3_600, 600 + 7_200]

    def test_stuck_ones_daily(self) -> None:
        """Once after a takeover, then each day."""
        watched = Watched(MONO)
        assert query_due(withdrawal(states.STUCK), watched, NOW, MONO) == MONO + SECOND_US
        watched.queries, watched.last_query_mono_us = 6, MONO
        assert query_due(withdrawal(states.STUCK), watched, NOW, MONO) == MONO + DAY_US

    @pytest.mark.parametrize("state", [states.PAID, states.FAILED])
    def test_settled_ones_daily_for_a_week(self, state: str) -> None:
        """Services take payouts back."""
        watched = Watched(MONO)
        fresh = withdrawal(state, updated_at=NOW - HOUR_US)
        assert query_due(fresh, watched, NOW, MONO) == MONO + DAY_US - HOUR_US
        older = withdrawal(state, updated_at=NOW - 3 * DAY_US)
        assert query_due(older, watched, NOW, MONO) == MONO
        watched.last_query_mono_us = MONO
        assert query_due(older, watched, NOW, MONO) == MONO + DAY_US
        assert query_due(withdrawal(state, updated_at=NOW - 8 * DAY_US), watched, NOW, MONO) is None

    def test_a_callback_leads_to_one_question(self) -> None:
        """At once, also about one that nobody asks about otherwise; never without an attempt."""
        prompted = Watched(MONO - HOUR_US, prompted=True)
        for state in (states.SENDING, states.STUCK, states.PAID, states.REJECTED):
            assert query_due(withdrawal(state), prompted, NOW, MONO) == MONO
        fresh = withdrawal(states.APPROVED)
        fresh.attempts = []
        assert query_due(fresh, prompted, NOW, MONO) is None
        assert query_due(withdrawal(states.REJECTED), Watched(MONO), NOW, MONO) is None
