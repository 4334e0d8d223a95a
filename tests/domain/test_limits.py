"""What a line, a user or an id keeps at most, late targets, and how a binding moves many lines."""

from __future__ import annotations

import orjson
import pytest

from rebate_app.domain.account.account import (
    AccountLine,
    Contribution,
    Profiles,
    take_profile,
    take_target,
    value_of,
)
from rebate_app.domain.account.attribution_account import IdHead, IdLine, fold_id_target
from rebate_app.domain.facts import (
    CLAIMS_MAX,
    EXPECTED_DATES_MAX,
    PROFILES_MAX,
    SUITS_MAX,
    Claim,
    OrderFact,
    Profile,
    Refund,
    Snapshot,
)
from rebate_app.domain.faults import Fault
from rebate_app.domain.messages import LineTarget
from rebate_app.domain.now import Now
from rebate_app.domain.order.line import LineState, merge
from rebate_app.domain.order.value import OPEN, LineValue
from tests.domain.story import bind, claim, money, refund, snapshot, world_of
from tests.domain.world import NOW_US, World
from tests.oracle.written import moment
from tests.topology_driver import ACCOUNTS

LATER = "2026-03-01"
ID = "taobao:pid:mm_1_2_3"


def filled(facts: list[OrderFact]) -> LineState:
    """Return a line after facts that all change it."""
    state = LineState()
    for fact in facts:
        assert merge(state, fact, 0) is True
    return state


def received(day: int) -> Snapshot:
    """Return a received snapshot that expects settlement on a day."""
    return Snapshot("jd:1", day, 0, "received", 1, 1, 0, 1, None, day, None)


class TestLinesKeep:
    """A limit refuses what is new and takes what is known already; the line stays as it was."""

    @pytest.mark.parametrize(
        ("facts", "member"),
        [
            ([Refund("jd:1", f"s{n}", "open", 1, n) for n in range(SUITS_MAX + 1)], "suit_id"),
            ([Claim("jd:1", f"u{n}", n) for n in range(CLAIMS_MAX + 1)], "claimed_at"),
            ([received(day) for day in range(EXPECTED_DATES_MAX + 1)], "times.expected_settle"),
        ],
    )
    def test_at_most_so_many(self, facts: list[OrderFact], member: str) -> None:
        """The one too many is refused as `limit-<member>`; repeats of the others are no news."""
        state = filled(facts[:-1])
        outcome = merge(state, facts[-1], 0)
        assert isinstance(outcome, Fault)
        assert (outcome.code, outcome.member) == (f"limit-{member}", member)
        assert merge(state, facts[0], 0) is False
        assert state == filled(facts[:-1])

    def test_the_time_line_is_for_reading(self) -> None:
        """It keeps the newest forty moments; the topic keeps everything."""
        state = filled([Refund("jd:1", "s", "open", n, n) for n in range(100)])
        assert len(state.timeline) == 40

    def test_it_names_who_sent_a_fact(self) -> None:
        """Of facts that say the same, the first sender."""
        state = LineState()
        for number, actor in enumerate(("key:feed", "key:other", None)):
            merge(state, Refund("jd:1", "s", "open", 5, number), number, actor)
        assert [moment.actor for moment in state.timeline] == ["key:feed"]

    def test_what_says_nothing_new_is_kept_once(self) -> None:
        """A network that touches a row again and again does not push out what happened before."""
        facts: list[OrderFact] = [Refund("jd:1", "s", "open", 5, n) for n in range(100)]
        state = filled([*facts, Refund("jd:1", "s", "success", 5, 100), Refund("jd:1", "s", "open", 5, 101)])
        assert [moment.detail for moment in state.timeline] == ["open s", "success s", "open s"]
        assert state.suits["s"] == (101, 0, 5)

    def test_a_line_that_is_full_goes_on(self) -> None:
        """The refused fact is a dead letter, and the next known suit still counts."""
        suits = [refund("open", "2026-01-20", 1, f"s{n}") for n in range(SUITS_MAX)]
        world = world_of(snapshot("settled", "2026-01-10", 5000, 5000, settled_at="2026-01-10"))
        world.take(
            [*suits, refund("open", "2026-01-20", 1, "one-more"), refund("failed", "2026-01-21", 1, "s0")]
        )
        assert world.dead_reasons() == ["limit-suit_id"]
        assert world.money("u1", moment(LATER))[3] == (5000 - (SUITS_MAX - 1)) * 65 // 100

    def test_too_many_is_told_before_too_early(self) -> None:
        """A dead letter has the first reason in the order limits, time; a new line has no limit to exceed."""
        suits = [refund("failed", "2026-01-20", 1, f"s{n}") for n in range(SUITS_MAX)]
        world = world_of()
        early = [refund("failed", "2030-01-01", 1, suit) for suit in ("one-more", "s0")]
        world.take([*suits, *early, refund("failed", "2030-01-01", 1, line="taobao:new")])
        assert sorted(world.dead_reasons()) == ["implausible-time", "implausible-time", "limit-suit_id"]
        assert world.line("taobao:new") is None


