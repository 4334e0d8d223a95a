"""The oracle's money, against figures worked out by hand."""

import pytest

from tests.oracle.oracle import Oracle
from tests.oracle.written import (
    INVITED,
    RULES,
    Document,
    balance,
    money,
    one_line,
    punish,
    refund,
    snapshot,
)

Money = tuple[int, int, int, int]

PAID_LINE = snapshot("paid", "2026-01-03 20:14:05", 1791, 0, 179)
RECEIVED_LINE = snapshot("received", "2026-01-09 09:02:11", 1791, 0, 179)
SETTLED_LINE = snapshot("settled", "2026-01-10 03:22:40", 1791, 1701, 170, settled_at="2026-01-10 03:21:00")
FLAG_FLIPS = snapshot("settled", "2026-01-20 16:40:12", 1791, 1701, 170, settled_at="2026-01-10 03:21:00")
DISPUTE = refund("open", "2026-01-20 16:40:12", 510)
DISPUTE_WON = refund("success", "2026-01-23 11:05:03", 510)
FROZEN = punish("frozen", "2026-01-12")
CONFIRMED = punish("confirmed", "2026-01-12")
PUNISHED = snapshot("punished", "2026-01-12", 0)
TB_A = [PAID_LINE, RECEIVED_LINE, SETTLED_LINE, FLAG_FLIPS, DISPUTE, DISPUTE_WON]


class TestWorkedExample:
    """TB-A of docs/spec/money.md#worked-example, step by step."""

    @pytest.mark.parametrize(
        ("facts", "at", "buyer", "inviter", "platform"),
        [
            (TB_A[:1], "2026-01-04", (1047, 0, 0, 0), (161, 0, 0, 0), 404),
            (TB_A[:2], "2026-01-10", (1047, 0, 0, 0), (161, 0, 0, 0), 404),
            (TB_A[:3], "2026-01-11", (0, 995, 0, 0), (0, 153, 0, 0), 383),
            (TB_A[:4], "2026-02-20 23:59:59", (0, 995, 0, 0), (0, 153, 0, 0), 383),
            (TB_A[:4], "2026-02-21", (0, 0, 0, 995), (0, 0, 0, 153), 383),
            (TB_A[:5], "2026-01-21", (0, 663, 332, 0), (0, 102, 51, 0), 383),
            (TB_A[:5], "2026-02-21", (0, 0, 332, 663), (0, 0, 51, 102), 383),
            (TB_A, "2026-01-24", (0, 663, 0, 0), (0, 102, 0, 0), 256),
            (TB_A, "2026-03-01", (0, 0, 0, 663), (0, 0, 0, 102), 256),
        ],
    )
    def test_each_step_gives_the_figures_of_the_table(
        self, facts: list[Document], at: str, buyer: Money, inviter: Money, platform: int
    ) -> None:
        """The shares of TB-A are 1047/161, 995/153, 663+332 held/102+51 held and 663/102."""
        oracle = Oracle(facts, INVITED, [RULES])
        assert money(oracle, "u1", at) == buyer
        assert money(oracle, "boss", at) == inviter
        assert one_line(oracle, at)["platform_share"] == platform

    def test_the_balance_has_every_member_of_the_contract(self) -> None:
        """A balance says buckets, maturing days and counted lines, of what the user bought only."""
        oracle = Oracle(TB_A, INVITED, [RULES])
        assert balance(oracle, "u1", "2026-02-01") == {
            "estimated": 0,
            "confirmed": 663,
            "held": 0,
            "available": 0,
            "frozen": 0,
            "withdrawn": 0,
            "debt": 0,
            "maturing": [{"on": "2026-02-21", "amount": 663}],
            "lines": {"open": 0, "settled": 1, "closed": 0},
        }
        assert balance(oracle, "boss", "2026-02-01")["lines"] == {"open": 0, "settled": 0, "closed": 0}
        assert oracle.users() == {"u1", "boss"}

    def test_a_line_shows_its_owner_rules_and_shares(self) -> None:
        """A line says whose it is, what was chosen for it and what each one gets."""
        line = one_line(Oracle(TB_A, INVITED, [RULES]), "2026-02-01")
        assert line["owner"] == {"user_id": "u1", "attribution_id": None, "by": "user_id"}
        assert (line["status"], line["settled"], line["net"]) == ("settled", True, 1021)
        assert (line["settled_on"], line["release_on"]) == ("2026-01-10", "2026-02-21")
        assert line["rule_version"] == "r1"
        assert [
            (share["user_id"], share["depth"], share["level"], share["bps"]) for share in line["shares"]
        ] == [
            ("u1", 0, "basic", 6500),
            ("boss", 1, "basic", 1000),
        ]

    def test_the_order_of_arrival_does_not_matter(self) -> None:
        """The same set in reverse and doubled gives the same balance."""
        backwards = Oracle(TB_A[::-1] * 2, INVITED, [RULES])
        assert money(backwards, "u1", "2026-02-01") == (0, 663, 0, 0)


