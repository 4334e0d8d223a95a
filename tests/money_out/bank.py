"""A small world of money out: facts in, the real stage, and what the tables say afterwards.

`Bank` runs one app over a user log; several can share a log, each with a store of its own. The test sets the
clock.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

import orjson

from agents.money_out import DecisionPolicy
from rebate_app.domain.account.account import Head
from rebate_app.domain.account.balance import Balance, balance_on
from rebate_app.domain.account.ledger import Entry
from rebate_app.domain.money_out.facts import Decision, PayoutAttempt, PayoutFact, PayoutResult
from rebate_app.domain.money_out.money_records import Adjustment, MoneySummary, OpeningRecord
from rebate_app.domain.money_out.withdrawal import Withdrawal
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.domain.pricing.rules import Level, RuleBook, RuleVersion
from rebate_app.domain.pricing.withdraw_rules import WithdrawRules
from rebate_app.streams.state.store import MemoryStore
from rebate_app.wire.facts.owner import decode_owner_fact
from rebate_app.wire.facts.payouts import Author, AuthoredFact, encode_payout_fact
from tables.accounts import ENTRY, HEAD
from tables.money_out import ADJUSTMENT, ALARM, OPENING, SUMMARY, WITHDRAWAL, Alarm
from tests.topology_driver import ACCOUNTS, LogRecord, TopologyDriver

NOW_US = int(datetime(2026, 3, 10, 4, tzinfo=UTC).timestamp()) * 1_000_000  # noon in Shanghai
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
#: Nothing is reviewed, and nothing limits.
FREELY = WithdrawRules(
    ("bank", "alipay"),
    min_fen=1,
    max_fen=10**9,
    max_per_day=1_000,
    day_max_fen=10**9,
    max_open=1_000,
    review_over_fen=10**9,
    review_first=False,
    review_new_payee=False,
)
REVIEWED = WithdrawRules(("bank",), min_fen=1, max_per_day=50, max_open=50, max_fen=10**9, day_max_fen=10**9)
APP, OTHER = "rebate", "rebate-2"


def rules_with(*sections: WithdrawRules | None) -> RuleBook:
    """Return a book of rules: one version for each section, all in force from 1970 on, the last one holds."""
    level = (Level("basic", 5_000),)
    return RuleBook.of(*(RuleVersion(f"r{n}", n, level, withdraw=each) for n, each in enumerate(sections)))


class Bank:
    """One app over a user log of one partition."""

    def __init__(
        self,
        section: WithdrawRules | None = FREELY,
        *,
        app: str = APP,
        is_active: bool = True,
        log: list[LogRecord] | None = None,
    ) -> None:
        self.now_us = NOW_US
        self.clock_ahead_us = 0
        self.tick_us = 0  # by how much each look at the clock moves it
        self.is_active = is_active
        self.activation = "first"
        self.app = app
        policy = DecisionPolicy(
            is_active=lambda: self.is_active,
            topic_id=lambda: "log-1",
            activation=lambda: self.activation,
            clock_ms=self._clock_ms,
        )
        self.driver = TopologyDriver(1, rules_with(section), app=app, deciding=policy)
        if log is not None:
            self.driver.logs[self.driver.topics.user_log, 0] = log
        self._numbers = count(1)
        self.driver.note(ACCOUNTS, 0)
        self.run()

    def _clock_ms(self) -> int:
        self.clock_ahead_us += self.tick_us
        return (self.now_us + self.clock_ahead_us) // 1_000

    @property
    def store(self) -> MemoryStore:
        """Return the store of the table."""
        return self.driver.stores[ACCOUNTS, 0]

    @property
    def log(self) -> list[LogRecord]:
        """Return the user log."""
        return self.driver.log(self.driver.topics.user_log, 0)

    def run(self) -> None:
        """Fold everything that waits, one record at a time."""
        self.driver.run()

    def send(self, kind: str, user_id: Any = "u1", *, by: Any = "key:ops", **members: Any) -> int:
        """Send a user fact, and fold it; return its offset."""
        document = {"schema": "user-fact/1", "kind": kind, "user_id": user_id, **members}
        record = self.append(document | {"actor": by, "request_id": "r"}, user_id)
        self.run()
        return record.offset

    def append(self, document: dict[str, Any], key: str) -> LogRecord:
        """Append a value to the log without folding it."""
        value = orjson.dumps(document)
        return self.driver.send(self.driver.topics.user_log, key.encode(), value, self.now_us)

    def write(self, fact: PayoutFact, author: Author | None = None) -> None:
        """Append an owner fact as an owner does, and fold it."""
        key, value = encode_payout_fact(fact, author or Author(self.app, "log-1"))
        self.driver.send(self.driver.topics.user_log, key, value, self.now_us)
        self.run()

    def fund(self, amount: int = 100_000, user_id: str = "u1") -> None:
        """Give a user available money, by an adjustment that two people agree on."""
        name = f"fund-{next(self._numbers)}"
        members = {"adjustment_id": name, "amount": amount, "reason_code": "goodwill", "reason": "test"}
        self.send("adjustment.propose", user_id, by="key:one", **members)
        self.send("adjustment.approve", user_id, by="key:two", adjustment_id=name, reason="test")

    def request(self, own_id: str = "w1", amount: int = 1_000, user_id: str = "u1", **members: Any) -> int:
        """Request a withdrawal; return the offset."""
        whole = {"withdrawal_id": own_id, "amount": amount, "channel": "bank", "payee_id": "p1"} | members
        return self.send("withdrawal.request", user_id, **{"by": "user:u1"} | whole)

    def judge(self, verdict: str, own_id: str = "w1", user_id: str = "u1", by: str = "key:ops") -> int:
        """Approve, reject or cancel a withdrawal; return the offset."""
        return self.send(f"withdrawal.{verdict}", user_id, by=by, withdrawal_id=own_id, reason="because")

    def attempt(
        self,
        number: int = 1,
        own_id: str = "w1",
        user_id: str = "u1",
        channel: str = "bank",
        export_id: str = "",
    ) -> None:
        """Write an attempt."""
        self.write(PayoutAttempt(user_id, own_id, number, channel, "identity", export_id, self.now_us))

    def result(
        self, status: Any, number: int = 1, own_id: str = "w1", user_id: str = "u1", **more: Any
    ) -> None:
        """Write a result, with the right amount."""
        known = self.withdrawal(own_id, user_id)
        amount = more.pop("amount", 0 if known is None else known.net)
        texts = {"code": "", "channel_ref": "", "needs_user_url": ""} | more
        self.write(PayoutResult(user_id, own_id, number, status, amount, **texts, at=self.now_us))

    def append_result(self, status: Any, recorded_at: int) -> None:
        """Write a result of now into a record of another moment."""
        known = self.withdrawal()
        assert known is not None
        fact = PayoutResult("u1", "w1", 1, status, known.net, "", "", "", at=self.now_us)
        self.now_us = recorded_at
        self.write(fact)

    def withdrawal(self, own_id: str = "w1", user_id: str = "u1") -> Withdrawal | None:
        """Return a withdrawal of the table."""
        return WITHDRAWAL.read(self.store, WITHDRAWAL.key(user_id, own_id))

    def state(self, own_id: str = "w1", user_id: str = "u1") -> str:
        """Return the state of a withdrawal; "" for an unknown one."""
        found = self.withdrawal(own_id, user_id)
        return "" if found is None else found.state

    def reason(self, own_id: str = "w1") -> str:
        """Return why a withdrawal was refused, rejected or cancelled."""
        found = self.withdrawal(own_id)
        assert found is not None
        return found.reason

    def adjustment(self, own_id: str, user_id: str = "u1") -> Adjustment | None:
        """Return an adjustment of the table."""
        return ADJUSTMENT.read(self.store, ADJUSTMENT.key(user_id, own_id))

    def opening(self, own_id: str, user_id: str = "u1") -> OpeningRecord | None:
        """Return an opening of the table."""
        return OPENING.read(self.store, OPENING.key(user_id, own_id))

    def head(self, user_id: str = "u1") -> Head:
        """Return the head of a user's account."""
        return HEAD.read(self.store, HEAD.key(user_id)) or Head()

    def summary(self, user_id: str = "u1") -> MoneySummary:
        """Return the user's summary of money out."""
        return SUMMARY.read(self.store, SUMMARY.key(user_id)) or MoneySummary()

    def balance(self, user_id: str = "u1") -> Balance:
        """Return the balance at the bank's moment."""
        return balance_on(self.head(user_id), day_of(self.now_us))

    def money(self, user_id: str = "u1") -> tuple[int, int, int]:
        """Return available, frozen, withdrawn."""
        balance = self.balance(user_id)
        return balance.available, balance.frozen, balance.withdrawn

    def entries(self, user_id: str = "u1") -> list[Entry]:
        """Return the user's ledger, oldest first."""
        found = [ENTRY.read(self.store, ENTRY.key(user_id, n)) for n in range(self.head(user_id).entry_count)]
        return [entry for entry in found if entry is not None]

    def alarm(self, channel: str = "bank") -> Alarm | None:
        """Return the alarm of a channel."""
        return ALARM.read(self.store, ALARM.key(channel))

    def refusal(self, offset: int, user_id: str = "u1") -> str:
        """Return why the fact at the offset changed nothing, "" if it was not refused."""
        return dict(self.summary(user_id).refusals).get(offset, "")

    def decisions(self) -> list[Decision]:
        """Return the decisions in the log."""
        found = [decode_owner_fact(each.value, each.key, self.app) for each in self.log if is_owners(each)]
        facts = [each.fact for each in found if isinstance(each, AuthoredFact)]
        return [fact for fact in facts if isinstance(fact, Decision)]


def is_owners(record: LogRecord) -> bool:
    """Return whether a record is an owner fact."""
    return (record.value or b"").startswith(b'{"schema":"owner-fact/1"')
