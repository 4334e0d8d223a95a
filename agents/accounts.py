"""Agent `accounts`: one user's log becomes that user's account (stage 2)."""

from __future__ import annotations

from msgspec import Struct

from rebate_app.domain import faults
from rebate_app.domain.account import Head
from rebate_app.domain.attribution import is_attribution_id
from rebate_app.domain.events import News
from rebate_app.domain.facts import Bind, Profile, UserFact
from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.domain.folding import Now, fold_profile, fold_target
from rebate_app.domain.messages import Cursor, LineTarget, Message
from rebate_app.domain.rules import RuleBook, RuleVersion
from rebate_app.domain.suspense import fold_bind, fold_cursor, fold_id_target
from rebate_app.lane.outbox import Outbox, Outgoing
from rebate_app.lane.stage import Record
from rebate_app.lane.store import Overlay, Store
from rebate_app.wire.internal import (
    ForeignMessageError,
    decode_message,
    encode_message,
    is_foreign,
    is_internal,
)
from rebate_app.wire.topics import VERSION_PREFIX
from rebate_app.wire.user_facts import decode_user
from tables.accounts import COUNTERS, COUNTERS_KEY, AccountsChunk
from tables.parking import read_tally

from .guarded import Desk, FailurePolicy, GuardedSession, KnownBugs
from .telling import Telling, headers_of, tell_balances, tell_lines

NAME = "accounts"
MILLISECOND_US = 1_000


class AccountsStage(Struct, frozen=True):
    """Stage 2: `rebate-user-log` → table `accounts`; to the same log, bonuses and forwarded lines; events."""

    source: str
    changelog: str
    dlt: str

    app: str
    rules: RuleBook
    registry: str = "rebate-rules"
    name: str = NAME
    parked: str = "rebate-user-log-parked"
    failures: FailurePolicy = FailurePolicy()
    telling: Telling = Telling()

    def session(
        self, overlay: Overlay, outbox: Outbox, known_bugs: KnownBugs | None = None
    ) -> GuardedSession:
        """Return the guarded work on one chunk."""
        desk = Desk(self.app, self.dlt, self.parked, self.telling)
        return GuardedSession(desk, self.failures, overlay, outbox, self.work, known_bugs)

    def work(self, overlay: Overlay, outbox: Outbox) -> AccountsWork:
        """Return the work alone, which raises on what it cannot take."""
        return AccountsWork(self, overlay, outbox)

    def unfinished(self, store: Store) -> int:
        """Return how many ids are still moving their lines, and how many keys are being released."""
        counters = COUNTERS.read(store, COUNTERS_KEY)
        return (0 if counters is None else counters.moving) + read_tally(store).releasing


class RulesInUse(RuleBook):
    """The rule book of one chunk, which notes the versions that it chose for lines."""

    def __init__(self, rules: RuleBook) -> None:
        super().__init__(rules.versions)
        self.used: dict[str, RuleVersion] = {}

    def in_force(self, paid_at: int) -> RuleVersion | None:
        """Return the version in force, and note it."""
        version = super().in_force(paid_at)
        if version is not None and version.version not in self.used:
            self.used[version.version] = version
        return version


class AccountsWork:
    """The work on records of one chunk of `rebate-user-log` (implements Work)."""

    def __init__(
        self, stage: AccountsStage, overlay: Overlay, outbox: Outbox, news: News | None = None
    ) -> None:
        self._stage = stage
        self._outbox = outbox
        self._accounts = AccountsChunk(overlay)
        self._rules = RulesInUse(stage.rules)
        self._news = News(stage.telling.since_ms() * MILLISECOND_US) if news is None else news
        self._headers = headers_of(stage.app)

    def successor(self, overlay: Overlay, outbox: Outbox) -> AccountsWork:
        """Return the work that goes on, with the balances that are to be told at the chunk's end."""
        return AccountsWork(self._stage, overlay, outbox, self._news.copy())

    def take(self, record: Record) -> None:
        """Fold one record into its account; RefusedError for what cannot be used."""
        at = record.timestamp * MILLISECOND_US
        now = Now(record.offset, at)
        if is_internal(record.value):
            message = self._decoded(record)
            if message is None:
                return
            outgoing = self._take_message(message, now)
        else:
            fact = self._fact(record, at)
            outgoing = [] if fact is None else self._take_fact(fact, now)
        for message in outgoing:
            key, value = encode_message(message, self._stage.app)
            self._outbox.send(self._stage.source, key, value, record.timestamp)
        telling = self._stage.telling
        if self._news.lines:
            tell_lines(self._news, telling.topic, self._headers, self._outbox)
        if telling.singly:
            self.conclude()

    def _decoded(self, record: Record) -> Message | None:
        """Return one of our own messages, None for another app's."""
        try:
            message = decode_message(record.value or b"", self._stage.app)
        except ForeignMessageError as error:
            raise RefusedError([Fault(faults.UNDECODABLE, "", str(error))]) from error
        if message is not None and message.to.encode() != record.key:
            says = f"the message is for {message.to!r} and stands under another key"
            raise RefusedError([Fault(faults.KEY_MISMATCH, "", says)])
        return message

    def _fact(self, record: Record, at: int) -> UserFact | None:
        """Return a fact that others send, None for a message of another app that spells it in its own way."""
        try:
            return decode_user(record.value, record.key, at)
        except RefusedError:
            if is_foreign(record.value, self._stage.app):
                return None
            raise

    def _take_fact(self, fact: UserFact, now: Now) -> list[Message]:
        if isinstance(fact, Profile):
            outcome = fold_profile(self._accounts.user(fact.user_id), fact)
            if isinstance(outcome, Fault):
                raise RefusedError([outcome])
            return []
        return self._moving(fact, now)

    def _take_message(self, message: Message, now: Now) -> list[Message]:
        if isinstance(message, Cursor):
            return self._moving(message, now)
        to = message.to
        if isinstance(message, LineTarget) and is_attribution_id(to):
            return fold_id_target(self._accounts.attribution(to), message, now)
        return fold_target(to, self._accounts.user(to), message, now, self._rules, self._news)

    def _moving(self, cause: Bind | Cursor, now: Now) -> list[Message]:
        """Fold what moves lines, and keep count of the ids that are not done (for `rebate lag --wait`)."""
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

    def conclude(self) -> None:
        """Tell which balances have changed."""
        tell_balances(self._news, self._head_of, self._stage.telling, self._headers, self._outbox)

    def _head_of(self, user_id: str) -> Head:
        return self._accounts.user(user_id).head()

    def finish(self) -> None:
        """Record the rule versions that were used for the first time; write the changed accounts."""
        for version in self._rules.used.values():
            if self._accounts.first_use(version.version):
                key = (VERSION_PREFIX + version.version).encode()
                value = version.content_hash.encode()
                self._outbox.send_raw(Outgoing(self._stage.registry, key, value, 0, (), 0))
        self._accounts.flush()
