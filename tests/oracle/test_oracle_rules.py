"""The oracle's rules: versions, levels, inviters and minimums, against figures worked out by hand."""

import pytest

from tests.oracle.oracle import Oracle, UserRecord
from tests.oracle.written import (
    INVITED,
    PAID,
    RULES,
    TWO_LEVELS,
    balance,
    money,
    one_line,
    profile,
    refund,
    snapshot,
)

PAID_LINE = snapshot("paid", "2026-01-03 20:14:05", 1791, 0, 179)


class TestShares:
    """Rules, minimums, inviters."""

    def test_minimums_cut_net_and_shares(self) -> None:
        """Below the least net nobody gets anything; a share below the least rebate is 0."""
        rules = RULES.replace(
            "[[level]]", "[money]\nmin_net_commission_fen = 100\nmin_rebate_fen = 20\n[[level]]", 1
        )
        for est, buyer, boss in ((99, 0, 0), (100, 65, 0), (199, 129, 0), (200, 130, 20)):
            oracle = Oracle([snapshot("paid", "2026-01-10", est)], INVITED, [rules])
            assert money(oracle, "u1", "2026-01-11")[0] == buyer
            assert money(oracle, "boss", "2026-01-11")[0] == boss

    def test_the_default_minimums_are_two_fen_and_one_fen(self) -> None:
        """Without [money] a net of 1 gives nothing and a net of 2 gives floor(1.3)."""
        for est, buyer in ((1, 0), (2, 1)):
            oracle = Oracle([snapshot("paid", "2026-01-10", est)], [], [RULES])
            assert money(oracle, "u1", "2026-01-11")[0] == buyer
        generous = Oracle([snapshot("paid", "2026-01-10", 1)], [], [RULES.replace("6500", "10000")])
        assert money(generous, "u1", "2026-01-11")[0] == 0

    def test_held_is_what_the_minimum_cuts_off(self) -> None:
        """With 1 fen left undisputed the buyer's whole share is held."""
        facts = [snapshot("settled", "2026-01-10", 0, 101), refund("open", "2026-01-11", 100)]
        assert money(Oracle(facts, [], [RULES]), "u1", "2026-01-12") == (0, 0, 65, 0)

    def test_inviters_may_be_paid_by_the_buyers_rebate(self) -> None:
        """With base buyer_rebate the inviter's share is floor(1047 × 10 %) of the buyer's 1047."""
        rules = RULES.replace('base = "net_commission"', 'base = "buyer_rebate"')
        oracle = Oracle([PAID_LINE], INVITED, [rules])
        assert money(oracle, "boss", "2026-01-11")[0] == 104
        assert one_line(oracle, "2026-01-11")["platform_share"] == 1612 - 1047 - 104

    def test_a_platform_has_its_own_share(self) -> None:
        """A level's share of the platform goes before its default."""
        facts = [snapshot("paid", "2026-01-10", 1000, line="jd:1"), snapshot("paid", "2026-01-10", 1000)]
        oracle = Oracle(facts, [profile("u1", "vip")], [RULES])
        assert one_line(oracle, "2026-01-11", "jd:1")["shares"][0]["estimated"] == 500
        assert one_line(oracle, "2026-01-11")["shares"][0]["estimated"] == 800

    @pytest.mark.parametrize(
        ("people", "expected"),
        [
            ([], [("u1", 650)]),
            ([profile("u1", inviter="u1")], [("u1", 650)]),
            ([profile("u1", inviter="a")], [("u1", 650), ("a", 100)]),
            ([profile("u1", inviter="a"), profile("a", "vip", "b")], [("u1", 650), ("a", 50), ("b", 30)]),
            ([profile("u1", inviter="a"), profile("a", inviter="u1")], [("u1", 650), ("a", 100)]),
            ([profile("u1", inviter="a"), profile("a", inviter="a")], [("u1", 650), ("a", 100)]),
            ([profile("u1", inviter="a"), profile("a", inviter="b"), profile("b", "vip", "c")],
             [("u1", 650), ("a", 100), ("b", 0)]),
            ([profile("u1", "gold", "a"), profile("a", "gold")], [("u1", 650), ("a", 100)]),
        ],
    )  # fmt: skip
    def test_the_chain_ends_where_it_has_to(
        self, people: list[UserRecord], expected: list[tuple[str, int]]
    ) -> None:
        """Two levels at most, never twice the same person; an unknown level is the first; no bps is 0."""
        line = one_line(Oracle([snapshot("paid", "2026-01-10", 1000)], people, [TWO_LEVELS]), "2026-01-11")
        assert [(share["user_id"], share["estimated"]) for share in line["shares"]] == expected

    def test_max_levels_bounds_the_chain(self) -> None:
        """One level pays one inviter, an absent section none."""
        people = [profile("u1", inviter="a"), profile("a", inviter="b")]
        for rules, listed in ((RULES, 2), (RULES[: RULES.index("[inviter]")], 1)):
            line = one_line(Oracle([PAID_LINE], people, [rules]), "2026-01-11")
            assert len(line["shares"]) == listed


