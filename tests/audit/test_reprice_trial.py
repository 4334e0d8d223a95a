"""A trial of a repricing gives the differences that the repricing then makes, inviters included."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.accounts import AccountsStage
from rebate_app.audit.reprice_trial import BUCKETS, RepriceTrial, Trial
from rebate_app.domain.account import repricing
from tables.accounts import ACTIVATIONS_KEY, USED_RULE
from tests.audit.list_logs import ListLogs, audit
from tests.conftest import SEED
from tests.domain.world import World, book_of
from tests.oracle import Oracle, UserRecord
from tests.oracle.history import History
from tests.oracle.line_state import Document
from tests.oracle.written import RULES, TWO_LEVELS, bind, profile, reprice, snapshot
from tests.topology_driver import ACCOUNTS, TopologyDriver

WORLDS = 12
USERS = [f"u{number}" for number in range(6)]
IDS = [bind("taobao:special_id:77", "u1"), bind("jd:special_id:77", "u2")]
NOW_MS = 1_785_000_000_000
NOW = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=NOW_MS)


def try_out(stream: TopologyDriver, document: dict[str, Any]) -> Trial:
    """Return what a repricing would change; `user_id` None: for everybody."""
    stage = stream.stages[ACCOUNTS]
    assert isinstance(stage, AccountsStage)
    trial = RepriceTrial(stage, stream.partitions, ListLogs(stream), document=document, now_ms=NOW_MS)
    return asyncio.run(trial.run())


def differences(trial: Trial) -> dict[str, tuple[int, ...]]:
    """Return the differences by user."""
    return {change.user_id: change.difference for change in trial.changes}


def expected(before: Oracle, after: Oracle) -> dict[str, tuple[int, ...]]:
    """Return the oracle's differences by user, without those of 0."""
    found = {}
    for user_id in before.users() | after.users():
        old, new = before.balance(user_id, NOW), after.balance(user_id, NOW)
        difference = tuple(new[name] - old[name] for name in BUCKETS)
        if any(difference):
            found[user_id] = difference
    return found


def random_profile(rng: random.Random) -> UserRecord:
    """Return a profile from before all payments, or from among them."""
    since = rng.choice(("2025-01-01", "2026-01-03"))
    return profile(rng.choice(USERS), rng.choice(("basic", "vip")), rng.choice([None, *USERS]), since)


def random_line(rng: random.Random, number: int) -> Document:
    """Return a line of some user, named or by an attribution id, before or after its settlement."""
    status, user = rng.choice(("paid", "settled")), rng.choice([None, *USERS])
    return snapshot(
        status,
        "2026-01-10",
        rng.randint(500, 5_000),
        rng.randint(500, 5_000),
        line=f"{rng.choice(('taobao', 'jd'))}:{number}",
        user=user,
        paid=f"2026-01-0{rng.randint(1, 5)}",
        special_id=None if user else "77",
    )


@pytest.mark.parametrize("number", range(WORLDS))
def test_differences_are_the_oracles(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For one user and for all; the real repricing makes the same, and the audit of it finds nothing."""
    rng = random.Random(f"{SEED} trial {number}")
    print(f"seed {SEED} trial {number}")
    monkeypatch.setattr(repricing, "MOVES_MAX", rng.choice((2, 250)))
    world, history = World([TWO_LEVELS], 3), History([TWO_LEVELS])
    people = [random_profile(rng) for _ in range(2 * len(USERS))]
    orders = [random_line(rng, line) for line in range(60)]
    steps: list[Any] = [*people[: len(USERS)], *orders[:40], *IDS, *people[len(USERS) :], *orders[40:]]
    for what in steps:
        if isinstance(what, tuple):
            history.user(what)
            world.stream.send_user(*what)
        else:
            history.order(what)
            world.stream.send_order(what, NOW_MS * 1_000)
        world.stream.run(rng)
    user_id = rng.choice(USERS) if number % 3 == 0 else None
    document, _ = reprice(user_id or "", released=number % 4 != 0)
    before, kept = history.oracle(), world.snapshot()
    trial = try_out(world.stream, document | {"user_id": user_id})
    assert world.snapshot() == kept
    for each in USERS if user_id is None else [user_id]:
        fact = (document | {"user_id": each}, NOW_MS * 1_000)
        history.user(fact)
        world.stream.send_user(*fact)
    world.stream.run(rng)
    assert differences(trial) == expected(before, history.oracle())
    for change in trial.changes:
        assert change.after == world.money(change.user_id, NOW)[:2] + world.money(change.user_id, NOW)[2:]
    assert trial.total() == tuple(map(sum, zip((0, 0, 0, 0), *differences(trial).values(), strict=True)))
    assert audit(ListLogs(world.stream)).differences == 0
    assert trial.changes or user_id is not None


NEWER = RULES.replace('"r1"', '"r2"').replace("2026-01-01T00", "2026-01-02T00").replace("6500", "5000")


@pytest.mark.parametrize("by_older_release", [True, False])
def test_versions_that_the_partition_does_not_know_yet(by_older_release: bool) -> None:
    """Its owner notes them before it folds the fact; so with a table of an older release."""
    world = World([RULES], 1)
    world.take([snapshot("paid", "2026-01-04", 1_000, 0, 0, line=f"taobao:{n}") for n in range(3)])
    world.stream.catalogue.add(book_of([NEWER]).versions[0])
    document, _ = reprice("u1")
    store = world.stream.stores[ACCOUNTS, 0]
    if by_older_release:
        store.apply({ACTIVATIONS_KEY: None, USED_RULE.key("r1"): b'"r1"'}, store.position + 2)
    trial = try_out(world.stream, document)
    assert differences(trial) == {"u1": (3 * (500 - 650), 0, 0, 0)}
    world.stream.send_user(document, NOW_MS * 1_000)
    world.stream.run()
    assert world.money("u1", NOW)[0] == trial.changes[0].after[0] == 3 * 500


def test_nobody_and_nothing() -> None:
    """Without a table, and for a user that nobody knows, nothing changes."""
    world = World([], 2)
    document, _ = reprice("nobody")
    assert try_out(world.stream, document) == Trial([], 1, 0)
    assert try_out(world.stream, document | {"user_id": None}) == Trial([], 0, 0)