class TestRefunds:
    """R and O: the fact that holds of each suit, summed over suits."""

    @pytest.mark.parametrize(
        ("facts", "expected"),
        [
            ([refund("success", "2026-01-20", 510), refund("open", "2026-01-21", 510)], (0, 663, 332, 0)),
            ([refund("open", "2026-01-20", 510), refund("failed", "2026-01-21", 510)], (0, 995, 0, 0)),
            ([refund("success", "2026-01-20", 510), refund("restored", "2026-01-21", 0)], (0, 995, 0, 0)),
            ([refund("success", "2026-01-20", 510), refund("failed", "2026-01-20", 510)], (0, 663, 0, 0)),
            ([refund("success", "2026-01-20", 510), refund("success", "2026-01-20", 9)], (0, 663, 0, 0)),
            ([refund("success", "2026-01-20", 510), refund("open", "2026-01-20", 21, "s2")], (0, 650, 13, 0)),
            ([refund("success", "2026-01-20", 5000)], (0, 0, 0, 0)),
            ([refund("open", "2026-01-20", 5000)], (0, 0, 995, 0)),
        ],
    )
    def test_the_newest_fact_of_each_suit_holds(self, facts: list[Document], expected: Money) -> None:
        """Of a suit the newest holds, then success over failed, then the larger; 0 is the floor."""
        assert money(Oracle([SETTLED_LINE, *facts], [], [RULES]), "u1", "2026-02-01") == expected

    def test_refunds_wait_for_the_settlement(self) -> None:
        """Before settlement neither a successful nor an open refund takes anything."""
        facts = [PAID_LINE, refund("success", "2026-01-04", 510), refund("open", "2026-01-04", 9, "s2")]
        assert money(Oracle(facts, [], [RULES]), "u1", "2026-02-01") == (1047, 0, 0, 0)


class TestPunishment:
    """Frozen money is held, confirmed punishment takes it, lifting gives it back."""

    @pytest.mark.parametrize(
        ("line", "facts", "expected", "counted"),
        [
            (PAID_LINE, [FROZEN], (0, 0, 1047, 0), "open"),
            (SETTLED_LINE, [FROZEN, DISPUTE], (0, 0, 995, 0), "settled"),
            (SETTLED_LINE, [FROZEN, DISPUTE_WON], (0, 0, 663, 0), "settled"),
            (SETTLED_LINE, [CONFIRMED], (0, 0, 0, 0), "closed"),
            (PAID_LINE, [CONFIRMED], (0, 0, 0, 0), "closed"),
            (SETTLED_LINE, [FROZEN, punish("lifted", "2026-01-13")], (0, 995, 0, 0), "settled"),
            (SETTLED_LINE, [FROZEN, punish("lifted", "2026-01-12")], (0, 995, 0, 0), "settled"),
            (SETTLED_LINE, [FROZEN, punish("lifted", "2026-01-11")], (0, 0, 995, 0), "settled"),
            (SETTLED_LINE, [CONFIRMED, punish("lifted", "2026-01-12")], (0, 0, 0, 0), "closed"),
            (SETTLED_LINE, [CONFIRMED, punish("lifted", "2026-01-13")], (0, 995, 0, 0), "settled"),
            (SETTLED_LINE, [PUNISHED], (0, 0, 995, 0), "settled"),
            (SETTLED_LINE, [PUNISHED, punish("lifted", "2026-01-12")], (0, 995, 0, 0), "settled"),
            (SETTLED_LINE, [PUNISHED, punish("lifted", "2026-01-11")], (0, 0, 995, 0), "settled"),
            (SETTLED_LINE, [PUNISHED, punish("confirmed", "2026-01-11")], (0, 0, 995, 0), "settled"),
            (FLAG_FLIPS, [PUNISHED], (0, 995, 0, 0), "settled"),
        ],
    )
    def test_the_newest_punishment_decides(
        self, line: Document, facts: list[Document], expected: Money, counted: str
    ) -> None:
        """The newest fact or best punished snapshot decides; of one moment the fact, then the harder one."""
        oracle = Oracle([line, *facts], [], [RULES])
        assert money(oracle, "u1", "2026-02-01") == expected
        assert balance(oracle, "u1", "2026-02-01")["lines"][counted] == 1

    def test_frozen_money_stays_held_after_the_release_day(self) -> None:
        """The release day does not free what is frozen."""
        oracle = Oracle([SETTLED_LINE, punish("frozen", "2026-01-11")], [], [RULES])
        assert money(oracle, "u1", "2027-01-01") == (0, 0, 995, 0)


