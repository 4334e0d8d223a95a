"""The law of money: what everybody has is a function of the set of facts, and the oracle's.

See docs/spec/money.md#law.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.feed_runs import disagreements, is_profile, live
from tests.domain.judging import Product
from tests.domain.world import Document, World, us
from tests.oracle import Feed, Oracle, make_feed

FULL = os.environ.get("REBATE_CHAOS") == "full"
FEEDS = 300 if FULL else 100
HERE = 10  # lived in this process, the others in as many as there are processors
FEEDS_TIMEOUT_SECONDS = 900
ROOT = Path(__file__).parents[2]


class TestOracle:
    """The incremental fold through both stages equals the oracle, which takes all facts at once."""

    @pytest.mark.parametrize("seed", range(HERE))
    def test_every_account_line_and_id_is_the_oracles(self, seed: int) -> None:
        """In any order, with repeats, in any batches and interleaving, at any moment."""
        print(f"seed {seed}")
        assert list(disagreements(seed)) == []

    @pytest.mark.slow
    @pytest.mark.longer
    def test_many_feeds_of_two_hundred_lines(self) -> None:
        """The same, for all the other seeds of FEEDS; what disagrees is printed with its seed."""
        workers = min(os.cpu_count() or 1, 4)
        print(f"seeds {HERE} to {FEEDS - 1}")
        unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        command = [sys.executable, "-m", "tests.domain.feed_runs"]
        with ExitStack() as running:
            runs = []
            for first in range(HERE, HERE + workers):
                arguments = [*command, str(first), str(FEEDS), str(workers)]
                run = subprocess.Popen(arguments, cwd=ROOT, env=unmeasured, stdout=subprocess.PIPE, text=True)
                running.enter_context(run)
                running.callback(run.kill)
                runs.append(run)
            balances = [run.communicate(timeout=FEEDS_TIMEOUT_SECONDS)[0] for run in runs]
        assert balances == [""] * workers
        assert [run.returncode for run in runs] == [0] * workers

    @pytest.mark.parametrize("seed", range(6))
    def test_few_users_and_every_decisive_moment(self, seed: int) -> None:
        """Three users invite each other in loops and share ids; every moment that decides is asked."""
        rng = random.Random(f"few {seed}")
        feed = make_feed(rng, 40, 3, implied_effective_at=True)
        world = live(feed, rng)
        oracle = Oracle(feed.orders, feed.users, feed.rules)
        product = Product(world)
        for at in feed.moments:
            assert list(product.disagreements(oracle, at)) == [], f"seed {seed} at {at}"


def one_line(seed: int, facts_max: int) -> Feed:
    """Return a world with one line of at most so many facts."""
    for attempt in range(1_000):
        feed = make_feed(random.Random(f"line {seed} {attempt}"), 1, 3)
        if 2 <= len(feed.orders) <= facts_max:
            return feed
    raise AssertionError("no short line found")


def accounts(world: World) -> dict[str, Any]:
    """Return what everybody can see that is law: sums, shares, owners; not when and in how many steps."""
    shares = {
        (user_id, record.line): (record.posted, record.counted, record.counted_day, record.role)
        for user_id, record in world.contributions()
        if record.effective() is not None
    }
    heads = {}
    for user_id in world.users():
        head = world.head(user_id)
        counts = (head.open, head.settled_lines, head.closed)
        if any(sums := (head.estimated, head.held, head.settled, head.later, *counts)):
            heads[user_id] = sums
    ids = {}
    for attribution_id in world.attribution_ids():
        known = world.id_head(attribution_id)
        if any(balances := (known.bound, known.lines, known.claimed, known.net, known.claimed_net)):
            ids[attribution_id] = balances
    return {"shares": shares, "heads": heads, "ids": ids}


def outcome(feed: Feed, orders: list[Document]) -> dict[str, Any]:
    """Return the accounts after the feed's people and the given order facts."""
    world = World(feed.rules, partitions=2)
    world.know(feed.users)
    world.take(orders)
    return accounts(world)


