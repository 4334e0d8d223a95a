"""Edge cases that are about owners, rules, levels and inviters; each test has its number.

See docs/spec/domain.md#edge-cases.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.domain.story import (
    INVITED,
    PAID,
    RULES,
    SETTLED,
    TWO_LEVELS,
    bind,
    book,
    claim,
    know,
    money,
    profile,
    rerule,
    snapshot,
    world_of,
)
from tests.domain.world import Document, World
from tests.oracle.written import moment

LATER = "2026-03-01"
ID = "taobao:special_id:7"


def line_of(fen: int, **attribution: str | None) -> Document:
    """Return a settled line that names its user by the given members."""
    settled = snapshot("settled", "2026-01-10", fen, fen, settled_at="2026-01-10")
    return settled | {"attribution": attribution}


class TestOwners:
    """Whose a line is, and what happens when that changes."""

    def test_22_a_line_without_any_id_waits_in_suspense(self) -> None:
        """It belongs to `platform:none` until somebody claims it."""
        world = world_of(line_of(1000))
        assert world.id_head("taobao:none").lines == 1
        world.take([claim("u9", "2026-01-12")])
        assert money(world, "u9", LATER) == (0, 0, 0, 650)

    def test_23_ids_of_two_users_go_by_precedence(self) -> None:
        """special_id before relation_id before pid; only the first id that has a value is asked."""
        people = [bind(ID, "u1"), bind("taobao:relation_id:8", "u2"), bind("taobao:pid:mm_1_2_3", "u3")]
        world = world_of(line_of(1000, special_id="7", relation_id="8", pid="mm_1_2_3"), people=people)
        assert [money(world, user, LATER)[3] for user in ("u1", "u2", "u3")] == [650, 0, 0]
        unbound = world_of(line_of(1000, special_id="9", relation_id="8"), people=people)
        assert money(unbound, "u2", LATER) == (0, 0, 0, 0)

    @pytest.mark.parametrize(("less", "more"), [("7", "8"), ("A", "a"), ("\uff5e", "\U0001f600")])
    def test_23_between_equal_versions_the_greater_value_holds(self, less: str, more: str) -> None:
        """In UTF-8 byte order, whichever came first: UTF-16 would have the last pair the other way round."""
        people = [bind(f"taobao:special_id:{less}", "u1"), bind(f"taobao:special_id:{more}", "u2")]
        facts = [line_of(1000, special_id=less), line_of(1000, special_id=more)]
        for order in (facts, facts[::-1]):
            world = world_of(*order, people=people)
            assert [money(world, user, LATER)[3] for user in ("u1", "u2")] == [0, 650]

    def test_23_an_id_that_was_said_again_is_newer_than_one_said_in_between(self) -> None:
        """The newest version that says a member decides, though it only repeats an older one."""
        people = [bind("taobao:special_id:7", "u1"), bind("taobao:special_id:8", "u2")]
        first, between, again = (
            snapshot("paid", f"2026-01-0{day}", 1000, user=None, special_id=value)
            for day, value in ((4, "7"), (5, "8"), (6, "7"))
        )
        for order in permutations((first, between, again)):
            world = world_of(*order, people=people)
            assert [money(world, user, LATER)[0] for user in ("u1", "u2")] == [650, 0]

    def test_24_a_line_bound_to_somebody_else_moves_whole(self) -> None:
        """The old owner and his inviters get 0, the new ones their own shares; both ledgers say why."""
        people = [*INVITED, profile("u2", "vip", "chief"), profile("chief"), bind(ID, "u1")]
        world = world_of(line_of(1000, special_id="7"), people=people)
        assert [money(world, user, LATER)[3] for user in ("u1", "boss", "u2", "chief")] == [650, 100, 0, 0]
        know(world, bind(ID, "u2"))
        assert [money(world, user, LATER)[3] for user in ("u1", "boss", "u2", "chief")] == [0, 0, 800, 100]
        assert book(world, "u1")[-1] == ("buyer", "clawback", 0, -650, 0)
        assert book(world, "boss")[-1] == ("inviter", "clawback", 0, -100, 0)
        assert {entry.cause for entry in world.entries("boss")} == {"binding", "reassigned"}
        assert {entry.rule for entry in world.entries("boss")} == {"r1"}
        know(world, bind(ID, None))
        assert [money(world, user, LATER)[3] for user in ("u1", "boss", "u2", "chief")] == [0, 0, 0, 0]

    def test_24_the_inviter_of_the_old_owner_may_be_the_new_one(self) -> None:
        """The ledger takes back the bonus as a bonus, and gives the rebate as a rebate."""
        world = world_of(line_of(1000, special_id="7"), people=[*INVITED, bind(ID, "u1")])
        know(world, bind(ID, "boss"))
        assert money(world, "boss", LATER) == (0, 0, 0, 650)
        by_role = {
            role: sum(e[3] for e in book(world, "boss") if e[0] == role) for role in ("buyer", "inviter")
        }
        assert by_role == {"buyer": 650, "inviter": 0}

    def test_25_a_claim_of_a_line_that_has_an_owner_moves_nothing(self) -> None:
        """Neither against a user who is named outright nor against a bound id."""
        named = world_of(SETTLED, claim("thief", "2026-01-01"))
        assert (money(named, "u1", LATER)[3], money(named, "thief", LATER)[3]) == (995, 0)
        bound = world_of(line_of(1000, special_id="7"), claim("thief", "2026-01-01"), people=[bind(ID, "u1")])
        assert (money(bound, "u1", LATER)[3], money(bound, "thief", LATER)[3]) == (650, 0)

    def test_25_of_several_claims_the_earliest_holds(self) -> None:
        """Of equal moments the smaller user id, in any order of arrival."""
        claims = [claim("b", "2026-01-12"), claim("a", "2026-01-12"), claim("0", "2026-01-13")]
        for order in (claims, claims[::-1]):
            world = world_of(line_of(1000), *order)
            assert [money(world, user, LATER)[3] for user in ("a", "b", "0")] == [650, 0, 0]

    def test_56_a_user_with_many_lines_costs_no_more_an_event(self) -> None:
        """The head that every event rewrites does not grow with the number of lines."""
        world = world_of(SETTLED)
        small = _head_bytes(world)
        world.take([snapshot("paid", "2026-01-04", 1000, line=f"taobao:m{n}") for n in range(300)])
        assert world.head("u1").line_count == 301
        assert _head_bytes(world) <= small + 16


def _head_bytes(world: World) -> int:
    store = world.stream.stores["accounts", world.stream.partition_of("u1")]
    return len(store.get(b"h u1") or b"")


class TestRules:
    """What prices a line is chosen once, when the line first comes."""

    def test_34_a_rule_that_comes_during_a_lines_life_does_not_touch_it(self) -> None:
        """The pinned version keeps its price over every later snapshot."""
        world = world_of(PAID)
        assert money(world, "u1", LATER) == (1047, 0, 0, 0)
        newer = RULES.replace('"r1"', '"r2"').replace("2026-01-01", "2026-01-02").replace("6500", "1000")
        rerule(world, RULES, newer)
        world.take([SETTLED])
        assert money(world, "u1", LATER) == (0, 0, 0, 995)

    def test_35_a_rule_that_is_late_prices_later_lines(self) -> None:
        """Its `effective_from` in the past decides for lines that come after it was loaded."""
        world = world_of(PAID)
        newer = RULES.replace('"r1"', '"r2"').replace("2026-01-01", "2026-01-02").replace("6500", "1000")
        rerule(world, RULES, newer)
        world.take([snapshot("paid", "2026-01-04", 1000, line="taobao:2")])
        assert money(world, "u1", LATER) == (1047 + 100, 0, 0, 0)

    def test_35_a_line_paid_before_the_first_rule_is_worth_nothing(self) -> None:
        """It is shown and counted; another paid time prices it."""
        world = world_of(snapshot("paid", "2026-01-04", 1000, paid="2025-12-31 23:59:59"))
        assert money(world, "u1", LATER) == (0, 0, 0, 0)
        record = world.account_line("u1", "taobao:1")
        assert record is not None
        assert [pin.rule for pin in record.pricing.values()] == [None]
        assert world.balance("u1", moment(LATER)).open == 1
        world.take([snapshot("paid", "2026-01-05", 1000, paid="2026-01-01")])
        assert money(world, "u1", LATER) == (650, 0, 0, 0)

    def test_36_a_level_reached_between_paid_and_settled_is_for_later_lines(self) -> None:
        """The level at the paid time is pinned; a profile that is effective later changes no line."""
        people = [profile("u1", "basic"), profile("u1", "vip", since="2026-01-05")]
        assert money(world_of(PAID, SETTLED, people=people), "u1", LATER) == (0, 0, 0, 995)
        late = world_of(PAID, people=people[:1])
        know(late, profile("u1", "vip", since="2026-01-01"))
        late.take([SETTLED, snapshot("paid", "2026-01-04", 1000, line="taobao:2")])
        assert money(late, "u1", LATER) == (800, 0, 0, 995)

    def test_37_an_inviter_who_changes_keeps_what_was_paid_under_him(self) -> None:
        """The chain at the paid time is pinned."""
        world = world_of(PAID)
        know(world, profile("u1", "basic", "other", since="2026-01-01"))
        world.take([SETTLED, snapshot("paid", "2026-01-04", 1000, line="taobao:2")])
        assert money(world, "boss", LATER) == (0, 0, 0, 153)
        assert money(world, "other", LATER) == (100, 0, 0, 0)

    @pytest.mark.parametrize(
        "people",
        [
            [profile("u1", "basic", "u1")],
            [profile("u1", "basic", "boss"), profile("boss", "basic", "u1")],
            [profile("u1", "basic", "boss"), profile("boss", "basic", "boss")],
        ],
    )
    def test_38_loops_give_nobody_a_second_share(self, people: list[object]) -> None:
        """Oneself, a loop of two, an inviter who invited himself: each at most one share of a line."""
        world = world_of(SETTLED, people=people, rules=TWO_LEVELS)  # type: ignore[arg-type]
        invited = 0 if len(people) == 1 else 153
        assert money(world, "u1", LATER) == (0, 0, 0, 995)
        assert money(world, "boss", LATER) == (0, 0, 0, invited)

    def test_38_nobody_above_the_second_inviter_has_a_share(self) -> None:
        """Two inviters, in code: 10 % and 3 %, and the chain ends."""
        people = [profile(f"u{n}", "basic", f"u{n + 1}") for n in range(1, 5)]
        world = world_of(SETTLED, people=people, rules=TWO_LEVELS)
        assert [money(world, f"u{n}", LATER)[3] for n in range(1, 5)] == [995, 153, 45, 0]


class TestBadRecords:
    """What cannot be used is put aside, and the partition goes on."""

    def test_41_a_moment_in_the_far_future_blocks_no_later_update(self) -> None:
        """More than 24 h ahead of its record: refused, so that it can never be the newest for ever."""
        world = world_of(PAID)
        world.take([snapshot("paid", "2099-01-01", 9999)])
        assert [_reason(letter) for letter in world.stream.dead_letters] == [b"implausible-time"]
        world.take([SETTLED])
        assert money(world, "u1", LATER) == (0, 0, 0, 995)

    def test_33_a_foreign_currency_is_refused(self) -> None:
        """Fen are fen of CNY."""
        world = world_of(PAID | {"currency": "USD"})
        assert [_reason(letter) for letter in world.stream.dead_letters] == [b"invalid-currency"]

    @pytest.mark.parametrize("poison", [b"\xff\x00", b"{", b"[]", b"null", b'{"schema":1}', None])
    def test_52_poison_goes_to_the_dead_letters_raw(self, poison: bytes | None) -> None:
        """With its bytes, reason and origin; what comes after it is processed."""
        world = world_of()
        world.stream.send(world.stream.topics.orders, b"taobao:1", poison, 0)
        world.stream.send(world.stream.topics.user_log, b"u1", poison, 0)
        world.take([SETTLED])
        assert [letter.value for letter in world.stream.dead_letters] == [poison, poison]
        assert money(world, "u1", LATER) == (0, 0, 0, 995)


def _reason(letter: object) -> bytes:
    headers: dict[str, bytes] = dict(letter.headers)  # type: ignore[attr-defined]
    return headers["rebate-error-reason"]
