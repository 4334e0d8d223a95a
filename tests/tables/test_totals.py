"""Totals by day, and the scan that builds them and the indexes in stores that lack them.

The totals of a partition are compared with sums over its accounts, computed one account at a time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.json import encode

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.attribution_account import net_at
from rebate_app.domain.account.balance import balance_on, line_buckets
from rebate_app.domain.account.ledger import ADJUST, Amounts
from rebate_app.domain.account.posting import post
from rebate_app.domain.account.totals import (
    MoneyTotals,
    PlatformSums,
    PlatformTotals,
    Sums,
    Totals,
    TotalsChange,
    debt_steps,
)
from rebate_app.streams.state import build
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import MemoryStore
from tables import accounts, builds
from tables.accounts import HEAD, ID_HEAD, LINE
from tables.kinds import BUILT_KINDS, KINDS, kind_of
from tables.totals import read_sums, write_change
from tests.domain.event_lines import lived
from tests.domain.world import NOW_US, World
from tests.tables.test_kinds import TABLES
from tests.topology_driver import ACCOUNTS, TopologyDriver
from tests.web.facts import paid, rules, settled

SEEDS = range(3)
BUILT = {spec.name for specs in BUILT_KINDS.values() for spec in specs} | {"progress of a scan"}
#: Before everything, around the release days of feeds, after everything.
DAYS = (0, 20_440, *range(20_450, 20_760, 13), 40_000)


def by_hand(stores: list[MemoryStore], day: int) -> Sums:
    """Return the totals of some partitions from every account in them."""
    sums = Sums()
    for store in stores:
        for key, value in store.items():
            spec = kind_of(accounts.NAME, key)
            name = "" if spec is None else spec.name
            if name == "account head":
                balance = balance_on(HEAD.decode(value, key), day)
                sums.open += balance.open
                sums.settled += balance.settled
                sums.closed += balance.closed
                sums.debt += balance.debt
                for on, amount in balance.maturing:
                    sums.maturing[on] = sums.maturing.get(on, 0) + amount
            elif name == "attribution account head":
                head = ID_HEAD.decode(value, key)
                if head.bound is None:
                    sums.suspense += net_at(head.net, day) - net_at(head.claimed_net, day)
            elif name == "line of an account":
                record = LINE.decode(value, key)
                buckets = line_buckets(record.posted, day)
                platform = record.line.partition(":")[0]
                sums.platforms.setdefault(platform, PlatformSums()).add(PlatformSums(**buckets))
    return sums


def shown(sums: Sums) -> Sums:
    """Return sums without zeros."""
    sums.platforms = {name: each for name, each in sums.platforms.items() if each != PlatformSums()}
    sums.maturing = {on: amount for on, amount in sums.maturing.items() if amount}
    return sums


def stores_of(stream: TopologyDriver, stage: str = ACCOUNTS) -> list[MemoryStore]:
    """Return a stage's stores."""
    return [store for (name, _), store in stream.stores.items() if name == stage]


def check(stream: TopologyDriver) -> None:
    """Compare the kept totals with those by hand, on many days."""
    for day in DAYS:
        kept = Sums()
        for store in stores_of(stream):
            kept.add(read_sums(store, day))
        assert shown(kept) == shown(by_hand(stores_of(stream), day)), day


def records(stream: TopologyDriver) -> dict[tuple[str, int, bytes], bytes]:
    """Return every record that follows from the logs."""
    found = {}
    for (stage, partition), store in stream.stores.items():
        for key, value in store.items():
            spec = kind_of(TABLES[stage], key)
            if spec is not None and spec.from_log:
                found[stage, partition, key] = value
    return found


def age(stream: TopologyDriver) -> None:
    """Take from every store what a version without these kinds would not have written."""
    for (stage, _), store in stream.stores.items():
        keys = [key for key, _ in store.items()]
        gone = {key: None for key in keys if (spec := kind_of(TABLES[stage], key)) and spec.name in BUILT}
        assert gone
        store.apply(gone, store.position)


