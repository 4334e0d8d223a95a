"""The toy fold as stages of our own engine: what the throughput of the engine itself is measured with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from msgspec.json import encode

from agents.accounts import NAME as ACCOUNTS
from agents.order_lines import NAME as ORDER_LINES
from bench.toy import (
    Account,
    decode_account,
    decode_change,
    decode_line,
    decode_order,
    fold_change,
    fold_order,
)
from rebate_app.settings import Settings
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.build import Build
from rebate_app.streams.state.store import Store
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.topics import Topics


class ToyLines(Struct, frozen=True):
    """Stage 1 of the toy."""

    source: str
    changelog: str
    user_log: str
    name: str = ORDER_LINES

    def processor(self, transaction: StateTransaction, collector: RecordCollector) -> ToyLinesSession:
        """Return the work on one batch."""
        return ToyLinesSession(self.user_log, transaction, collector)

    builds: ClassVar[Sequence[Build]] = ()

    def unfinished(self, store: Store) -> int:
        """Return 0: nothing is sent to itself."""
        del store
        return 0


class ToyLinesSession:
    """The work on one batch of orders."""

    def __init__(self, user_log: str, transaction: StateTransaction, collector: RecordCollector) -> None:
        self._user_log = user_log
        self._transaction = transaction
        self._collector = collector

    def take(self, record: Record) -> None:
        """Fold one order."""
        key = record.key or b""
        found = self._transaction.get(key)
        folded = fold_order(None if found is None else decode_line(found), decode_order(record.value or b""))
        if folded is not None:
            line, change = folded
            self._transaction.put(key, encode(line))
            self._collector.send(self._user_log, line.user_id.encode(), encode(change), record.timestamp)

    def finish(self) -> None:
        """Do nothing: every line was written."""


class ToyAccounts(Struct, frozen=True):
    """Stage 2 of the toy."""

    source: str
    changelog: str
    name: str = ACCOUNTS

    def processor(self, transaction: StateTransaction, collector: RecordCollector) -> ToyAccountsSession:
        """Return the work on one batch."""
        del collector
        return ToyAccountsSession(transaction)

    builds: ClassVar[Sequence[Build]] = ()

    def unfinished(self, store: Store) -> int:
        """Return 0: nothing is sent to itself."""
        del store
        return 0


class ToyAccountsSession:
    """The work on one batch of the user log; an account is decoded and encoded once a batch."""

    def __init__(self, transaction: StateTransaction) -> None:
        self._transaction = transaction
        self._accounts: dict[bytes, Account] = {}

    def take(self, record: Record) -> None:
        """Fold one message."""
        key = record.key or b""
        account = self._accounts.get(key)
        if account is None:
            found = self._transaction.get(key)
            account = self._accounts[key] = Account() if found is None else decode_account(found)
        fold_change(account, decode_change(record.value or b""))

    def finish(self) -> None:
        """Write every account that changed."""
        for key, account in self._accounts.items():
            self._transaction.put(key, encode(account))


def toy_stages(settings: Settings) -> tuple[ToyLines, ToyAccounts]:
    """Return both stages, on the product's own topics."""
    topics = Topics.of(settings)
    lines = ToyLines(source=topics.orders, changelog=topics.order_lines.changelog, user_log=topics.user_log)
    return lines, ToyAccounts(source=topics.user_log, changelog=topics.accounts.changelog)
