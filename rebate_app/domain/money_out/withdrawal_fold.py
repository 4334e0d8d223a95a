"""The folds about withdrawals: requests, decisions, verdicts, attempts, results, resolutions.

See docs/spec/money-out.md. A fold changes the records and returns "" or the code of a business refusal, which
changed nothing. What a fact leads to is looked up in states.TRANSITIONS; here is what the table cannot say.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from ..account.events import PendingEvents
from ..now import Now
from ..pricing.calendar import day_of
from ..pricing.rules import RuleBook
from . import states
from .booking import KIND_OF_MOVE, Booking, book, grown_head, moved
from .deciding import decide
from .facts import (
    ANONYMOUS,
    STUCK_STATUS,
    Decision,
    PayoutAttempt,
    PayoutResult,
    Resolution,
    WithdrawalRequest,
    WithdrawalVerdict,
)
from .money_events import WithdrawalChanged
from .money_records import MoneyRecords
from .refusals import (
    ID_REUSED,
    SAME_ACTOR,
    TOO_MANY_REQUESTS,
    UNKNOWN_WITHDRAWAL,
    WRONG_STATE,
    is_same_person,
)
from .states import TRANSITIONS, Step
from .withdrawal import (
    Approval,
    Attempt,
    Resolved,
    Result,
    WaitingVerdict,
    Withdrawal,
)

REQUESTS_OF_DAY_MAX = 50
REQUESTS_MAX = 10_000
#: As many approvals of different people can matter: the requester's own, and two that count.
APPROVALS_WAITING_MAX = 3
RESOLVE_AFTER_US = 24 * 3_600 * 1_000_000

#: The owner's clock in µs for a request at an offset, None where this app does not decide it there.
DecisionClock = Callable[[str, str, int], int | None]


class WithdrawalFold:
    """Folds one record about withdrawals of one user; `decided` has the decisions that are to be sent."""

    def __init__(
        self,
        user_id: str,
        records: MoneyRecords,
        now: Now,
        rules: RuleBook,
        pending_events: PendingEvents,
        clock: DecisionClock,
    ) -> None:
        self.decided: list[Decision] = []
        self._user_id = user_id
        self._records = records
        self._now = now
        self._rules = rules
        self._pending_events = pending_events
        self._clock = clock
        self._cause = ""

    def request(self, fact: WithdrawalRequest) -> str:
        """Fold a request; a repeat changes nothing. The app that decides does so here."""
        records, now = self._records, self._now
        known = records.withdrawal(fact.withdrawal_id)
        if known is not None:
            content = (known.amount, known.channel, known.payee_id, known.memo)
            same = content == (fact.amount, fact.channel, fact.payee_id, fact.memo)
            return "" if same else ID_REUSED
        summary, count = records.summary(), records.day(day_of(now.at))
        if count.requests >= REQUESTS_OF_DAY_MAX or summary.withdrawals >= REQUESTS_MAX:
            return TOO_MANY_REQUESTS
        records.head()
        withdrawal = Withdrawal(
            1,
            fact.withdrawal_id,
            summary.withdrawals,
            fact.amount,
            fact.channel,
            fact.payee_id,
            fact.memo,
            fact.actor,
            now.offset,
            now.at,
            now.at,
        )
        summary.withdrawals += 1
        count.requests += 1
        records.add_withdrawal(withdrawal)
        if not self.decide_here(withdrawal):
            records.queue(withdrawal)
        return ""

    def decide_here(self, withdrawal: Withdrawal) -> bool:
        """Decide a request if it is this app's to decide at this place; return whether it is."""
        clock_us = self._clock(self._user_id, withdrawal.withdrawal_id, self._now.offset)
        if clock_us is None:
            return False
        decision = decide(self._user_id, self._records, withdrawal, clock_us, self._rules)
        self.decided.append(decision)
        self._take_decision(withdrawal, decision)
        return True

    def decision(self, fact: Decision) -> bool:
        """Fold a decision: the first one takes effect; return False for a withdrawal that is unknown."""
        withdrawal = self._records.withdrawal(fact.withdrawal_id)
        if withdrawal is None:
            return False
        if withdrawal.state == states.REQUESTED:
            self._take_decision(withdrawal, fact)
        return True

    def _take_decision(self, withdrawal: Withdrawal, decision: Decision) -> None:
        withdrawal.decided_at, withdrawal.decided_offset = decision.at, self._now.offset
        withdrawal.rule_version = decision.rule_version
        withdrawal.available, withdrawal.reason = decision.available, decision.reason
        withdrawal.review, withdrawal.approvals_needed = decision.review, decision.approvals_needed
        withdrawal.fee, withdrawal.net, withdrawal.payout_no = decision.fee, decision.net, decision.payout_no
        self._records.unqueue(withdrawal)
        happens = states.ACCEPT if decision.accepted else states.REFUSE
        if decision.accepted and decision.review:
            happens = states.ASK_REVIEW
        self._cause = "withdrawal.decided"
        self._take_step(withdrawal, TRANSITIONS[withdrawal.state, happens])
        waiting, withdrawal.waiting = withdrawal.waiting, []
        for each in waiting:
            self._judge(withdrawal, each)

    def verdict(self, fact: WithdrawalVerdict) -> str:
        """Fold an approval, rejection or cancellation; one that comes before the decision waits for it."""
        withdrawal = self._records.withdrawal(fact.withdrawal_id)
        if withdrawal is None:
            return UNKNOWN_WITHDRAWAL
        verdict = WaitingVerdict(fact.verdict, fact.reason, fact.actor, self._now.at)
        if withdrawal.state == states.REQUESTED:
            _wait(withdrawal, verdict)
            return ""
        return self._judge(withdrawal, verdict)

    def _judge(self, withdrawal: Withdrawal, verdict: WaitingVerdict) -> str:
        step = TRANSITIONS.get((withdrawal.state, verdict.verdict))
        if step is None or (verdict.verdict == states.CANCEL and withdrawal.attempts):
            return WRONG_STATE
        self._cause = f"withdrawal.{verdict.verdict}"
        if verdict.verdict == states.APPROVE:
            return self._approve(withdrawal, verdict, step)
        withdrawal.reason = verdict.reason
        self._take_step(withdrawal, step)
        return ""

    def _approve(self, withdrawal: Withdrawal, verdict: WaitingVerdict, step: Step) -> str:
        before = [withdrawal.actor, *(each.actor for each in withdrawal.approvals)]
        if any(is_same_person(verdict.actor, actor) for actor in before):
            return SAME_ACTOR
        withdrawal.approvals.append(Approval(verdict.actor, verdict.at))
        if len(withdrawal.approvals) < withdrawal.approvals_needed:
            withdrawal.updated_at = self._now.at
            grown_head(self._records)
        else:
            self._take_step(withdrawal, step)
        return ""

    def attempt(self, fact: PayoutAttempt) -> bool:
        """Fold an attempt; one that is not legal where it stands changes nothing. Return whether it is."""
        withdrawal = self._records.withdrawal(fact.withdrawal_id)
        if withdrawal is None or self._records.summary().blocked:
            return False
        step = TRANSITIONS.get((withdrawal.state, states.ATTEMPT))
        last = withdrawal.last_attempt
        number = 1 if last is None else last.attempt + 1
        if step is None or fact.attempt != number or fact.channel != withdrawal.channel:
            return False
        now = self._now
        attempt = Attempt(number, fact.at, now.offset, now.at, fact.channel_identity, fact.export_id)
        withdrawal.attempts.append(attempt)
        self._cause = "payout.attempt"
        self._take_step(withdrawal, step)
        return True

    def result(self, fact: PayoutResult) -> bool:
        """Fold a result; one that the state does not allow is kept, and the contradiction counted.

        Return False for such a one, and for a withdrawal that is unknown. While it goes on waiting for its
        user, a result that does not say where to confirm leaves what was said.
        """
        withdrawal = self._records.withdrawal(fact.withdrawal_id)
        if withdrawal is None:
            return False
        url = _confirm_url(withdrawal)
        fits = self._take_result(withdrawal, fact)
        if fact.status != states.NEEDS_USER or not fact.needs_user_url:
            _keep_confirm_url(withdrawal, url)
        return fits

    def _take_result(self, withdrawal: Withdrawal, fact: PayoutResult) -> bool:
        is_newest = _note_result(withdrawal, fact)
        withdrawal.updated_at = self._now.at
        if fact.status in ("failed", "payer") and not is_newest:
            return True
        step = TRANSITIONS.get((withdrawal.state, f"result-{fact.status}")) if withdrawal.attempts else None
        if fact.status in ("paid", "returned") and fact.amount != withdrawal.net:
            step = None
        if step is None:
            if fact.status == STUCK_STATUS:
                return True
            self._contradict(withdrawal, closes=fact.status == "paid")
            return False
        self._cause = "payout.result"
        self._take_step(withdrawal, step)
        if step.contradicts:
            self._contradict(withdrawal, closes=True)
        return not step.contradicts

    def _contradict(self, withdrawal: Withdrawal, *, closes: bool) -> None:
        withdrawal.contradicted += 1
        if closes:
            self._records.raise_alarm(withdrawal, self._now)

    def resolution(self, fact: Resolution) -> str:
        """Fold a resolution, or the confirmation that makes the newest one count."""
        withdrawal = self._records.withdrawal(fact.withdrawal_id)
        if withdrawal is None:
            return UNKNOWN_WITHDRAWAL
        last = withdrawal.last_attempt
        if withdrawal.state != states.STUCK or last is None:
            return WRONG_STATE
        return self._confirm(withdrawal, fact) if fact.confirms else self._resolve(withdrawal, fact, last)

    def _resolve(self, withdrawal: Withdrawal, fact: Resolution, last: Attempt) -> str:
        now = self._now
        if now.at < last.recorded_at + RESOLVE_AFTER_US:
            return WRONG_STATE
        withdrawal.resolved = Resolved(fact.outcome, fact.channel_ref, fact.reason, fact.actor, now.at)
        withdrawal.updated_at = now.at
        return ""

    def _confirm(self, withdrawal: Withdrawal, fact: Resolution) -> str:
        resolved = withdrawal.resolved
        if resolved is None or (resolved.outcome, resolved.channel_ref) != (fact.outcome, fact.channel_ref):
            return WRONG_STATE
        if is_same_person(resolved.actor, fact.actor):
            return SAME_ACTOR
        self._cause = "withdrawal.confirm"
        self._take_step(withdrawal, TRANSITIONS[withdrawal.state, f"confirm-{fact.outcome}"])
        return ""

    def _take_step(self, withdrawal: Withdrawal, step: Step) -> None:
        """Go to the next state: money, counts, lists and the event follow."""
        records, now, before = self._records, self._now, withdrawal.state
        withdrawal.updated_at = now.at
        if step.to == before and not step.moves:
            return
        withdrawal.state = step.to
        _note_moments(withdrawal, step)
        for move in step.moves:
            parts, frozen, withdrawn = moved(move, withdrawal.amount)
            booking = Booking(
                KIND_OF_MOVE[move],
                withdrawal.withdrawal_id,
                self._cause,
                now.at,
                parts,
                frozen,
                withdrawn,
                withdrawal.rule_version,
            )
            book(self._user_id, records, booking, self._pending_events)
        if not step.moves:
            grown_head(records)
        self._count(withdrawal, before, step)
        records.move_withdrawal(withdrawal, before)
        self._add_event(withdrawal, before)

    def _count(self, withdrawal: Withdrawal, before: str, step: Step) -> None:
        """Keep the counts that later decisions depend on."""
        records, summary = self._records, self._records.summary()
        counts = int(step.to not in states.UNCOUNTED) - int(before not in states.UNCOUNTED)
        if counts:
            count = records.day(day_of(withdrawal.requested_at))
            count.counted += counts
            count.amount += counts * withdrawal.amount
        open_before, open_after = before in states.OPEN, step.to in states.OPEN
        if open_after and not open_before:
            summary.open.append(withdrawal.withdrawal_id)
        elif open_before and not open_after:
            summary.open.remove(withdrawal.withdrawal_id)
        if states.PAY in step.moves or states.PAY_AFTER_BACK in step.moves:
            summary.paid_ever = True
            records.note_paid(withdrawal.payee_id)

    def _add_event(self, withdrawal: Withdrawal, before: str) -> None:
        if self._now.at < self._pending_events.since:
            return
        self._pending_events.money.append(
            WithdrawalChanged(
                self._user_id,
                self._now.at,
                len(withdrawal.attempts),
                withdrawal.withdrawal_id,
                withdrawal.payout_no,
                withdrawal.amount,
                withdrawal.net,
                before,
                withdrawal.state,
                withdrawal.reason,
                _confirm_url(withdrawal),
            )
        )