class TestArrival:
    """Neither order nor repetition nor batch boundaries change what anybody has (I3)."""

    @pytest.mark.parametrize("seed", range(12))
    def test_all_permutations_of_a_short_history(self, seed: int) -> None:
        """At most five facts of one line, in every order there is."""
        feed = one_line(seed, 5)
        expected = outcome(feed, feed.orders)
        for order in permutations(feed.orders):
            assert outcome(feed, list(order)) == expected

    @pytest.mark.slow
    @given(seed=st.integers(0, 10_000), data=st.data())
    def test_random_permutations_with_repeats_of_a_long_history(self, seed: int, data: st.DataObject) -> None:
        """Up to twelve facts of one line, in any order, any of them again at any place."""
        feed = one_line(seed, 12)
        order = data.draw(st.permutations(feed.orders))
        again = data.draw(st.lists(st.tuples(st.sampled_from(feed.orders), st.integers(0, 12)), max_size=6))
        repeated = list(order)
        for document, position in again:
            repeated.insert(position, document)
        assert outcome(feed, repeated) == outcome(feed, feed.orders)

    @pytest.mark.slow
    @settings(max_examples=40)
    @given(seed=st.integers(0, 200), choices=st.randoms(use_true_random=False))
    def test_chunk_boundaries_do_not_matter(self, seed: int, choices: random.Random) -> None:
        """The same logs in other batches, partitions in another turn: the same lines and accounts."""
        feed = make_feed(random.Random(seed), 6, 4)
        expected = outcome(feed, feed.orders)
        world = World(feed.rules, partitions=2)
        world.know(filter(is_profile, feed.users))
        world.live(choices, feed.orders, [record for record in feed.users if not is_profile(record)], 9)
        assert accounts(world) == expected

    @pytest.mark.parametrize("seed", range(10))
    def test_the_same_logs_make_the_same_records_byte_for_byte(self, seed: int) -> None:
        """I7: replaying both logs in other batches reproduces every record, ledgers included."""
        rng = random.Random(seed)
        world = live(make_feed(rng, 30, 5), rng)
        replayed = World([], partitions=3)
        replayed.stream.stages = world.stream.stages
        replayed.stream.logs = {where: list(log) for where, log in world.stream.logs.items()}
        replayed.stream._deliver = lambda outgoing: None  # type: ignore[method-assign]
        replayed.stream.run(random.Random(seed + 1))
        assert replayed.snapshot() == world.snapshot()


class TestSums:
    """The head of an account is the sum of its lines, and the ledger tells every fen of it."""

    @pytest.mark.parametrize("seed", range(20))
    def test_head_sums_are_the_sums_over_lines(self, seed: int) -> None:
        """What the head says by date is what its lines say by date."""
        rng = random.Random(f"sums {seed}")
        feed = make_feed(rng, 60, 6)
        world = live(feed, rng)
        by_user: dict[str, list[Any]] = {}
        for user_id, record in world.contributions():
            by_user.setdefault(user_id, []).append(record.posted)
        for at in feed.moments:
            day = (us(at) + 8 * 3_600_000_000) // 86_400_000_000
            for user_id in world.users():
                parts = [posted.at(day) for posted in by_user.get(user_id, [])]
                estimated, held, settled = (sum(part[n] for part in parts) for n in range(3))
                balance = world.balance(user_id, at)
                assert (balance.estimated, balance.held) == (estimated, held)
                assert balance.confirmed + balance.available == settled
                assert balance.confirmed == sum(amount for _, amount in balance.maturing)

    @pytest.mark.parametrize("seed", range(20))
    def test_entries_in_force_sum_to_the_account(self, seed: int) -> None:
        """I2: entries with `effective_on` null or ≤ T sum to the account at T."""
        rng = random.Random(f"ledger {seed}")
        feed = make_feed(rng, 60, 6)
        world = live(feed, rng)
        for at in feed.moments:
            day = (us(at) + 8 * 3_600_000_000) // 86_400_000_000
            for user_id in world.users():
                in_force = [
                    e for e in world.entries(user_id) if e.effective_on is None or e.effective_on <= day
                ]
                balance = world.balance(user_id, at)
                assert sum(entry.estimated for entry in in_force) == balance.estimated
                assert sum(entry.held for entry in in_force) == balance.held
                assert sum(entry.settled for entry in in_force) == balance.confirmed + balance.available

    @pytest.mark.parametrize("seed", range(20))
    def test_entries_of_a_line_sum_to_its_share_in_the_role_it_has(self, seed: int) -> None:
        """What was given as a buyer is taken back as a buyer, whatever the user became afterwards."""
        rng = random.Random(f"roles {seed}")
        world = live(make_feed(rng, 60, 3), rng)
        booked: dict[tuple[str, str, str], list[int]] = {}
        for user_id in world.users():
            for entry in world.entries(user_id):
                sums = booked.setdefault((user_id, entry.line, entry.role), [0, 0, 0])
                if entry.effective_on is None:
                    sums[0] += entry.estimated
                    sums[1] += entry.held
                    sums[2] += entry.settled
        for user_id, record in world.contributions():
            posted = record.posted
            expected = [posted.estimated, posted.held, posted.settled]
            assert booked.pop((user_id, record.line, record.role), [0, 0, 0]) == expected
        assert all(sums == [0, 0, 0] for sums in booked.values())
