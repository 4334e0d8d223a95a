"""The oracle's calendar: what settles a line, and when its money is released."""

import pytest

from tests.oracle.oracle import Oracle
from tests.oracle.written import INVITED, RULES, Document, balance, money, one_line, snapshot

JD = "jd:JDROW000000001"
JD_PAID = snapshot("paid", "2026-01-05 10:00:30", 1256, 0, line=JD, paid="2026-01-05 10:00:01")
JD_RECEIVED = snapshot(
    "received", "2026-01-08 15:21:10", 1256, 1256, line=JD, paid="2026-01-05 10:00:01", expected="2026-02-20"
)
JD_RETURNED = snapshot(
    "received", "2026-03-02 09:00:00", 1256, 0, line=JD, paid="2026-01-05 10:00:01", expected="2026-03-20"
)


def settlement(facts: list[Document], at: str, line: str = "taobao:1") -> tuple[bool, str | None, str | None]:
    """Return whether a line is settled, since when, and when it is released."""
    answer = one_line(Oracle(facts, [], [RULES]), at, line)
    return answer["settled"], answer["settled_on"], answer["release_on"]


class TestSettledByDate:
    """JD-A of docs/spec/networks.md#worked-example-jd-a: the day comes without any event."""

    @pytest.mark.parametrize(
        ("at", "buyer", "boss"),
        [
            ("2026-02-19 23:59:59", (816, 0, 0, 0), (125, 0, 0, 0)),
            ("2026-02-20", (0, 816, 0, 0), (0, 125, 0, 0)),
            ("2026-02-20T16:00:00+00:00", (0, 0, 0, 816), (0, 0, 0, 125)),
        ],
    )
    def test_it_settles_on_the_day_and_is_released_the_day_after(
        self, at: str, buyer: tuple[int, ...], boss: tuple[int, ...]
    ) -> None:
        """PayMonth settles at its own midnight in Shanghai, and the money is free a day later."""
        oracle = Oracle([JD_RECEIVED, JD_PAID], INVITED, [RULES])
        assert money(oracle, "u1", at) == buyer
        assert money(oracle, "boss", at) == boss

    def test_a_return_after_settlement_changes_amounts_not_the_settlement(self) -> None:
        """A restatement after the day takes the money and leaves the day where it was."""
        facts = [JD_PAID, JD_RECEIVED, JD_RETURNED]
        assert settlement(facts, "2026-03-03", JD) == (True, "2026-02-20", "2026-02-21")
        assert money(Oracle(facts, [], [RULES]), "u1", "2026-03-03") == (0, 0, 0, 0)

    def test_what_is_known_now_holds_for_every_moment(self) -> None:
        """`at` moves the dates only: asked for January, the returned line is worth its estimate."""
        oracle = Oracle([JD_PAID, JD_RECEIVED, JD_RETURNED], [], [RULES])
        assert money(oracle, "u1", "2026-01-09") == (816, 0, 0, 0)

    def test_a_settled_status_settles_whatever_the_moment(self) -> None:
        """S says settled, so even a moment before its day finds it confirmed."""
        facts = [snapshot("settled", "2026-01-10", 0, 1000)]
        assert money(Oracle(facts, [], [RULES]), "u1", "2001-01-01") == (0, 650, 0, 0)


