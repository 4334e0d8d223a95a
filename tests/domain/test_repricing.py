"""A repricing chooses rule, level and inviters of a user's own lines anew, as of its place in the log.

See docs/spec/rules.md#repricing. Histories in any order are held against tests/oracle/history.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from agents.accounts import AccountsStage
from rebate_app.domain.account import repricing
from rebate_app.domain.account.attribution_account import MOVES_MAX
from rebate_app.domain.account.share import known_pricing
from rebate_app.metrics.catalogue import IGNORED_REPRICES
from tests.audit.list_logs import ListLogs, audit
from tests.conftest import SEED
from tests.domain.event_lines import kinds, lines
from tests.domain.judging import Product
from tests.domain.story import (
    RECEIVED,
    RULES,
    SETTLED,
    TWO_LEVELS,
    bind,
    know,
    money,
    profile,
    rerule,
    snapshot,
)
from tests.domain.world import NOW_US, World, us
from tests.oracle import UserRecord, make_feed
from tests.oracle.history import History
from tests.oracle.line_state import Document
from tests.oracle.written import reprice
from tests.topology_driver import ACCOUNTS, LINES

HISTORIES = 30
MEANWHILE = 20
LATE = "2026-06-01"


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets how many lines one record prices."""

    def set_moves_max(lines_max: int) -> None:
        monkeypatch.setattr(repricing, "MOVES_MAX", lines_max)

    return set_moves_max


def random_reprice(rng: random.Random, users: list[str], orders: list[Document]) -> UserRecord:
    """Return a repricing of some user's lines; bounds are often exactly the time of a payment."""
    paid = [text for order in orders if (text := (order.get("times") or {}).get("paid")) is not None]
    keys = sorted({f"{order['platform']}:{order['order_line_id']}" for order in orders})
    bounds = sorted(rng.sample(paid, 2), key=datetime.fromisoformat)
    if datetime.fromisoformat(bounds[0]) == datetime.fromisoformat(bounds[1]):
        bounds = [bounds[0], None]
    return reprice(
        rng.choice(users),
        lines=rng.sample(keys, rng.randint(1, len(keys))) if rng.random() < 0.3 else None,
        paid_from=bounds[0] if rng.random() < 0.3 else None,
        paid_to=bounds[1] if rng.random() < 0.3 else None,
        released=rng.random() < 0.4,
        logged=f"2026-{rng.randint(1, 7):02d}-{rng.randint(1, 28):02d}",
    )


def chosen_rules(world: World) -> dict[tuple[str, str], str | None]:
    """Return the rule version of every line for its buyer."""
    found = {}
    for _, record in world.contributions():
        effective = record.effective()
        pricing = known_pricing(record, effective)
        if effective is not None and effective[1].terms is None and pricing is not None:
            platform, _, order_line_id = record.line.partition(":")
            found[platform, order_line_id] = pricing.rule
    return found


def assert_agrees(world: World, history: History, moments: list[datetime]) -> None:
    """Compare every balance, share, owner and rule version with the oracle's, and the ledger with both."""
    oracle, product = history.oracle(), Product(world)
    for at in moments:
        assert list(product.disagreements(oracle, at)) == []
    rules = chosen_rules(world)
    for key, rule in rules.items():
        assert oracle.line(*key, moments[0])["rule_version"] == rule
    for user_id in world.users():
        assert_ledger(world, user_id, moments)
    assert all(world.stream.stages[ACCOUNTS].unfinished(store) == 0 for store in accounts_stores(world))


def assert_ledger(world: World, user_id: str, moments: list[datetime]) -> None:
    """Check that the entries in force add up to the balance at every moment."""
    entries = world.entries(user_id)
    for at in moments:
        day = (us(at) + 8 * 3_600_000_000) // 86_400_000_000
        in_force = [entry for entry in entries if entry.effective_on is None or entry.effective_on <= day]
        balance = world.balance(user_id, at)
        assert sum(entry.estimated for entry in in_force) == balance.estimated
        assert sum(entry.held for entry in in_force) == balance.held
        assert sum(entry.settled for entry in in_force) == balance.confirmed + balance.available


def accounts_stores(world: World) -> list[Any]:
    """Return the stores of the accounts."""
    return [store for (stage, _), store in world.stream.stores.items() if stage == ACCOUNTS]