def _wait(withdrawal: Withdrawal, verdict: WaitingVerdict) -> None:
    """Keep a verdict for after the decision, unless those before it leave it without effect.

    After a rejection or cancellation nothing follows, and after approvals of as many people as can be needed
    no further one does; so what waits is bounded, however long no decision comes.
    """
    waiting = withdrawal.waiting
    if any(each.verdict != states.APPROVE for each in waiting):
        return
    if verdict.verdict == states.APPROVE:
        if len(waiting) >= APPROVALS_WAITING_MAX:
            return
        if verdict.actor != ANONYMOUS and any(each.actor == verdict.actor for each in waiting):
            return
    waiting.append(verdict)


def _note_moments(withdrawal: Withdrawal, step: Step) -> None:
    """Keep when the money left, and when it came back: later results say nothing about that."""
    if states.PAY in step.moves or states.PAY_AFTER_BACK in step.moves:
        withdrawal.paid_at = withdrawal.stated_paid_at
    if states.RETURN in step.moves and withdrawal.result is not None:
        withdrawal.returned_at = withdrawal.result.at


def _confirm_url(withdrawal: Withdrawal) -> str:
    """Return where the user confirms, "" unless the withdrawal waits for that and it is known."""
    result = withdrawal.result
    return "" if result is None or withdrawal.state != states.NEEDS_USER else result.needs_user_url


def _keep_confirm_url(withdrawal: Withdrawal, url: str) -> None:
    if url and withdrawal.state == states.NEEDS_USER and withdrawal.result is not None:
        withdrawal.result = replace(withdrawal.result, needs_user_url=url)


def _note_result(withdrawal: Withdrawal, fact: PayoutResult) -> bool:
    """Keep a result, with its attempt too; return whether it is about the newest attempt."""
    withdrawal.result = Result(
        fact.attempt,
        fact.status,
        fact.amount,
        fact.code,
        fact.channel_ref,
        fact.needs_user_url,
        fact.at,
    )
    withdrawal.answered = withdrawal.answered or fact.status != "payer"
    for attempt in withdrawal.attempts:
        if attempt.attempt == fact.attempt:
            attempt.status = fact.status
    last = withdrawal.last_attempt
    return last is not None and last.attempt == fact.attempt
