"""Agent `accounts`: folds each user's log into that user's account (stage 2)."""

from __future__ import annotations

from rebate_app.domain import faults
from rebate_app.domain.account.account import Head
from rebate_app.domain.account.account_fold import fold_profile, fold_target
from rebate_app.domain.account.attribution_account import fold_bind, fold_cursor, fold_id_target
from rebate_app.domain.account.events import PendingEvents
from rebate_app.domain.account.repricing import fold_reprice, fold_repricing_cursor
from rebate_app.domain.facts import Bind, Profile, Reprice, UserFact
from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.domain.messages import Cursor, LineTarget, Message
from rebate_app.domain.now import Now
from rebate_app.domain.order.attribution import is_attribution_id
from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.domain.pricing.rules import RuleBook
from rebate_app.metrics.catalogue import IGNORED_REPRICES, UNKNOWN_ACTIVATIONS
from rebate_app.streams.event_emission import (
    emit_balance_events,
    emit_line_events,
    emit_money_events,
    headers_of,
)
from rebate_app.streams.failures.guard import GuardedStage
from rebate_app.streams.failures.record_kinds import read_parked_totals
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.build import Build
from rebate_app.streams.state.store import Readable, Store
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.facts.owner import (
    begins_as_owner_fact,
    decode_owner_fact,
    is_owner_fact,
    waits_behind_its_user,
)
from rebate_app.wire.facts.payouts import AuthoredFact
from rebate_app.wire.facts.turns import TurnFact
from rebate_app.wire.facts.user import decode_user
from rebate_app.wire.internal import (
    ForeignMessageError,
    decode_message,
    encode_message,
    is_foreign,
    is_internal,
)
from rebate_app.wire.moments import MILLISECOND_US
from rebate_app.wire.unreadable import UnreadableValueError
from tables.accounts import ACTIVATIONS, ACTIVATIONS_KEY, COUNTERS, COUNTERS_KEY, AccountsView
from tables.builds import ACCOUNTS_BUILDS

from .money_out import DecisionPolicy, MoneyOutWork

NAME = "accounts"


class AccountsStage(GuardedStage, frozen=True, kw_only=True):
    """Stage 2: `rebate-user-log` → table `accounts`; to the same log, bonuses and forwarded lines; events."""

    name: str = NAME
    parked: str = "rebate-user-log-parked"
    builds: tuple[Build, ...] = ACCOUNTS_BUILDS
    rules: RuleCatalogue
    deciding: DecisionPolicy = DecisionPolicy()

    def fold(self, transaction: StateTransaction, collector: RecordCollector) -> AccountsFold:
        """Return the fold of one batch."""
        return AccountsFold(self, transaction, collector)

    def unfinished(self, store: Store) -> int:
        """Return how many moves of lines, repricings and releases of parked keys go on."""
        counters = COUNTERS.read(store, COUNTERS_KEY)
        return (0 if counters is None else counters.moving) + read_parked_totals(store).releasing

    def may_refuse(self, record: Record) -> bool:
        """Whether a record may become a dead letter: an owner fact never does."""
        return not is_owner_fact(record.value)

    def may_wait(self, record: Record) -> bool:
        """Whether a record waits behind its key: an owner fact that is not about a user does not."""
        return not is_owner_fact(record.value) or waits_behind_its_user(record.value, record.key)

    def rules_known(self, records: Readable) -> RuleBook:
        """Return the book of the versions that these records know: those activated up to their place.

        VersionNotReadError: this process has not read one of them yet.
        """
        stored = records.get(ACTIVATIONS_KEY)
        if stored is None:
            return RuleBook((), self.rules.named)
        book = self.rules.cached_book(stored)
        if book is None:
            book = self.rules.book_of(stored, ACTIVATIONS.decode(stored, ACTIVATIONS_KEY).items)
        return book


