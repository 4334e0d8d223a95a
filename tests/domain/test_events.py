"""What is told follows from what is booked: no turn untold, none told twice, whatever the chunks."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import asdict, replace

from agents.accounts import AccountsStage, AccountsWork
from agents.telling import Telling
from rebate_app.domain.account import Head
from rebate_app.domain.balance import balance_on
from rebate_app.domain.calendar import DAY_US, day_of
from rebate_app.domain.events import CLOSED_WHY
from rebate_app.lane.outbox import Outbox
from rebate_app.lane.stage import Record
from rebate_app.lane.store import Overlay
from rebate_app.wire.events import (
    BalanceChanged,
    Buckets,
    DeadLetterOpened,
    Event,
    LineAttributed,
    LineClawedBack,
    LineClosed,
    LineSettled,
    decode_event,
)
from rebate_app.wire.moments import format_moment, parse_moment
from tables.accounts import HEAD
from tests.list_lane import ACCOUNTS, LINES, TOPICS, ListLane, LogRecord, at_random
from tests.oracle import make_feed, shuffle_with_repeats
from tests.oracle.written import moment

from .story import PAID, RECEIVED, RULES, SETTLED, bind, know, profile, punish, refund, snapshot, told
from .world import NOW_US, Document, World, book_of, us

PARTITIONS = 2


def balances(events: Iterable[Event]) -> dict[str, list[BalanceChanged]]:
    """Return what was told of balances, by user."""
    found: dict[str, list[BalanceChanged]] = defaultdict(list)
    for event in events:
        if isinstance(event, BalanceChanged):
            found[event.user_id].append(event)
    return found


def right(head: Head, at: str) -> Buckets:
    """Return the buckets of a head at a moment, by the function that answers over HTTP."""
    balance = balance_on(head, day_of(parse_moment(at)))
    return Buckets(balance.estimated, balance.confirmed, balance.held, balance.available, 0, 0, balance.debt)


def lived(seed: int, days: int, chunk_max: int = 30) -> World:
    """Return a world after a random feed, with timestamps of so many days, in chunks of any size."""
    rng = random.Random(seed)
    feed = make_feed(rng, lines=20, users=6)
    world = World(feed.rules, PARTITIONS)
    for document, at_us in feed.users:
        world.lane.send_user(document, at_us)
    for document in shuffle_with_repeats(rng, feed.orders):
        world.lane.send_order(document, NOW_US + rng.randrange(days) * DAY_US)
    world.lane.run(at_random(rng, chunk_max))
    return world


def refolded(world: World, chunk: int, since_ms: int = -1) -> ListLane:
    """Return a lane with the same user log, folded in chunks of that size; what it sends is dropped."""
    lane = ListLane(PARTITIONS, world.rules)
    stage = lane.stages[ACCOUNTS]
    lane.stages[ACCOUNTS] = replace(stage, telling=Telling(since_ms=lambda: since_ms))
    for partition in range(PARTITIONS):
        log = list(world.lane.log(TOPICS.user_log, partition))
        for start in range(0, len(log), chunk):
            lane.logs[TOPICS.user_log, partition] = log[:]
            lane.step(ACCOUNTS, partition, min(chunk, len(log) - start))
    return lane


def heads_by_version(world: World) -> dict[str, dict[int, Head]]:
    """Return every head that the accounts ever had, folding the user log record by record."""
    lane = ListLane(PARTITIONS, world.rules)
    heads: dict[str, dict[int, Head]] = defaultdict(lambda: {0: Head()})
    for partition in range(PARTITIONS):
        store = lane.stores[ACCOUNTS, partition]
        for record in list(world.lane.log(TOPICS.user_log, partition)):
            lane.logs[TOPICS.user_log, partition] = world.lane.log(TOPICS.user_log, partition)[:]
            lane.step(ACCOUNTS, partition, 1)
            user_id = (record.key or b"").decode()
            head = HEAD.read(store, HEAD.key(user_id))
            if head is not None:
                heads[user_id].setdefault(head.version, head)
    return heads


def events_in(lane: ListLane) -> list[Event]:
    """Return what a lane has told, in the order of its partitions."""
    return [decode_event(record.value) for log in lane.told.values() for record in log]


class TestBalances:
    """A balance that changed is told once a chunk, with the buckets before it and after it."""

    @given(seed=st.integers(0, 10_000))
    @settings(max_examples=20)
    def test_the_last_told_is_the_balance(self, seed: int) -> None:
        """On one day, what was told last of a user is the balance, and each event begins where one ended."""
        world = lived(seed, days=1)
        found = balances(events_in(world.lane))
        for user_id in world.users():
            said = Buckets(0, 0, 0, 0, 0, 0, 0)
            for event in found.get(user_id, []):
                assert event.before == said
                said = event.after
            assert said == right(world.head(user_id), format_moment(NOW_US))

    @given(seed=st.integers(0, 10_000), chunk=st.integers(1, 60))
    @settings(max_examples=20)
    def test_any_chunks_tell_what_was_so(self, seed: int, chunk: int) -> None:
        """Each event has the account of its version after it, and one of an older version before it."""
        world = lived(seed, days=200)
        heads = heads_by_version(world)
        found = balances(events_in(refolded(world, chunk)))
        assert found
        for user_id, events in found.items():
            versions = [event.version for event in events]
            assert versions == sorted(set(versions))
            for event in events:
                assert event.after == right(heads[user_id][event.version], event.at)
                older = [head for version, head in heads[user_id].items() if version < event.version]
                assert event.before in [right(head, event.at) for head in older]
                assert event.before != event.after

    @given(seed=st.integers(0, 10_000), chunk=st.integers(1, 60), since_day=st.integers(0, 3))
    @settings(max_examples=20)
    def test_none_for_old_facts(self, seed: int, chunk: int, since_day: int) -> None:
        """What is told of a record is told if it is new enough, the same whenever telling began."""
        world = lived(seed, days=3)
        since_ms = (NOW_US + since_day * DAY_US) // 1_000
        lane = refolded(world, chunk, since_ms)
        assert all(record.timestamp >= since_ms for log in lane.told.values() for record in log)
        every = {event.event_id for event in events_in(refolded(world, 1))}
        told_now = events_in(lane)
        lines = {event.event_id for event in told_now if not isinstance(event, BalanceChanged)}
        new = {
            event.event_id
            for event in events_in(refolded(world, 1))
            if not isinstance(event, BalanceChanged) and parse_moment(event.at) >= since_ms * 1_000
        }
        assert lines == new <= every
        heads = heads_by_version(world)
        for user_id, events in balances(told_now).items():
            for event in events:
                assert event.after == right(heads[user_id][event.version], event.at)

    def test_once_a_user_and_chunk(self) -> None:
        """Ten lines in one chunk are one event, from nothing to the sum of all, with the newest cause."""
        world = told()
        for number in range(10):
            world.lane.send_order(snapshot("paid", "2026-01-04", 1_000, line=f"taobao:L{number}"), NOW_US)
        at_once(world)
        (event,) = balances(events_in(world.lane))["u1"]
        assert (event.before.estimated, event.after.estimated) == (0, 6_500)
        cause = event.cause
        assert (cause.kind, cause.role, cause.reason) == ("estimate", "buyer", "snapshot-paid")
        assert len(balances(events_in(world.lane))["boss"]) == 1

    def test_what_is_not_released_yet_is_confirmed(self) -> None:
        """Both sides are as of the moment of the record: before the release day money is confirmed."""
        world = told(PAID)
        world.take([SETTLED, refund("success", "2026-01-11", 700)], us(moment("2026-01-12")))
        events = balances(events_in(world.lane))["u1"]
        assert [event.after.confirmed for event in events][-1] == 540
        assert events[-1].after == right(world.head("u1"), events[-1].at)
        assert all(event.after.available == 0 for event in events)

    def test_what_comes_to_nothing_is_not_told(self) -> None:
        """A line that is paid and closed within one chunk changes no balance; its turns are told."""
        world = told()
        for document in (PAID, snapshot("closed", "2026-01-05", 0)):
            world.lane.send_order(document, NOW_US)
            world.lane.run_all([(LINES, number, 100) for number in range(2)])
        at_once(world)
        assert "u1" not in balances(events_in(world.lane))
        assert kinds(world, "u1") == ["line.attributed", "line.closed"]

    def test_facts_too_old_in_between(self) -> None:
        """A chunk that tells of new facts begins before the first of them and ends after the last."""
        world = told(people=())
        times = {"L0": -1, "L1": 0, "L2": -1, "L3": 0, "L4": -1}
        for line, days in times.items():
            world.lane.send_order(
                snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{line}"), NOW_US + days * DAY_US
            )
        since(world, NOW_US // 1_000)
        world.lane.run_all([(LINES, number, 1) for number in (0, 1) for _ in times])
        order = [json.loads(r.value or b"")["line"]["line"] for r in user_log(world, "u1")]
        at_once(world)
        (event,) = balances(events_in(world.lane))["u1"]
        new = [place for place, line in enumerate(order) if times[line.partition(":")[2]] == 0]
        assert event.before.estimated == 650 * new[0]
        assert event.after.estimated == 650 * (new[-1] + 1)
        assert event.version == new[-1] + 1


class BuggyWork(AccountsWork):
    """Does everything, and then raises, on records of the users `bad` and `worse`."""

    def take(self, record: Record) -> None:
        """Take one record, or fail on it when all is done."""
        super().take(record)
        if record.key in (b"bad", b"worse"):
            raise ZeroDivisionError

    def successor(self, overlay: Overlay, outbox: Outbox) -> AccountsWork:
        """Return work that fails likewise."""
        after = super().successor(overlay, outbox)
        after.__class__ = BuggyWork
        return after


class BuggyStage(AccountsStage, frozen=True):
    """Stage 2 with our bug in it."""

    def work(self, overlay: Overlay, outbox: Outbox) -> AccountsWork:
        """Return the work that fails."""
        return BuggyWork(self, overlay, outbox)


class TestOurBugs:
    """What was rolled back is not told, and what was folded again is told once."""

    def test_nobody_hears_of_what_was_undone(self) -> None:
        """Two bugs among one chunk: others are told as if they had not been, and of each letter once."""
        world = told(people=(), partitions=1)
        for line, user_id in enumerate(("u1", "bad", "u1", "u2", "bad", "worse", "u1")):
            document = snapshot("paid", "2026-01-04", 1_000, line=f"taobao:L{line}", user=user_id)
            world.lane.send_order(document, NOW_US)
            world.lane.run_all([(LINES, 0, 1)])
        stage = world.lane.stages[ACCOUNTS]
        world.lane.stages[ACCOUNTS] = BuggyStage(**asdict(stage))
        at_once(world)
        events = events_in(world.lane)
        changed = balances(events)
        money = {user: [(e.before.estimated, e.after.estimated) for e in of] for user, of in changed.items()}
        assert money == {"u1": [(0, 1_950)], "u2": [(0, 650)]}
        assert kinds(world, "u1") == ["line.attributed"] * 3
        letters = [event.user_id for event in events if isinstance(event, DeadLetterOpened)]
        assert sorted(map(str, letters)) == ["bad", "worse"]
        assert kinds(world, "bad") == kinds(world, "worse") == ["dead-letter.opened"]


def since(world: World, since_ms: int) -> None:
    """Have the accounts tell of records from that moment on."""
    stage = world.lane.stages[ACCOUNTS]
    world.lane.stages[ACCOUNTS] = replace(stage, telling=Telling(since_ms=lambda: since_ms))


def user_log(world: World, user_id: str) -> list[LogRecord]:
    """Return the log of the user's partition."""
    return world.lane.log(TOPICS.user_log, world.lane.partition_of(user_id))