class TestKept:
    """Totals that are kept as facts come."""

    @pytest.mark.parametrize("seed", SEEDS)
    def test_they_are_the_sums_over_all_accounts(self, seed: int) -> None:
        """For random feeds, bindings and interleavings, on many days."""
        world = lived(seed, 1)
        check(world.stream)
        assert by_hand(stores_of(world.stream), 20_500).total != PlatformSums()

    def test_a_record_does_not_depend_on_the_order_of_what_was_added(self) -> None:
        """Platforms and days are in order, and what cancels out is gone."""
        amounts = [("taobao", 5, 1), ("jd", 6, 2), ("pdd", 5, 3), ("jd", 5, 4), ("pdd", 5, -3)]
        encoded = set()
        for order in itertools.permutations(amounts):
            total = Totals()
            for platform, from_day, amount in order:
                one = Totals(platforms={platform: PlatformTotals(settled={from_day: amount})})
                total.add(one)
            encoded.add(encode(total))
        assert encoded == {b'[2,{"jd":[0,0,{"5":4,"6":2}],"taobao":[0,0,{"5":1}]},0,0,0,0,0,0,0,0,0]'}

    def test_records_do_not_depend_on_batches(self) -> None:
        """The same logs in batches of one record and of thirty leave the same bytes."""
        world = lived(1, 1)
        for size in (1, 30):
            again = World([], partitions=world.stream.partitions)
            again.stream = TopologyDriver(world.stream.partitions, world.rules)
            for place, log in world.stream.logs.items():
                again.stream.logs[place] = list(log)
            fold_all(again.stream, size)
            assert records(again.stream) == records(world.stream)


def fold_all(stream: TopologyDriver, size: int) -> None:
    """Fold every log from its beginning; what is sent is in the logs already."""
    stream._deliver = lambda outgoing: None  # type: ignore[method-assign]
    stream.run(lambda works: (works[0], min(size, works[0].waiting)))


class TestDebt:
    """Debts, which are not linear: with money that left, as withdrawals will take it."""

    @pytest.mark.parametrize("seed", range(20))
    def test_steps_are_the_debt_on_every_day(self, seed: int) -> None:
        """For accounts with amounts of both signs, settled and released on any day."""
        rng, head = random.Random(seed), Head()
        for _ in range(rng.randrange(1, 8)):
            on = rng.choice([None, rng.randrange(10)])
            amount, release = rng.randrange(-50, 50), rng.randrange(12)
            amounts = Amounts(settled=0 if on is not None else amount, on=on, release_on=release)
            if on is not None:
                amounts = Amounts(on=on, later_settled=amount, release_on=release)
            post(head, ADJUST, amounts, (0, "x", None))
        for day in range(-1, 14):
            owed = sum(step for on, step in debt_steps(head).items() if on <= day)
            assert owed == balance_on(head, day).debt, (day, head)

    def test_the_sum_over_users_is_exact(self) -> None:
        """One user's credit does not pay another one's debt, on no day, however postings interleave."""
        rng, store = random.Random(7), MemoryStore()
        heads = [Head() for _ in range(5)]
        for _ in range(60):
            transaction, change = StateTransaction(store), TotalsChange()
            for head in rng.sample(heads, 2):
                before = debt_steps(head)
                amounts = Amounts(settled=rng.randrange(-90, 90), release_on=rng.randrange(100))
                post(head, ADJUST, amounts, (0, "x", None))
                change.add_debt(before, -1)
                change.add_debt(debt_steps(head), +1)
                change.add_amounts("", amounts)
            write_change(transaction, change)
            store.apply(transaction.changes, 0)
            for day in (*range(0, 100, 9), 99):
                sums = read_sums(store, day)
                assert sums.debt == sum(balance_on(head, day).debt for head in heads)
                assert sums.total.available == sum(balance_on(head, day).available for head in heads)

    @pytest.mark.parametrize("seed", range(5))
    def test_the_view_keeps_debts_of_users_who_were_paid_out(self, seed: int) -> None:
        """Batches that take money from several users, several times each, through the tables' own view."""
        rng, store = random.Random(seed), MemoryStore()
        for _ in range(25):
            transaction = StateTransaction(store)
            view = accounts.AccountsView(transaction)
            for _ in range(rng.randrange(1, 9)):
                records = view.user(f"u{rng.randrange(4)}")
                amounts = Amounts(settled=rng.randrange(-90, 90), release_on=rng.randrange(100))
                records.move_amounts(amounts)
                post(records.head(), ADJUST, amounts, (0, "x", None))
            view.flush()
            store.apply(transaction.changes, 0)
            for day in (0, 30, 60, 99):
                assert read_sums(store, day).debt == by_hand([store], day).debt
        assert read_sums(store, 99).debt > 0

    def test_what_cancels_out_leaves_no_record(self) -> None:
        """Days and blocks without a difference are gone, and days of one block may cancel each other out."""
        store = MemoryStore()
        days = [(5, 40), (6, -40), (5, -40), (6, 40)]
        for number, (day, amount) in enumerate(days, 1):
            transaction, change = StateTransaction(store), TotalsChange()
            change.add_amounts("taobao", Amounts(settled=amount, release_on=day))
            write_change(transaction, change)
            store.apply(transaction.changes, 0)
            assert read_sums(store, 5).total.available == sum(a for on, a in days[:number] if on <= 5)
        assert len(store) == 0