class TestOracle:
    """Whatever comes in whatever order: the amounts are those of the terms chosen last."""

    @pytest.mark.parametrize("number", range(HISTORIES))
    def test_histories(self, number: int, few_at_once: Callable[[int], None]) -> None:
        """Lines, late profiles, bindings, late rules and repricings, mixed; few lines per record."""
        rng = random.Random(f"{SEED} reprice {number}")
        print(f"seed {SEED} reprice {number}")
        few_at_once(rng.choice((1, 2, 3, 250)))
        feed = make_feed(rng, rng.choice((6, 14)), rng.choice((3, 5)), implied_effective_at=True)
        world, history = World(feed.rules[:1], rng.choice((1, 2))), History(feed.rules[:1])
        steps: list[tuple[str, Any]] = [("order", order) for order in feed.orders]
        steps += [("user", record) for record in feed.users]
        steps += [("user", random_reprice(rng, feed.user_ids, feed.orders)) for _ in range(12)]
        steps += [("rules", feed.rules)]
        rng.shuffle(steps)
        steps += [("user", random_reprice(rng, feed.user_ids, feed.orders)) for _ in range(2)]
        for kind, what in steps:
            if kind == "rules":
                rerule(world, *what)
                history.know_rules(what)
            elif kind == "order":
                world.stream.send_order(what, NOW_US)
                history.order(what)
            else:
                world.stream.send_user(*what)
                history.user(what)
            world.stream.run(rng)
        assert world.stream.dead_letters == []
        assert_agrees(world, history, [max(feed.moments), *rng.sample(feed.moments, 2)])

    @pytest.mark.parametrize("number", range(MEANWHILE))
    def test_what_arrives_meanwhile(self, number: int, few_at_once: Callable[[int], None]) -> None:
        """Profiles, facts and repricings that overtake the cursors find every line repriced before them.

        Lines name their buyers and inviters keep their profiles, so that only the buyers' logs decide.
        """
        rng = random.Random(f"{SEED} meanwhile {number}")
        print(f"seed {SEED} meanwhile {number}")
        few_at_once(rng.choice((1, 2)))
        feed = make_feed(rng, 16, 2)
        orders = [named(order, feed.user_ids) for order in feed.orders]
        orders = [order for order in orders if order["kind"] != "order.claim"]
        world, history = World(feed.rules, 1), History(feed.rules)
        bosses = [profile(f"boss{n}", rng.choice(("basic", "vip", "gold")), "top") for n in range(3)]
        world.know(bosses)
        for record in bosses:
            history.user(record)
        steps: list[tuple[str, Any]] = [("order", order) for order in orders]
        steps += [("user", buyer_profile(rng, feed.user_ids)) for _ in range(14)]
        steps += [("user", random_reprice(rng, feed.user_ids, orders)) for _ in range(10)]
        rng.shuffle(steps)
        stage = world.stream.stages[ACCOUNTS]
        unfinished = 0
        for kind, what in steps:
            if kind == "order":
                world.stream.send_order(what, NOW_US)
                history.order(what)
            else:
                world.stream.send_user(*what)
                history.user(what)
            world.stream.step(LINES, 0, 1_000)
            world.stream.step(ACCOUNTS, 0, rng.randint(0, 3))
            unfinished = max(unfinished, stage.unfinished(world.stream.stores[ACCOUNTS, 0]))
        world.stream.run(rng)
        assert unfinished > 0
        assert world.stream.dead_letters == []
        assert_agrees(world, history, [max(feed.moments), *rng.sample(feed.moments, 2)])
        kept = [key for key, _ in world.stream.stores[ACCOUNTS, 0].items() if key.startswith(b"q ")]
        assert kept == []


def named(order: Document, user_ids: list[str]) -> Document:
    """Return the fact with a buyer who follows from its line alone."""
    if order["kind"] != "order.snapshot":
        return order
    return {**order, "attribution": {"user_id": user_ids[len(order["order_line_id"]) % len(user_ids)]}}


def buyer_profile(rng: random.Random, user_ids: list[str]) -> UserRecord:
    """Return a profile that concerns every payment, or begins among them."""
    since = rng.choice(("2025-01-01", "2026-01-10", "2026-02-01"))
    inviter = rng.choice((None, "boss0", "boss1", "boss2"))
    return profile(rng.choice(user_ids), rng.choice(("basic", "vip", "gold")), inviter, since)