class TestExpectedDates:
    """Which expected dates take effect."""

    @pytest.mark.parametrize(
        ("newer", "settled_on"),
        [
            ([], "2026-02-10"),
            ([snapshot("received", "2026-02-09 23:59:59", 9, 9, expected="2026-02-15")], "2026-02-15"),
            ([snapshot("received", "2026-02-09T16:00:00Z", 9, 9, expected="2026-02-15")], "2026-02-10"),
            ([snapshot("received", "2026-02-01", 9, 9)], None),
            ([snapshot("received", "2026-02-01", 9, 9, fetch=1)], None),
            ([snapshot("paid", "2026-02-01", 9)], "2026-02-10"),
            ([snapshot("closed", "2026-02-02"), snapshot("received", "2026-02-12", 9, 9)], None),
            ([snapshot("closed", "2026-02-11"), snapshot("received", "2026-02-12", 9, 9)], "2026-02-10"),
            ([snapshot("punished", "2026-02-02", 9), snapshot("unknown", "2026-02-02")], "2026-02-10"),
            ([snapshot("received", "2026-02-20", 9, 9, expected="2026-02-05")], "2026-02-05"),
            ([snapshot("received", "2026-02-09", 9, 9, expected="2026-02-10")], "2026-02-10"),
            ([snapshot("paid", "2026-02-09", 9, 9, expected="2026-02-01")], None),
            ([snapshot("paid", "2026-02-09", 9, 9, expected="2026-02-01"),
              snapshot("received", "2026-02-09", 9, 9)], None),
            ([snapshot("received", "2026-02-01", 9, 8, expected="2026-02-12")], "2026-02-12"),
            ([snapshot("received", "2026-02-01", 9, 8)], "2026-02-10"),
            ([snapshot("received", "2026-02-01", 9, 8, settled_at="2026-01-01")], None),
        ],
    )  # fmt: skip
    def test_a_date_falls_only_by_a_newer_snapshot_before_it(
        self, newer: list[Document], settled_on: str | None
    ) -> None:
        """A newer snapshot before the day's first instant overtakes the date; punished and unknown do not."""
        first = snapshot("received", "2026-02-01", 9, 8, expected="2026-02-10")
        assert settlement([first, *newer], "2099-01-01")[:2] == (settled_on is not None, settled_on)

    def test_a_paid_snapshot_after_the_day_is_not_settled(self) -> None:
        """A date settles only while S says received."""
        facts = [
            snapshot("received", "2026-02-01", 9, 9, expected="2026-02-10"),
            snapshot("paid", "2026-02-11", 900),
        ]
        assert money(Oracle(facts, [], [RULES]), "u1", "2026-03-01") == (585, 0, 0, 0)

    def test_a_date_in_effect_settles_a_restatement_without_amounts_at_nothing(self) -> None:
        """The settled commission that a received snapshot leaves out is 0."""
        facts = [
            snapshot("received", "2026-02-01", 900, 900, expected="2026-02-10"),
            snapshot("received", "2026-02-11", 900),
        ]
        assert money(Oracle(facts, [], [RULES]), "u1", "2026-02-12") == (0, 0, 0, 0)


class TestSettlementDay:
    """The day of a settlement that a status made."""

    @pytest.mark.parametrize(
        ("facts", "settled_on"),
        [
            ([snapshot("settled", "2026-01-10", 0, 9, settled_at="2026-01-09T16:00:00Z")], "2026-01-10"),
            ([snapshot("settled", "2026-01-10", 0, 9, settled_at="2026-01-09T15:59:59.9Z")], "2026-01-09"),
            ([snapshot("settled", "2026-01-10", 0, 9),
              snapshot("settled", "2026-01-12", 0, 9)], "2026-01-10"),
            ([snapshot("settled", "2026-01-10", 0, 9),
              snapshot("settled", "2026-01-12", 0, 9, settled_at="2026-01-11")], "2026-01-11"),
            ([snapshot("settled", "2026-01-10", 0, 9, settled_at="2026-01-08"),
              snapshot("settled", "2026-01-12", 0, 9)], "2026-01-10"),
            ([snapshot("settled", "2026-01-10", 0, 9, settled_at="2026-01-05"),
              snapshot("settled", "2026-01-10", 0, 9, settled_at="2026-01-08")], "2026-01-08"),
            ([snapshot("received", "2026-01-01", 9, 9, expected="2026-01-05"),
              snapshot("settled", "2026-01-10", 0, 9, settled_at="2026-01-03")], "2026-01-05"),
            ([snapshot("received", "2026-01-01", 9, 9, expected="2026-01-11"),
              snapshot("settled", "2026-01-10", 0, 9, settled_at="2026-01-03")], "2026-01-03"),
        ],
    )  # fmt: skip
    def test_date_in_effect_then_settled_time_then_first_settled_snapshot(
        self, facts: list[Document], settled_on: str
    ) -> None:
        """The date in effect, else times.settled of S, else the earliest settled modified_at."""
        assert settlement(facts, "2026-01-13")[1] == settled_on