class TestScan:
    """What a store of an older version gets."""

    @pytest.mark.parametrize("seed", SEEDS)
    def test_it_builds_what_the_folds_would_have_kept(
        self, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Scans in small steps, with batches in between that change accounts before and behind them."""
        monkeypatch.setattr(build, "VISITS_MAX", 7)
        monkeypatch.setattr(build, "KEYS_AT_ONCE", 3)
        monkeypatch.setattr(builds, "INVITERS_AT_ONCE", 1)
        expected = lived(seed, 1).stream
        rng, stream = random.Random(seed), TopologyDriver(expected.partitions, lived(seed, 1).rules)
        for place, log in expected.logs.items():
            stream.logs[place] = list(log)
        stream._deliver = lambda outgoing: None  # type: ignore[method-assign]
        half = {where: stream.log(stream.stages[where[0]].source, where[1]) for where in stream.stores}
        for (stage, partition), log in half.items():
            stream.step(stage, partition, max(1, len(log) // 2))
        age(stream)
        places, steps, between = list(stream.stores), 0, 0
        while True:
            ongoing = [place for place in places if stream.build_step(*place)]
            steps += len(ongoing)
            for place in rng.sample(places, 2):
                between += bool(ongoing) and stream.done[place] < len(half[place])
                stream.step(*place, rng.randrange(1, 4))
            if not ongoing:
                break
        assert steps > 3 * len(places)
        assert between > 3
        stream.run(rng)
        check(stream)
        assert records(stream) == records(expected)

    @pytest.mark.parametrize("visits", range(12))
    def test_a_fact_changes_what_is_counted_and_nothing_else(
        self, visits: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The scan stops after any line of any user; then every line changes, and new ones come.

        Counted lines move the totals, all others are left to the scan: none is counted twice or left out.
        """
        monkeypatch.setattr(build, "VISITS_MAX", 1)
        stream, at = TopologyDriver(1, rules()), NOW_US
        names = [(f"u{number % 3}", f"{number}") for number in range(9)]

        def send(make: Callable[..., dict[str, Any]], lines: list[tuple[str, str]]) -> None:
            for user, line in lines:
                stream.send_order(make(line_id=line, attribution={"user_id": user}), at)
            stream.send_order(make(line_id="suspended", attribution={"pid": "mm_1_2_3"}), at)
            stream.run()

        send(paid, names)
        age(stream)
        invitees, _ = stream.stages[ACCOUNTS].builds
        while not build.read_progress(invitees.name, invitees.is_fresh, stream.stores[ACCOUNTS, 0]).done:
            stream.build_step(ACCOUNTS, 0)
        for _ in range(visits):
            assert stream.build_step(ACCOUNTS, 0)
        send(settled, [*names, *((f"u{number}", f"new{number}") for number in range(-1, 4))])
        while stream.build_step(ACCOUNTS, 0):
            pass
        check(stream)

    def test_an_empty_store_needs_none(self) -> None:
        """Its first batch notes that everything is kept from the beginning."""
        stream = lived(0, 1).stream
        for (stage, partition), store in stream.stores.items():
            assert build.next_build(stream.stages[stage].builds, store) is None
            assert not stream.build_step(stage, partition)
            assert len([key for key, _ in store.items() if key.startswith(b"B ")]) == len(
                stream.stages[stage].builds
            )

    def test_a_step_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It writes at most RECORDS_MAX records beside the progress; then the next one goes on."""
        monkeypatch.setattr(build, "RECORDS_MAX", 5)
        stream = lived(0, 1).stream
        age(stream)
        for (stage, _), store in stream.stores.items():
            while (found := build.next_build(stream.stages[stage].builds, store)) is not None:
                step = build.BuildStep(found, store)
                assert step.run(60.0)
                step.finish()
                assert len(step.transaction.changes) <= 5 + 10  # the last visit may write several
                store.apply(step.transaction.changes, 0)
        check(stream)

    def test_every_built_kind_has_a_row(self) -> None:
        """The names of progress records are those of the builds."""
        names = {each.name for each in (*builds.ACCOUNTS_BUILDS, *builds.ORDER_LINES_BUILDS)}
        assert names == set(BUILT_KINDS)
        assert all(spec in KINDS.specs for specs in BUILT_KINDS.values() for spec in specs)


def test_no_money_makes_no_day() -> None:
    """A booking that moves none of a kind leaves no empty record behind."""
    change = TotalsChange()
    change.add_money(MoneyTotals())
    assert change.days == {}
