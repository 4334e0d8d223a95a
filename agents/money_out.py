"""What the agent `accounts` does with facts about money out (docs/spec/money-out.md).

The owner in the active app decides each request where it folds it, and sends the decision in the same
transaction. Every other app takes the first decision that stands in the log.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from rebate_app.domain.account.events import PendingEvents
from rebate_app.domain.money_out.facts import (
    AdjustmentProposal,
    AdjustmentVerdict,
    Block,
    Decision,
    MoneyFact,
    Opening,
    PayoutAttempt,
    PayoutResult,
    Resolution,
    WithdrawalRequest,
    WithdrawalVerdict,
)
from rebate_app.domain.money_out.money_records import REFUSALS_MAX
from rebate_app.domain.money_out.staff_fold import StaffFold
from rebate_app.domain.money_out.withdrawal_fold import DecisionClock, WithdrawalFold
from rebate_app.domain.now import Now
from rebate_app.domain.pricing.rules import RuleBook
from rebate_app.metrics.catalogue import BUSINESS_REFUSALS, PAYOUT_ATTEMPTS, PAYOUT_FACTS_IGNORED
from rebate_app.streams.state.buffer import StateTransaction, encode
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.facts.payouts import Author, AuthoredFact, encode_payout_fact
from rebate_app.wire.facts.turns import ACTIVATED, TurnFact, activation_of
from rebate_app.wire.moments import MILLISECOND_US
from tables.accounts import AccountsView
from tables.money_out import TURN_KEY, read_turn


def _nobody() -> bool:
    return False


def _nothing() -> str:
    return ""


def _no_clock() -> int:
    return 0


class DecisionPolicy(Struct, frozen=True):
    """Who decides requests.

    `is_active()`: the active app is this one, and the log has the id `topic_id()`. `activation()` names the
    time at which it became active, `clock_ms()` is the owner's clock. `replayed`: an audit's, which knows by
    which clock each request was decided.
    """

    is_active: Callable[[], bool] = _nobody
    topic_id: Callable[[], str] = _nothing
    activation: Callable[[], str] = _nothing
    clock_ms: Callable[[], int] = _no_clock
    replayed: DecisionClock | None = None


class MoneyOutWork:
    """The work on facts about money out, within one batch."""

    def __init__(
        self,
        stage: tuple[str, str, DecisionPolicy],
        accounts: AccountsView,
        transaction: StateTransaction,
        collector: RecordCollector,
        rules: RuleBook,
        pending_events: PendingEvents,
    ) -> None:
        self._source, self._app, self._policy = stage
        self._accounts = accounts
        self._transaction = transaction
        self._collector = collector
        self._rules = rules
        self._pending_events = pending_events

    def take_fact(self, fact: MoneyFact, now: Now) -> None:
        """Fold what users and staff send; a business refusal is counted, and kept for who asks about it."""
        records = self._accounts.user(fact.user_id)
        if isinstance(fact, WithdrawalRequest | WithdrawalVerdict | Resolution):
            refused = self._take_withdrawal(fact, now)
        else:
            fold = StaffFold(fact.user_id, records, now, self._pending_events)
            refused = _take_staff(fold, fact)
        if refused:
            self._collector.count({(BUSINESS_REFUSALS, (refused,)): 1})
            if records.is_known():
                refusals = records.summary().refusals
                refusals.append((now.offset, refused))
                del refusals[:-REFUSALS_MAX]

    def _take_withdrawal(self, fact: WithdrawalRequest | WithdrawalVerdict | Resolution, now: Now) -> str:
        fold = self._withdrawals(fact.user_id, now)
        if isinstance(fact, WithdrawalRequest):
            refused = fold.request(fact)
            self._send_decisions(fold, now)
            return refused
        return fold.verdict(fact) if isinstance(fact, WithdrawalVerdict) else fold.resolution(fact)

    def take_payout_fact(self, authored: AuthoredFact, now: Now) -> None:
        """Fold what an owner has written, of whatever app; one without effect is counted."""
        fact = authored.fact
        fold = self._withdrawals(fact.user_id, now)
        if isinstance(fact, Decision):
            has_effect, kind = fold.decision(fact), "decision"
        elif isinstance(fact, PayoutAttempt):
            has_effect, kind = fold.attempt(fact), "attempt"
        else:
            has_effect, kind = fold.result(fact), "result"
        if has_effect and not isinstance(fact, Decision):
            outcome = fact.status if isinstance(fact, PayoutResult) else "begun"
            self._collector.count({(PAYOUT_ATTEMPTS, (outcome,)): 1})
        if not has_effect:
            self._collector.count({(PAYOUT_FACTS_IGNORED, (kind,)): 1})

    def take_turn(self, fact: TurnFact, now: Now) -> None:
        """Begin or end this app's turn; where it begins, all that nobody has decided is decided."""
        turn = read_turn(self._transaction)
        is_own = fact.app == self._app
        decides, ended = turn.decides, turn.ended
        if fact.kind == ACTIVATED:
            decides = is_own and fact.turn == turn.announced and activation_of(fact.turn) != ended
        elif is_own:
            decides, ended = False, activation_of(fact.turn)
        if (decides, ended) != (turn.decides, turn.ended):
            turn.decides, turn.ended = decides, ended
            self._transaction.put(TURN_KEY, encode(turn))
        is_replay = self._policy.replayed is not None and fact.app == self._app
        if fact.kind == ACTIVATED and (decides or is_replay):
            self._decide_waiting(now)

    def _decide_waiting(self, now: Now) -> None:
        for user_id, withdrawal_id in self._accounts.undecided():
            withdrawal = self._accounts.user(user_id).withdrawal(withdrawal_id)
            if withdrawal is not None:
                fold = self._withdrawals(user_id, now)
                fold.decide_here(withdrawal)
                self._send_decisions(fold, now)

    def _withdrawals(self, user_id: str, now: Now) -> WithdrawalFold:
        records = self._accounts.user(user_id)
        return WithdrawalFold(user_id, records, now, self._rules, self._pending_events, self._clock_us)

    def _clock_us(self, user_id: str, withdrawal_id: str, offset: int) -> int | None:
        """Return the owner's clock if this app decides here; a repeat of the fold sees the same."""
        policy = self._policy
        if policy.replayed is not None:
            return policy.replayed(user_id, withdrawal_id, offset)
        kept = self._transaction.kept
        if offset not in kept:
            decides = policy.is_active() and read_turn(self._transaction).decides
            kept[offset] = policy.clock_ms() * MILLISECOND_US if decides else None
        return kept[offset]

    def _send_decisions(self, fold: WithdrawalFold, now: Now) -> None:
        for decision in fold.decided:
            key, value = encode_payout_fact(decision, Author(self._app, self._policy.topic_id()))
            self._collector.send(self._source, key, value, now.at // MILLISECOND_US)


def _take_staff(fold: StaffFold, fact: MoneyFact) -> str:
    if isinstance(fact, AdjustmentProposal):
        return fold.proposal(fact)
    if isinstance(fact, AdjustmentVerdict):
        return fold.verdict(fact)
    if isinstance(fact, Opening):
        return fold.opening(fact)
    if isinstance(fact, Block):
        return fold.block(fact)
    return fold.opening_approval(fact)  # type: ignore[arg-type] # the last kind of MoneyFact
