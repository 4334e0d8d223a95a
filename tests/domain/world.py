"""A small world: rules, people and order facts through the real stages, read from the tables.

It gives balances, shares, owners, attribution ids and ledgers at any moment.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.rule_activation import activations_of
from rebate_app.domain.account.account import AccountLine, Head, chain_of, value_of
from rebate_app.domain.account.attribution_account import IdHead, IdLine
from rebate_app.domain.account.balance import Balance, balance_on, line_buckets
from rebate_app.domain.account.ledger import Entry
from rebate_app.domain.order.line import LineState
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.domain.pricing.catalogue import Activation
from rebate_app.domain.pricing.rules import RuleBook, RuleVersion
from rebate_app.wire.rules.parsing import parse_rules
from tables.accounts import ENTRY, HEAD, ID_HEAD, ID_LINE, LINE
from tables.kinds import is_order_line
from tables.order_lines import LINE as ORDER_LINE
from tests.oracle import UserRecord
from tests.topology_driver import ACCOUNTS, LINES, Choose, TopologyDriver, at_random

Document = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENGINE_PREFIX = b"!"  # records of the engine's own, such as how many dead letters there were
MICROSECOND = timedelta(microseconds=1)
NOW_US = 1_785_000_000_000_000  # 2026-07: after every moment of a feed, so that no fact is implausible


def us(moment: datetime) -> int:
    """Return a moment in microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def book_of(texts: Iterable[str]) -> RuleBook:
    """Return the book of rule files that are right."""
    versions = []
    for text in texts:
        version = parse_rules(text, "rules")
        assert isinstance(version, RuleVersion), version
        versions.append(version)
    return RuleBook(versions)