class TestWorthless:
    """Lines that are worth 0 to everybody, and how they count."""

    @pytest.mark.parametrize(
        ("facts", "status", "counted"),
        [
            ([snapshot("created", "2026-01-11", 1791)], "created", "open"),
            ([SETTLED_LINE, snapshot("closed", "2026-01-11", 1791)], "closed", "closed"),
            ([PAID_LINE, snapshot("superseded", "2026-01-11", 1791)], "superseded", "closed"),
            ([snapshot("unknown", "2026-01-11", 1791)], "unknown", "closed"),
            ([snapshot("punished", "2026-01-11", 1791)], None, "closed"),
            (
                [snapshot("unknown", "2026-01-12", 9), snapshot("punished", "2026-01-11", 1791)],
                None,
                "closed",
            ),
        ],
    )
    def test_they_give_nothing(self, facts: list[Document], status: str | None, counted: str) -> None:
        """Created, closed, superseded, unknown and none are worth 0; only created counts as open."""
        oracle = Oracle(facts, INVITED, [RULES])
        assert money(oracle, "u1", "2026-03-01") == money(oracle, "boss", "2026-03-01") == (0, 0, 0, 0)
        assert balance(oracle, "u1", "2026-03-01")["lines"][counted] == 1
        assert one_line(oracle, "2026-03-01")["status"] == status

    def test_an_unknown_snapshot_does_not_count_beside_others(self) -> None:
        """An unknown status newer than the settlement changes nothing."""
        oracle = Oracle([SETTLED_LINE, snapshot("unknown", "2026-01-30", 1)], [], [RULES])
        assert money(oracle, "u1", "2026-02-01") == (0, 995, 0, 0)

    def test_a_newer_snapshot_reopens_a_closed_line(self) -> None:
        """Closed is not for ever: a newer snapshot brings the money back."""
        facts = [snapshot("closed", "2026-01-05", 0), SETTLED_LINE]
        assert money(Oracle(facts, [], [RULES]), "u1", "2026-02-01") == (0, 995, 0, 0)

    def test_a_user_never_seen_has_zeros(self) -> None:
        """A stranger's balance is all zeros."""
        oracle = Oracle([], [], [RULES])
        assert money(oracle, "stranger", "2026-01-01") == (0, 0, 0, 0)
        assert oracle.users() == set()


class TestVersionOrder:
    """Which snapshot is the best."""

    @pytest.mark.parametrize(
        ("loser", "winner"),
        [
            (snapshot("settled", "2026-01-10", 9, 9000), snapshot("paid", "2026-01-09T22:00:00+05:30", 200)),
            (snapshot("received", "2026-01-10", 9000, fetch=9), snapshot("settled", "2026-01-10", 9, 200)),
            (snapshot("paid", "2026-01-10", 9000, fetch=1), snapshot("paid", "2026-01-10", 200, fetch=2)),
            (snapshot("paid", "2026-01-10", 9000, 1), snapshot("paid", "2026-01-10", 200, 2)),
            (snapshot("paid", "2026-01-10", 199, 1, 0), snapshot("paid", "2026-01-10", 200, 1)),
            (snapshot("paid", "2026-01-10", 201, 1, 0), snapshot("paid", "2026-01-10", 201, 1, 1)),
        ],
    )  # fmt: skip
    def test_the_best_snapshot_is_chosen_step_by_step(self, loser: Document, winner: Document) -> None:
        """Moment as instant, rank, fetch_seq, settled, estimated commission, fee, in this order."""
        for facts in ([loser, winner], [winner, loser]):
            assert one_line(Oracle(facts, [], [RULES]), "2026-01-11")["net"] == 200

    @pytest.mark.parametrize(
        ("lower", "higher", "status", "punishment"),
        [
            ("created", "paid", "paid", None),
            ("paid", "received", "received", None),
            ("received", "settled", "settled", None),
            ("settled", "punished", "settled", "frozen"),
            ("punished", "closed", "closed", None),
            ("closed", "superseded", "superseded", None),
        ],
    )
    def test_ranks_decide_between_equal_moments(
        self, lower: str, higher: str, status: str, punishment: str | None
    ) -> None:
        """Created < paid < received < settled < punished < closed < superseded, before fetch_seq."""
        facts = [snapshot(lower, "2026-01-10", 9, 9, fetch=9), snapshot(higher, "2026-01-10", 9, 9)]
        line = one_line(Oracle(facts, [], [RULES]), "2026-01-11")
        assert (line["status"], line["punishment"]) == (status, punishment)

    def test_the_later_payment_decides_between_equals(self) -> None:
        """Snapshots that differ in times.paid only: the later payment holds."""
        facts = [snapshot("paid", "2026-01-10", 9, paid=paid) for paid in ("2026-01-01", "2025-12-31")]
        for arrived in (facts, facts[::-1]):
            assert one_line(Oracle(arrived, [], [RULES]), "2026-01-11")["rule_version"] == "r1"

    def test_negative_and_small_commissions_are_worth_nothing(self) -> None:
        """A fee above the commission or a negative commission makes a net of 0, never less."""
        for facts in (
            [snapshot("paid", "2026-01-10", 10, 0, 11)],
            [snapshot("settled", "2026-01-10", 9, -5)],
        ):
            assert money(Oracle(facts, [], [RULES]), "u1", "2026-01-11") == (0, 0, 0, 0)