class TestProfilesKeep:
    """A user's profile facts, by the moment from which they hold."""

    def test_at_most_so_many(self) -> None:
        """One more moment is refused; one that is known may still be said anew."""
        profiles = Profiles(facts=[(n, "basic", None) for n in range(PROFILES_MAX)])
        outcome = take_profile(profiles, Profile("u1", "vip", None, PROFILES_MAX))
        assert isinstance(outcome, Fault)
        assert outcome.code == "limit-effective_at"
        assert take_profile(profiles, Profile("u1", "vip", None, 7)) is True
        assert profiles.in_force(7) == ("vip", None)
        assert take_profile(profiles, Profile("u1", "vip", None, 7)) is False

    def test_who_sent_a_fact_is_kept_with_what_it_changed(self) -> None:
        """The fact that holds at a moment names its sender; an equal one that comes later does not."""
        profiles = Profiles()
        for level, actor in (("vip", "key:crm"), ("vip", "cli:ann"), ("gold", None)):
            take_profile(profiles, Profile("u1", level, None, 5, actor))
            if level == "vip":
                assert profiles.actors == {5: "key:crm"}
        assert profiles.actors == {}
        assert profiles.in_force(5) == ("gold", None)

    def test_in_force_is_the_greatest_moment_not_after(self) -> None:
        """Before all of them the earliest; none at all: no level and no inviter."""
        profiles = Profiles()
        assert profiles.in_force(5) == (None, None)
        for at, level in ((20, "gold"), (10, "vip"), (20, "basic")):
            take_profile(profiles, Profile("u1", level, "boss", at))
        assert [profiles.in_force(at)[0] for at in (9, 10, 19, 20, 99)] == [
            "vip",
            "vip",
            "vip",
            "basic",
            "basic",
        ]

    def test_a_full_log_of_profiles_is_a_dead_letter(self) -> None:
        """The user's account stays as it is."""
        world = world_of()
        store = world.stream.stores[ACCOUNTS, world.stream.partition_of("u9")]
        facts = [[n, "basic", None] for n in range(PROFILES_MAX)]
        store.apply({b"p u9": orjson.dumps([1, facts])}, 0)
        world.stream.send_user(
            {"schema": "user-fact/1", "kind": "user.profile", "user_id": "u9", "level": "vip"}, NOW_US
        )
        world.stream.run()
        assert len(world.stream.dead_letters) == 1


class OneId:
    """The records of one attribution id, in a dictionary."""

    def __init__(self) -> None:
        self.known = IdHead()
        self.lines: dict[str, IdLine] = {}

    def head(self) -> IdHead:
        """Return the head."""
        return self.known

    def line(self, line: str) -> IdLine | None:
        """Return the line."""
        return self.lines.get(line)

    def line_at(self, seq: int) -> IdLine:
        """Return the line of that number."""
        return list(self.lines.values())[seq]

    def add_line(self, record: IdLine) -> None:
        """Keep a line."""
        self.lines[record.line] = record