class TestRelease:
    """The day from which on money is available."""

    @pytest.mark.parametrize(
        ("line", "settled_at", "release_on"),
        [
            ("taobao:1", "2026-01-01", "2026-02-21"),
            ("taobao:1", "2026-12-31 23:59:59", "2027-01-21"),
            ("taobao:1", "2026-12-31T16:00:00Z", "2027-02-21"),
            ("pdd:1", "2026-01-01", "2026-01-21"),
            ("pdd:1", "2026-01-15 23:59:59", "2026-01-21"),
            ("pdd:1", "2026-01-16", "2026-02-21"),
            ("pdd:1", "2026-12-16", "2027-01-21"),
            ("jd:1", "2026-01-10", "2026-02-09"),
            ("vip:1", "2026-01-31", "2026-03-02"),
        ],
    )
    def test_each_network_has_its_calendar(self, line: str, settled_at: str, release_on: str) -> None:
        """Taobao the 21st of the next month, PDD the 21st after its cut-off, others after 30 days."""
        facts = [snapshot("settled", "2026-01-05", 0, 1000, line=line, settled_at=settled_at)]
        assert settlement(facts, "2026-06-01", line)[2] == release_on

    @pytest.mark.parametrize(
        ("older", "expected", "release_on"),
        [
            ([], "2026-02-20", "2026-02-21"),
            ([snapshot("settled", "2026-01-02", 0, 9, line=JD, expected="2026-01-31")], None, "2026-02-01"),
            (
                [snapshot("settled", "2026-01-02", 0, 9, line=JD, expected="2026-03-01")],
                "2026-02-20",
                "2026-02-21",
            ),
            (
                [snapshot("received", "2026-01-02", 0, 9, line=JD, expected="2026-01-05")],
                "2026-02-20",
                "2026-01-06",
            ),
            ([snapshot("received", "2026-01-02", 0, 9, line=JD, expected="2026-01-20")], None, "2026-02-08"),
            (
                [snapshot("received", "2026-01-02", 0, 9, line=JD, expected="2026-01-20")],
                "2026-02-20",
                "2026-02-21",
            ),
        ],
    )
    def test_jd_is_released_the_day_after_its_date(
        self, older: list[Document], expected: str | None, release_on: str
    ) -> None:
        """The day after the D that settled it, else after a settled snapshot's date, else 30 days on."""
        best = snapshot("settled", "2026-01-10", 0, 9, line=JD, settled_at="2026-01-09", expected=expected)
        assert settlement([*older, best], "2026-01-11", JD)[2] == release_on

    def test_maturing_sums_confirmed_by_day(self) -> None:
        """Money of one release day is one entry, entries come by date, released money is none of them."""
        facts = [
            snapshot("settled", "2026-01-10", 0, 100, line="pdd:1"),
            snapshot("settled", "2026-01-20", 0, 100, line="pdd:2"),
            snapshot("settled", "2026-01-25", 0, 100, line="taobao:3"),
            snapshot("settled", "2026-01-25", 0, 0, line="vip:4"),
            snapshot("settled", "2026-01-25", 0, 100, line="vip:5"),
        ]
        answer = balance(Oracle(facts, [], [RULES]), "u1", "2026-01-21")
        assert answer["maturing"] == [{"on": "2026-02-21", "amount": 130}, {"on": "2026-02-24", "amount": 65}]
        assert (answer["confirmed"], answer["available"]) == (195, 65)