class TestStories:
    """The mistakes for which it is there."""

    def test_profile_imported_too_late(self) -> None:
        """The line came without level and inviter; afterwards it is as if the profiles had been there."""
        world = World([TWO_LEVELS], 2)
        world.take([RECEIVED, SETTLED])
        people = [profile("u1", "vip", "boss"), profile("boss", "vip", "top"), profile("top")]
        know(world, *people)
        assert money(world, "u1", LATE) == (0, 0, 0, 995)
        know(world, reprice("u1", released=True))
        right = World([TWO_LEVELS], 2)
        right.know(people)
        right.take([RECEIVED, SETTLED])
        for user_id in ("u1", "boss", "top"):
            assert money(world, user_id, LATE) == money(right, user_id, LATE) != (0, 0, 0, 0)

    def test_wrong_inviter(self) -> None:
        """The old inviter loses his share and the next one up the chain too; the new one gets his."""
        world = World([TWO_LEVELS], 2)
        know(world, profile("u1", "basic", "wrong"), profile("wrong", "basic", "above"))
        world.take([RECEIVED, SETTLED])
        assert money(world, "wrong", LATE) == (0, 0, 0, 153)
        assert money(world, "above", LATE) == (0, 0, 0, 45)
        know(world, profile("u1", "basic", "boss"), reprice("u1", released=True))
        assert money(world, "u1", LATE) == (0, 0, 0, 995)
        assert money(world, "wrong", LATE) == money(world, "above", LATE) == (0, 0, 0, 0)
        assert money(world, "boss", LATE) == (0, 0, 0, 153)
        assert [(e.kind, e.cause, e.settled) for e in world.entries("wrong")][-1] == (
            "clawback",
            "repriced",
            -153,
        )
        assert kinds(world, "wrong") == ["line.clawed-back"]
        (taken,) = lines(world, "wrong")
        assert (taken.reason, taken.amount, taken.depth) == ("repriced", 153, 1)  # type: ignore[union-attr]

    def test_an_inviter_whose_level_was_wrong(self) -> None:
        """The inviters' terms are chosen anew from their own profiles, although the buyer's stay."""
        world = World([TWO_LEVELS], 2)
        know(world, profile("u1", "basic", "boss"))
        world.take([RECEIVED, SETTLED])
        know(world, profile("boss", "vip", "top"), reprice("u1", released=True))
        assert money(world, "boss", LATE) == (0, 0, 0, 76)
        assert money(world, "top", LATE) == (0, 0, 0, 45)

    def test_released_lines_only_with_released(self) -> None:
        """By the day of the record: the release day itself is released."""
        for logged, expected in (("2026-02-20 23:59:59", 1224), ("2026-02-21 00:00:00", 995)):
            world = World([RULES], 2)
            world.take([RECEIVED, SETTLED])
            world.know([profile("u1", "vip"), reprice("u1", logged=logged)])
            assert money(world, "u1", LATE) == (0, 0, 0, expected)
            world.know([reprice("u1", released=True, logged=logged)])
            assert money(world, "u1", LATE) == (0, 0, 0, 1224)

    def test_lines_that_come_over_an_attribution_id(self) -> None:
        """They are the user's own, and only while they are his."""
        line = snapshot("settled", "2026-01-10", 1_000, 1_000, user=None, special_id="77")
        world = World([RULES], 2)
        world.take([line])
        know(world, bind("taobao:special_id:77", "u1"))
        know(world, profile("u1", "vip"))
        assert money(world, "u1", LATE) == (0, 0, 0, 650)
        know(world, bind("taobao:special_id:77", "u2"))
        know(world, reprice("u1", released=True))
        assert money(world, "u2", LATE) == (0, 0, 0, 650)
        know(world, bind("taobao:special_id:77", "u1"))
        assert money(world, "u1", LATE) == (0, 0, 0, 650)
        know(world, reprice("u1", lines=["taobao:1"], released=True))
        assert money(world, "u1", LATE) == (0, 0, 0, 800)

    def test_entries_and_events(self) -> None:
        """Entries name reason and rule version, money that is taken back makes an event, once."""
        world = World([RULES], 2)
        know(world, profile("u1", "vip"))
        world.take([RECEIVED, SETTLED])
        newer = (
            RULES.replace('"r1"', '"r2"').replace("2026-01-01T00", "2026-01-02T00").replace("8000", "7000")
        )
        rerule(world, RULES, newer)
        version = world.head("u1").version
        know(world, reprice("u1", released=True))
        entry = world.entries("u1")[-1]
        assert (entry.cause, entry.kind, entry.rule, entry.role) == ("repriced", "clawback", "r2", "buyer")
        assert (entry.settled, entry.modified_at) == (1071 - 1224, None)
        assert world.head("u1").version == version + 1
        assert kinds(world, "u1")[-1] == "line.clawed-back"
        before = len(kinds(world, "u1"))
        know(world, reprice("u1", released=True))
        assert len(kinds(world, "u1")) == before
        assert world.entries("u1")[-1] == entry

    def test_a_user_that_nobody_knows(self) -> None:
        """There is nothing to price, and no account comes of it; it is counted."""
        world = World([RULES], 2)
        know(world, reprice("nobody"))
        assert world.users() == []
        assert world.stream.dead_letters == []
        assert world.stream.counted[IGNORED_REPRICES.name] == 1