class TestLateTargets:
    """Targets are absolute and have versions: a late one is ignored, a repeated one changes nothing."""

    def test_an_account_ignores_older_ones_of_the_same_sender(self) -> None:
        """A newer one is known already."""
        record = AccountLine(1, 0, "jd:1")
        line_value = LineValue(OPEN, "paid", 1, 100)
        assert take_target(record, LineTarget("u1", "jd:1", "", 7, 7, line_value), ">")
        assert not take_target(record, LineTarget("u1", "jd:1", "", 6, 6, None), ">")
        assert not take_target(record, LineTarget("u1", "jd:1", "", 7, 7, line_value), ">")
        assert record.effective() is not None

    def test_a_message_that_comes_again_changes_nothing(self) -> None:
        """What the app sent itself may be read twice: the account and its ledger stay as they are."""
        world = world_of(snapshot("paid", "2026-01-04", 1000))
        before = world.snapshot()
        for (topic, _), log in list(world.stream.logs.items()):
            if topic == world.stream.topics.user_log:
                for record in list(log):
                    assert record.key is not None
                    world.stream.send(topic, record.key, record.value, NOW_US)
        world.stream.run()
        assert world.snapshot() == before

    def test_an_id_ignores_older_ones(self) -> None:
        """It forwards nothing, and its sums stay."""
        records = OneId()
        records.known.bound = "u1"
        newer = LineTarget(ID, "taobao:1", "", 7, 7, LineValue(OPEN, "paid", 1, 100))
        older = LineTarget(ID, "taobao:1", "", 6, 6, LineValue(OPEN, "paid", 1, 900))
        assert len(fold_id_target(records, newer, Now(1, 1))) == 1
        assert fold_id_target(records, older, Now(2, 2)) == []
        assert fold_id_target(records, newer, Now(3, 3)) == []
        assert (records.known.net, records.known.version) == ({-(1 << 40): 100}, 1)

    def test_what_is_not_the_users_has_no_worth(self) -> None:
        """Asking for it is a bug of ours."""
        with pytest.raises(ValueError, match="not this user's"):
            value_of(Contribution(1, 1))


class TestMoving:
    """A binding moves every line of its id, some at a time, and the last binding holds."""

    def lines(self, count: int) -> World:
        """Return a world with so many lines under one id."""
        world = world_of(people=[])
        world.take(
            snapshot("paid", "2026-01-04", 1000, line=f"taobao:{n}", user=None, pid="mm_1_2_3")
            for n in range(count)
        )
        return world

    @pytest.mark.parametrize("count", [0, 1, 249, 250, 251, 700])
    def test_all_lines_move(self, count: int) -> None:
        """However many records of moving it takes."""
        world = self.lines(count)
        world.know([bind(ID, "u1")])
        assert money(world, "u1", LATER) == (650 * count, 0, 0, 0)
        assert not world.id_head(ID).moving
        world.know([bind(ID, "u2")])
        assert money(world, "u1", LATER) == (0, 0, 0, 0)
        assert money(world, "u2", LATER) == (650 * count, 0, 0, 0)

    def test_a_newer_binding_overtakes_one_that_is_still_moving(self) -> None:
        """The older one's cursor is void; what comes meanwhile goes straight to the new owner."""
        world = self.lines(700)
        partition = world.stream.partition_of(ID)
        world.stream.send_user(bind(ID, "u1")[0], 0)
        world.stream.step(ACCOUNTS, partition, 1)
        assert world.id_head(ID).moving
        stage = world.stream.stages[ACCOUNTS]
        assert stage.unfinished(world.stream.stores[ACCOUNTS, partition]) == 1
        world.stream.send_user(bind(ID, "u2")[0], 0)
        world.stream.send_order(claim("u3", "2026-01-01", line="taobao:699"), NOW_US)
        world.take([snapshot("paid", "2026-01-05", 2000, line="taobao:9999", user=None, pid="mm_1_2_3")])
        assert money(world, "u1", LATER) == (0, 0, 0, 0)
        assert money(world, "u2", LATER) == (650 * 700 + 1300, 0, 0, 0)
        assert stage.unfinished(world.stream.stores[ACCOUNTS, partition]) == 0