class AccountsFold:
    """The fold of one batch of `rebate-user-log` (implements Fold)."""

    def __init__(
        self,
        stage: AccountsStage,
        transaction: StateTransaction,
        collector: RecordCollector,
        pending_events: PendingEvents | None = None,
    ) -> None:
        self._stage = stage
        self._collector = collector
        self._accounts = AccountsView(transaction)
        self._transaction = transaction
        self._rules = stage.rules_known(transaction)
        self._pending_events = (
            PendingEvents(stage.event_policy.since_ms() * MILLISECOND_US)
            if pending_events is None
            else pending_events
        )
        self._headers = headers_of(stage.app)
        self._money_out = MoneyOutWork(
            (stage.source, stage.app, stage.deciding),
            self._accounts,
            transaction,
            collector,
            self._rules,
            self._pending_events,
        )

    def successor(self, transaction: StateTransaction, collector: RecordCollector) -> AccountsFold:
        """Return the fold that goes on, with the balance events that are pending for the batch's end."""
        return AccountsFold(self._stage, transaction, collector, self._pending_events.copy())

    def take(self, record: Record) -> None:
        """Fold one record into its account; RefusedError for what cannot be used."""
        at = record.timestamp * MILLISECOND_US
        now = Now(record.offset, at)
        if is_internal(record.value):
            message = self._decoded(record)
            if message is None:
                return
            outgoing = self._take_message(message, now)
        elif begins_as_owner_fact(record.value):
            self._take_owner_fact(record, now)
            outgoing = []
        else:
            fact = self._fact(record, now)
            outgoing = [] if fact is None else self._take_fact(fact, now)
        for message in outgoing:
            key, value = encode_message(message, self._stage.app)
            self._collector.send(self._stage.source, key, value, record.timestamp)
        event_policy = self._stage.event_policy
        if self._pending_events.money:
            emit_money_events(self._pending_events, event_policy.topic, self._headers, self._collector)
        if self._pending_events.lines:
            emit_line_events(self._pending_events, event_policy.topic, self._headers, self._collector)
        if event_policy.singly:
            self.conclude()

    def _decoded(self, record: Record) -> Message | None:
        """Return one of our own messages, None for another app's."""
        try:
            message = decode_message(record.value or b"", self._stage.app)
        except ForeignMessageError as error:
            raise RefusedError([Fault(faults.UNDECODABLE, "", str(error))]) from error
        if message is not None and message.to.encode() != record.key:
            detail = f"the message is for {message.to!r} and stands under another key"
            raise RefusedError([Fault(faults.KEY_MISMATCH, "", detail)])
        return message

    def _fact(self, record: Record, now: Now) -> UserFact | None:
        """Return a fact that others send, None for one of ours or of another app in an unusual spelling."""
        try:
            return decode_user(record.value, record.key, now.at)
        except RefusedError:
            if is_owner_fact(record.value):
                self._take_owner_fact(record, now)
                return None
            if is_foreign(record.value, self._stage.app):
                return None
            raise

    def _take_owner_fact(self, record: Record, now: Now) -> None:
        """Fold a fact about money out; compare an activation of rules with the notes, which decide.

        RefusedError, which the guard does not turn into a dead letter, for one that cannot be read.
        """
        try:
            fact = decode_owner_fact(record.value, record.key, self._stage.app)
        except UnreadableValueError as error:
            raise RefusedError([Fault(faults.UNDECODABLE, "", str(error))]) from error
        if isinstance(fact, AuthoredFact):
            self._money_out.take_payout_fact(fact, now)
        elif isinstance(fact, TurnFact):
            self._money_out.take_turn(fact, now)
        elif fact is not None:
            noted = ACTIVATIONS.read(self._transaction, ACTIVATIONS_KEY)
            if noted is None or fact not in noted.items:
                self._collector.count({(UNKNOWN_ACTIVATIONS, ()): 1})

    def _take_fact(self, fact: UserFact, now: Now) -> list[Message]:
        if isinstance(fact, Profile):
            outcome = fold_profile(self._accounts.user(fact.user_id), fact)
            if isinstance(outcome, Fault):
                raise RefusedError([outcome])
            return []
        if isinstance(fact, Reprice):
            return self._repricing(fact, now)
        if isinstance(fact, Bind):
            return self._moving(fact, now)
        self._money_out.take_fact(fact, now)
        return []

    def _take_message(self, message: Message, now: Now) -> list[Message]:
        to = message.to
        if isinstance(message, Cursor):
            return self._moving(message, now) if is_attribution_id(to) else self._repricing(message, now)
        if isinstance(message, LineTarget) and is_attribution_id(to):
            return fold_id_target(self._accounts.attribution(to), message, now)
        return fold_target(to, self._accounts.user(to), message, now, self._rules, self._pending_events)

    def _moving(self, cause: Bind | Cursor, now: Now) -> list[Message]:
        """Fold what moves lines; count the ids whose move is not finished (for `rebate lag --wait`)."""
        own_id = cause.attribution_id if isinstance(cause, Bind) else cause.to
        records = self._accounts.attribution(own_id)
        head = records.head()
        before = head.moving
        if isinstance(cause, Bind):
            messages = fold_bind(records, cause, now)
        else:
            messages = fold_cursor(records, cause, now)
        self._accounts.counters().moving += head.moving - before
        return messages

    def _repricing(self, cause: Reprice | Cursor, now: Now) -> list[Message]:
        """Fold what prices lines anew; count the repricings that are not finished (as `_moving`)."""
        user_id = cause.user_id if isinstance(cause, Reprice) else cause.to
        records = self._accounts.user(user_id)
        if not records.is_known():
            self._collector.count({(IGNORED_REPRICES, ()): 1})
            return []
        repricings = records.repricings()
        before = len(repricings.under_way)
        if isinstance(cause, Cursor):
            messages = fold_repricing_cursor(records, cause, now, self._rules, self._pending_events)
        else:
            outcome = fold_reprice(records, cause, now, self._rules, self._pending_events)
            if isinstance(outcome, Fault):
                raise RefusedError([outcome])
            messages = outcome
        self._accounts.counters().moving += len(repricings.under_way) - before
        return messages

    def conclude(self) -> None:
        """Emit an event for each balance that has changed."""
        emit_balance_events(
            self._pending_events, self._head_of, self._stage.event_policy, self._headers, self._collector
        )

    def _head_of(self, user_id: str) -> Head:
        return self._accounts.user(user_id).head()

    def finish(self) -> None:
        """Write the changed accounts."""
        self._accounts.flush()