NEWER = RULES.replace('"r1"', '"r2"').replace("2026-01-01T00", "2026-01-02T00").replace("6500", "5000")


class TestLargeAccounts:
    """More lines than one record prices."""

    @pytest.mark.parametrize("known_before", [True, False])
    def test_a_version_that_is_activated_meanwhile_does_not_count(
        self, known_before: bool, few_at_once: Callable[[int], None]
    ) -> None:
        """Cursors, and facts that overtake them, price by what was known at the fact."""
        few_at_once(1)
        world = World([RULES], 1)
        orders = [snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{n}") for n in range(4)]
        world.take(orders)
        if known_before:
            rerule(world, NEWER)
        world.stream.send_user(*reprice("u1", logged=LATE))
        world.stream.step(ACCOUNTS, 0, 1)
        rerule(world, NEWER)
        world.take([snapshot("paid", "2026-01-05", 2_000, line="taobao:3")])
        expected = 500 if known_before else 650
        assert set(chosen_rules(world).values()) == {"r2" if known_before else "r1"}
        assert money(world, "u1", LATE)[0] == 5 * expected
        know(world, reprice("u1", logged=LATE))
        assert money(world, "u1", LATE)[0] == 5 * 500
        assert audit(ListLogs(world.stream)).differences == 0

    def test_in_steps_and_only_once(self) -> None:
        """Cursors continue; copies of them, and of the fact, change nothing."""
        count = 2 * MOVES_MAX + 7
        world = World([RULES], 1)
        world.take([snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{n}") for n in range(count)])
        know(world, profile("boss"), profile("u1", "vip", "boss"))
        stage, store = world.stream.stages[ACCOUNTS], world.stream.stores[ACCOUNTS, 0]
        assert isinstance(stage, AccountsStage)
        version = world.head("u1").version
        sent = world.stream.send_user(*reprice("u1", logged=LATE))
        world.stream.step(ACCOUNTS, 0, 1)
        assert stage.unfinished(store) == 1
        assert money(world, "u1", LATE)[0] == MOVES_MAX * 800 + (count - MOVES_MAX) * 650
        log = world.stream.log(sent.topic, 0)
        cursors = [record for record in log if b'"cursor"' in (record.value or b"")]
        assert len(cursors) == 1
        world.stream.run()
        assert stage.unfinished(store) == 0
        assert money(world, "u1", LATE)[0] == count * 800
        assert money(world, "boss", LATE)[0] == count * 100
        assert world.head("u1").version == version + 3
        entries = world.head("u1").entry_count
        for record in cursors:
            world.stream.send(sent.topic, record.key or b"", record.value, NOW_US)
        world.stream.run()
        assert world.head("u1").entry_count == entries
        assert sum(b'"cursor"' in (record.value or b"") for record in log) == 3

    def test_profiles_that_are_kept_outlive_a_repricing_that_ends_early(
        self, few_at_once: Callable[[int], None]
    ) -> None:
        """The later repricing needs them for fewer lines than the earlier one, which goes on with them."""
        few_at_once(1)
        world = World([RULES], 1)
        know(world, profile("u1", "vip"))
        world.take([snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{n}") for n in range(3)])
        for fact in (reprice("u1"), reprice("u1", lines=["taobao:0", "taobao:1"]), profile("u1", "basic")):
            world.stream.send_user(fact[0], NOW_US)
        world.stream.step(ACCOUNTS, 0, 3)
        world.stream.run()
        assert money(world, "u1", LATE) == (3 * 800, 0, 0, 0)

    def test_a_line_that_matches_only_later_is_left_alone(self, few_at_once: Callable[[int], None]) -> None:
        """At the place of the fact it was paid too early; what it is paid at now was priced since."""
        few_at_once(1)
        world = World([RULES], 1)
        know(world, profile("u1", "vip"))
        world.take([snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{n}") for n in range(2)])
        world.stream.send_user(reprice("u1", paid_from="2026-02-01")[0], NOW_US)
        world.stream.send_user(profile("u1", "basic")[0], NOW_US)
        paid_again = snapshot("paid", "2026-02-06", 1_000, line="taobao:1", paid="2026-02-05")
        world.stream.send_order(paid_again, NOW_US)
        world.stream.step(LINES, 0, 1)
        world.stream.step(ACCOUNTS, 0, 3)
        world.stream.run()
        assert money(world, "u1", LATE) == (800 + 650, 0, 0, 0)

    def test_a_stale_target_brings_the_bonus_of_a_repricing(self, few_at_once: Callable[[int], None]) -> None:
        """It changes nothing itself, and what is repriced before it is sent on to both inviters."""
        few_at_once(1)
        world = World([RULES], 1)
        know(world, profile("u1", "basic", "wrong"))
        world.take([snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{n}") for n in range(2)])
        topic = world.stream.topics.user_log
        stale = next(record for record in world.stream.log(topic, 0) if b"taobao:1" in (record.value or b""))
        world.take([snapshot("paid", "2026-01-05", 1_000, line="taobao:1")])
        know(world, profile("u1", "basic", "boss"))
        world.stream.send_user(reprice("u1")[0], NOW_US)
        world.stream.send(topic, stale.key or b"", stale.value, NOW_US)
        world.stream.step(ACCOUNTS, 0, 2)
        world.stream.run()
        assert money(world, "boss", LATE) == (200, 0, 0, 0)
        assert money(world, "wrong", LATE) == (0, 0, 0, 0)

    def test_a_repricing_that_passes_a_line_over_leaves_it_to_earlier_ones(
        self, few_at_once: Callable[[int], None]
    ) -> None:
        """One that names a line, and does not match it, comes to it first."""
        few_at_once(1)
        world = World([RULES], 1)
        world.take([snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{n}") for n in range(3)])
        know(world, profile("u1", "vip"))
        world.stream.send_user(reprice("u1")[0], NOW_US)
        world.stream.send_user(reprice("u1", lines=["taobao:2"], paid_from="2026-02-01")[0], NOW_US)
        world.stream.step(ACCOUNTS, 0, 2)
        world.stream.run()
        assert money(world, "u1", LATE) == (3 * 800, 0, 0, 0)

    def test_a_cursor_that_comes_twice(self, few_at_once: Callable[[int], None]) -> None:
        """Only one of them continues, so that each record still prices so many lines."""
        few_at_once(1)
        world = World([RULES], 1)
        world.take([snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{n}") for n in range(4)])
        world.stream.send_user(reprice("u1")[0], NOW_US)
        world.stream.step(ACCOUNTS, 0, 1)
        log = world.stream.log(world.stream.topics.user_log, 0)
        world.stream.send(log[-1].topic, log[-1].key or b"", log[-1].value, NOW_US)
        world.stream.run()
        assert sum(b'"cursor"' in (record.value or b"") for record in log) == 3 + 1

    def test_too_many_under_way(self, few_at_once: Callable[[int], None]) -> None:
        """More than REPRICINGS_MAX are refused with a stable code, and the others go on."""
        few_at_once(1)
        world = World([RULES], 1)
        world.take([snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{n}") for n in range(60)])
        for _ in range(repricing.REPRICINGS_MAX + 2):
            world.stream.send_user(*reprice("u1", logged=LATE))
        world.stream.step(ACCOUNTS, 0, repricing.REPRICINGS_MAX + 2)
        assert world.dead_reasons() == ["limit-lines", "limit-lines"]
        know(world, profile("u1", "vip"))
        world.stream.run()
        assert world.stream.stages[ACCOUNTS].unfinished(world.stream.stores[ACCOUNTS, 0]) == 0
        assert money(world, "u1", LATE) == (60 * 650, 0, 0, 0)
        assert money(world, "u1", LATE) == (sum(e.estimated for e in world.entries("u1")), 0, 0, 0)