class World:
    """The stages with their rules; profiles first, then order facts and bindings in any interleaving."""

    def __init__(self, rules: Iterable[str], partitions: int = 3) -> None:
        self.rules = book_of(rules)
        self.stream = TopologyDriver(partitions, self.rules)
        self._places: dict[str, int] = {}

    def know(self, users: Iterable[UserRecord]) -> None:
        """Send user facts and let them be processed."""
        for document, at_us in users:
            self.stream.send_user(document, at_us)
        self.stream.run(lambda works: (works[0], works[0].waiting))

    def take(self, orders: Iterable[Document], at_us: int = NOW_US) -> None:
        """Send order facts and let everything that follows be processed."""
        for document in orders:
            self.stream.send_order(document, at_us)
        self.stream.run(lambda works: (works[0], works[0].waiting))

    def live(
        self, rng: random.Random, orders: Sequence[Document], binds: Sequence[UserRecord], batch_max: int = 40
    ) -> None:
        """Send facts and bindings mixed at random, processing in between, in batches of any size."""
        choose = at_random(rng, batch_max)
        waiting = list(orders)
        binds_at = sorted(rng.randrange(len(waiting) + 1) for _ in binds)
        position = 0
        for number, (document, at_us) in zip(binds_at, binds, strict=True):
            position = self._send(rng, choose, waiting, position, number)
            self.stream.send_user(document, at_us)
        self._send(rng, choose, waiting, position, len(waiting))
        self.stream.run(choose)

    def _send(self, rng: random.Random, choose: Choose, orders: list[Document], start: int, end: int) -> int:
        for number in range(start, end):
            self.stream.send_order(orders[number], NOW_US)
            if rng.random() < 0.02:
                for _ in range(rng.randint(1, 6)):
                    if works := self.stream.waiting():
                        work, count = choose(works)
                        self.stream.step(work.stage, work.partition, count)
        return end

    def _store(self, stage: str, key: str) -> Any:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = self.stream.partition_of(key)
        return self.stream.stores[stage, place]

    def head(self, user_id: str) -> Head:
        """Return the head of a user's account."""
        return HEAD.read(self._store(ACCOUNTS, user_id), HEAD.key(user_id)) or Head()

    def balance(self, user_id: str, at: datetime) -> Balance:
        """Return the account of a user at a moment."""
        return balance_on(self.head(user_id), day_of(us(at)))

    def money(self, user_id: str, at: datetime) -> tuple[int, int, int, int]:
        """Return estimated, confirmed, held, available of a user at a moment."""
        found = self.balance(user_id, at)
        return found.estimated, found.confirmed, found.held, found.available

    def line(self, line: str) -> LineState | None:
        """Return what stage 1 knows of a line."""
        return ORDER_LINE.read(self._store(LINES, line), line.encode())

    def lines(self) -> Iterator[tuple[str, LineState]]:
        """Yield every line with what stage 1 knows of it."""
        for (stage, _), store in self.stream.stores.items():
            if stage == LINES:
                for key in [key for key, _ in store.items() if is_order_line(key)]:
                    state = ORDER_LINE.read(store, key)
                    assert state is not None
                    yield key.decode(), state

    def account_line(self, user_id: str, line: str) -> AccountLine | None:
        """Return what the line contributes to a user."""
        return LINE.read(self._store(ACCOUNTS, user_id), LINE.key(user_id, line))

    def entries(self, user_id: str) -> list[Entry]:
        """Return the user's ledger, oldest first."""
        store = self._store(ACCOUNTS, user_id)
        found = [ENTRY.read(store, ENTRY.key(user_id, n)) for n in range(self.head(user_id).entry_count)]
        assert None not in found
        return [entry for entry in found if entry is not None]

    def id_head(self, attribution_id: str) -> IdHead:
        """Return the head of an attribution id."""
        return ID_HEAD.read(self._store(ACCOUNTS, attribution_id), ID_HEAD.key(attribution_id)) or IdHead()

    def id_line(self, attribution_id: str, line: str) -> IdLine | None:
        """Return what an attribution id knows of a line."""
        return ID_LINE.read(self._store(ACCOUNTS, attribution_id), ID_LINE.key(attribution_id, line))

    def _names(self, prefix: str) -> Iterator[list[str]]:
        """Yield what the keys of one kind of account record name."""
        for (stage, _), store in self.stream.stores.items():
            if stage == ACCOUNTS:
                for key in dict(store.items()):
                    kind, *parts = key.decode().split(" ")
                    if kind == prefix:
                        yield parts

    def users(self) -> list[str]:
        """Return everyone who has an account."""
        return [parts[0] for parts in self._names("h")]

    def attribution_ids(self) -> list[str]:
        """Return every attribution id that has an account."""
        return [parts[0] for parts in self._names("H")]

    def contributions(self) -> list[tuple[str, AccountLine]]:
        """Return every line of every user."""
        found = [(parts[0], self.account_line(parts[0], parts[1])) for parts in self._names("l")]
        return [(user_id, record) for user_id, record in found if record is not None]

    def dead_reasons(self) -> list[str]:
        """Return the reason of every dead letter."""
        letters = self.stream.dead_letters
        return [dict(letter.headers)["rebate-error-reason"].decode() for letter in letters]

    def activations(self, partition: int) -> list[Activation]:
        """Return what a partition of the user log knows of rule versions."""
        return activations_of(self.stream.stores[ACCOUNTS, partition]).items

    def snapshot(self) -> dict[tuple[str, int], dict[bytes, bytes]]:
        """Return every record of every table, to compare worlds; not what the engine notes."""
        return {
            where: {key: value for key, value in store.items() if not key.startswith(ENGINE_PREFIX)}
            for where, store in self.stream.stores.items()
        }


def share_of(record: AccountLine, day: int) -> tuple[int, dict[str, int]] | None:
    """Return (depth, buckets) of what a line brings a user on a day, None when it is not the user's."""
    effective = record.effective()
    if effective is None:
        return None
    return len(chain_of(effective[0])), line_buckets(record.posted, day)


def net_of(record: AccountLine) -> Any:
    """Return the value from which a line's share is computed."""
    effective = record.effective()
    assert effective is not None
    return value_of(effective[1])