def at_once(world: World) -> None:
    """Process everything that waits, each partition in one chunk."""
    world.lane.run(lambda works: (works[0], works[0].waiting))


class TestLines:
    """Each turn of a line is told once, to whom it concerns."""

    def test_a_life(self) -> None:
        """Attributed when it comes, settled when it is, and clawed back from buyer and inviter alike."""
        refunded = refund("success", "2026-02-01", 700)
        world = told(PAID, RECEIVED, SETTLED, refunded, refunded)
        assert kinds(world, "u1") == ["line.attributed", "line.settled", "line.clawed-back"]
        assert kinds(world, "boss") == ["line.clawed-back"]
        attributed, settled, back = lines(world, "u1")
        assert isinstance(attributed, LineAttributed)
        assert (attributed.by, attributed.order_line_id) == ("user_id", "1")
        assert isinstance(settled, LineSettled)
        assert (settled.settled, settled.held, settled.effective_on, settled.release_on) == (
            995,
            0,
            None,
            "2026-02-21",
        )
        assert isinstance(back, LineClawedBack)
        after = balance_on(world.head("u1"), day_of(NOW_US)).available
        assert (back.amount, back.role, back.depth, back.reason) == (
            995 - after,
            "buyer",
            UNSET,
            "refund-success",
        )
        (share,) = lines(world, "boss")
        assert isinstance(share, LineClawedBack)
        assert (share.role, share.depth, share.amount) == ("inviter", 1, 153 - 83)

    @pytest.mark.parametrize(
        ("documents", "why"),
        [
            ([PAID, snapshot("closed", "2026-01-05", 0)], "closed"),
            ([PAID, snapshot("superseded", "2026-01-05", 0)], "superseded"),
            ([PAID, punish("confirmed", "2026-01-05")], "punished"),
            ([punish("confirmed", "2026-01-05"), PAID], "punished"),
            ([snapshot("unknown", "2026-01-02", 0), snapshot("closed", "2026-01-05", 0)], "closed"),
        ],
    )
    def test_closed(self, documents: list[Document], why: str) -> None:
        """Once, with the reason; what comes after it closes nothing again."""
        again = [snapshot("closed", "2026-01-06", 0), punish("confirmed", "2026-01-07")]
        world = told(*documents, *again)
        closed = [event for event in lines(world, "u1") if isinstance(event, LineClosed)]
        assert [event.why for event in closed] == [why]
        assert why in CLOSED_WHY

    def test_a_status_that_nobody_knows_closes_nothing(self) -> None:
        """Such a line is worth nothing, and may be worth something again."""
        assert kinds(told(snapshot("unknown", "2026-01-02", 0)), "u1") == ["line.attributed"]

    def test_settled_by_a_date(self) -> None:
        """Told at the fact that decides the date, with the date while it is ahead; and again if it moves."""
        world = World([RULES], 2)
        world.know([profile("u1")])
        for expected, day in (("2026-09-15", 0), ("2026-09-20", 1), ("2026-09-20", 2)):
            world.take([dated("received", expected, day)], NOW_US + day * DAY_US)
        world.take([dated("settled", "2026-09-20", 80)], NOW_US + 80 * DAY_US)
        settled = [event for event in lines(world, "u1") if isinstance(event, LineSettled)]
        assert [event.effective_on for event in settled] == ["2026-09-15", "2026-09-20"]
        assert [event.release_on for event in settled] == ["2026-09-16", "2026-09-21"]
        assert [event.settled for event in settled] == [650, 650]

    def test_a_line_that_moves(self) -> None:
        """The new owner is told that it came, the old one what was taken back, each time that it happens."""
        world = told(snapshot("settled", "2026-01-10", 1_000, 1_000, user=None, special_id="77"))
        for user_id in ("u1", "u2", "u1", "u1"):
            know(world, bind("taobao:special_id:77", user_id))
        assert kinds(world, "u1") == [
            "line.attributed",
            "line.settled",
            "line.clawed-back",
            "line.attributed",
            "line.settled",
        ]
        assert kinds(world, "u2") == ["line.attributed", "line.settled", "line.clawed-back"]
        ids = [event.event_id for event in events_in(world.lane)]
        assert len(ids) == len(set(ids))

    def test_money_that_is_held_and_free_again_is_not_taken_back(self) -> None:
        """A dispute holds, and gives back; only what is gone is clawed back."""
        opened, failed = refund("open", "2026-02-01", 700), refund("failed", "2026-02-02", 700)
        assert kinds(told(SETTLED, opened, failed), "u1") == ["line.attributed", "line.settled"]

    @given(seed=st.integers(0, 10_000), chunk=st.integers(1, 60))
    @settings(max_examples=20)
    def test_chunks_do_not_matter(self, seed: int, chunk: int) -> None:
        """Lines are told of alike, byte by byte, in any chunks; and no id is there twice."""
        world = lived(seed, days=3)
        one, other = (
            [r for log in lane.told.values() for r in log if b"balance.changed" not in (r.value or b"")]
            for lane in (refolded(world, 1), refolded(world, chunk))
        )
        assert [(r.key, r.value, r.timestamp) for r in one] == [(r.key, r.value, r.timestamp) for r in other]
        ids = [event.event_id for event in events_in(world.lane)]
        assert len(ids) == len(set(ids))

    @given(seed=st.integers(0, 10_000))
    @settings(max_examples=20)
    def test_the_id_does_not_depend_on_the_app(self, seed: int) -> None:
        """Lines that snapshots name a user for have the same ids, whichever app folds them, in any order."""
        rng = random.Random(seed)
        orders = [snapshot("paid", "2026-01-04", 1_000, line=f"jd:{n}", user=f"u{n % 3}") for n in range(9)]
        orders += [snapshot("closed", "2026-01-05", 0, line=f"jd:{n}", user=f"u{n % 3}") for n in range(5)]
        found = []
        for app in ("rebate", "other"):
            lane = ListLane(2, book_of([RULES]), app=app)
            for document in orders:
                lane.send_order(document, NOW_US)
            lane.run(at_random(rng))
            found.append({e.event_id for e in events_in(lane) if not isinstance(e, BalanceChanged)})
        assert found[0] == found[1]
        assert len(found[0]) == 14


def dated(status: str, expected: str, day: int) -> Document:
    """Write a snapshot of a jd line with an expected date, said so many days after now."""
    modified = format_moment(NOW_US + day * DAY_US - 3_600_000_000)
    return snapshot(
        status, modified, 1_000, 1_000, line="jd:1", expected=expected, settled_at=modified, user="u1"
    )


def lines(world: World, user_id: str) -> list[Event]:
    """Return what was told of a user's lines."""
    return [
        event
        for event in events_in(world.lane)
        if event.user_id == user_id and not isinstance(event, BalanceChanged)
    ]


def kinds(world: World, user_id: str) -> list[str]:
    """Return the kinds of what was told of a user's lines."""
    return [str(event.__struct_config__.tag) for event in lines(world, user_id)]