class TestWhichRules:
    """The version and the profile in force at the payment."""

    @pytest.mark.parametrize(
        ("paid", "version", "estimated"),
        [
            ("2025-12-31T23:59:59.999999+08:00", None, 0),
            ("2025-12-31T16:00:00Z", "r1", 650),
            ("2026-02-01T00:00:00+08:00", "r2", 700),
        ],
    )
    def test_the_version_is_the_one_in_force_when_paid(
        self, paid: str, version: str | None, estimated: int
    ) -> None:
        """A version holds from its first instant; before the first one a line is worth 0 to all."""
        later = RULES.replace("r1", "r2").replace("2026-01-01T", "2026-02-01T").replace("6500", "7000")
        oracle = Oracle([snapshot("paid", "2026-02-10", 1000, paid=paid)], INVITED, [later, RULES])
        line = one_line(oracle, "2026-03-01")
        assert line["rule_version"] == version
        assert money(oracle, "u1", "2026-03-01") == (estimated, 0, 0, 0)
        assert balance(oracle, "u1", "2026-03-01")["lines"]["open"] == 1

    def test_the_best_snapshot_says_when_it_was_paid(self) -> None:
        """`times.paid` of S chooses the version, not an older snapshot's."""
        facts = [
            snapshot("paid", "2026-01-04", 1000),
            snapshot("received", "2026-01-05", 1000, paid="2025-12-31"),
        ]
        assert money(Oracle(facts, [], [RULES]), "u1", "2026-01-06") == (0, 0, 0, 0)

    @pytest.mark.parametrize(
        ("people", "estimated"),
        [
            ([profile("u1", "vip", since="2026-01-03T12:13:51Z")], 800),
            (
                [
                    profile("u1", "vip", since="2026-01-01"),
                    profile("u1", "basic", since="2026-01-03 20:13:52"),
                ],
                800,
            ),
            ([profile("u1", "basic", since="2026-01-01"), profile("u1", "vip", since="2026-01-02")], 800),
            ([profile("u1", "vip", since="2026-01-02"), profile("u1", "basic", since="2026-01-01")], 800),
            ([profile("u1", "basic", since="2026-01-02"), profile("u1", "vip", since="2026-01-02")], 800),
            ([profile("u1", "basic", since="2026-05-01"), profile("u1", "vip", since="2026-04-01")], 800),
            ([profile("u1", "basic", since="2026-04-01"), profile("u1", "vip", since="2026-04-01")], 800),
            ([profile("u1", "vip", since=None, logged=PAID), profile("u1", since="2026-01-02")], 800),
        ],
    )
    def test_the_profile_in_force_when_paid_decides(self, people: list[UserRecord], estimated: int) -> None:
        """Greatest effective_at up to the payment, else the earliest; between equals the later in the log."""
        oracle = Oracle([snapshot("paid", "2026-01-10", 1000)], people, [RULES])
        assert money(oracle, "u1", "2026-01-11")[0] == estimated

    def test_an_inviters_profile_is_that_of_the_payment_too(self) -> None:
        """The inviter's level at the payment counts, not his level today."""
        people = [profile("u1", inviter="a"), profile("a", "vip"), profile("a", "basic", since="2026-01-04")]
        oracle = Oracle([snapshot("paid", "2026-01-10", 1000)], people, [RULES])
        assert money(oracle, "a", "2026-01-11")[0] == 50
