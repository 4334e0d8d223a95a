"""Money as networks write it.

See docs/spec/networks.md#amounts; docs/spec/domain.md#known-bugs bug 11; edge cases 30 and 31.
"""

from __future__ import annotations

from decimal import ROUND_UP, Decimal, getcontext, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebate_app.wire.json_values import parse_network
from rebate_app.wire.networks.amounts import fen_of_fen, fen_of_yuan, fen_of_yuan_sum


class TestYuan:
    """Yuan as text, as JSON numbers, as integers."""

    @pytest.mark.parametrize(
        ("text", "fen"),
        [
            ("0.29", 29),
            ("1.15", 115),
            ("19.99", 1999),
            ("0", 0),
            ("-0.00", 0),
            ("17.91", 1791),
            ("-1.5", -150),
            ("1,234.50", 123450),
            ("1,234,567.8", 123456780),
            ("007.10", 710),
            ("12.345", 1235),
            ("-12.345", -1235),
            ("12.344999999999999999999999999999999999999999999999", 1234),
            ("0.004999999999999999999999999999999999999999999999999", 0),
            ("0.005", 1),
            ("-0.005", -1),
            ("10000000", 10**9),
            ("-10000000.00", -(10**9)),
            ("1." + "0" * 900, 100),
        ],
    )
    def test_text(self, text: str, fen: int) -> None:
        """Text is its decimal number, rounded half away from zero to whole fen."""
        assert fen_of_yuan(text) == fen

    @pytest.mark.parametrize(
        ("number", "fen"),
        [
            ("0.29", 29),
            ("1.15", 115),
            ("19.99", 1999),
            ("12.56", 1256),
            ("12", 1200),
            ("-3", -300),
            ("299.0", 29900),
            ("1.005", 101),
            ("2.675", 268),
            ("-2.675", -268),
            ("1e-7", 0),
            ("1.5e1", 1500),
            ("1e-400", 0),
            ("0.30000000000000004", 30),
            ("1.00499999999999989", 101),  # the double whose shortest text is 1.005
            ("0.1" + "0" * 10_000, 10),
        ],
    )
    def test_number(self, number: str, fen: int) -> None:
        """A JSON number is the decimal number of the shortest text of its double; an integer is yuan."""
        assert fen_of_yuan(parse_network(number)) == fen

    @pytest.mark.parametrize(
        "text",
        [
            *(
                "",
                "--",
                " ",
                "1.2.3",
                "+1",
                "1e3",
                ".5",
                "5.",
                "0x10",
                "1_000",
                "--1",
                "- 1",
                "1 ",
                " 1",
                "1\n",
            ),
            *(
                "NaN",
                "Infinity",
                "inf",
                "12,34.50",
                "1,2345",
                ",123",
                "1,",
                "1.234,5",
                "１２.３４",
                "٣",
                "¥1",
                "\ud800",
            ),
            *("10000000.01", "-10000000.005", "9" * 900, "1" * 1_001),
        ],
    )
    def test_garbage(self, text: str) -> None:
        """Any other text is refused, and so is an amount beyond ±10⁹ fen."""
        with pytest.raises(ValueError, match="amount"):
            fen_of_yuan(text)

    @pytest.mark.parametrize(
        "number", ["NaN", "Infinity", "-Infinity", "1e999", "1e300", "10000000.01", "1" * 5_000]
    )
    def test_numbers_out_of_range(self, number: str) -> None:
        """A JSON number that is not finite or too large is refused, in whatever spelling."""
        with pytest.raises(ValueError, match="amount"):
            fen_of_yuan(parse_network(number))

    @pytest.mark.parametrize("value", [None, True, False, [], {}, 0.29, b"1"])
    def test_other_types(self, value: Any) -> None:
        """Nothing else is an amount; a binary float least of all."""
        with pytest.raises(ValueError, match="amount"):
            fen_of_yuan(value)

    @given(st.integers(-(10**9), 10**9))
    def test_every_amount(self, fen: int) -> None:
        """Every amount is read back exactly, as text, with commas and as a JSON number."""
        text = f"{Decimal(fen).scaleb(-2):f}"
        assert fen_of_yuan(text) == fen_of_yuan(f"{Decimal(fen).scaleb(-2):,f}") == fen
        assert fen_of_yuan(parse_network(text)) == fen_of_yuan(parse_network(repr(fen / 100))) == fen

    def test_no_context(self) -> None:
        """The thread's own decimal context decides nothing."""
        with localcontext() as context:
            context.prec, context.rounding = 2, ROUND_UP
            assert fen_of_yuan("1234567.891") == 123456789
        assert getcontext().prec == 28


class TestFen:
    """A network that counts in fen."""

    @pytest.mark.parametrize(("value", "fen"), [(698, 698), ("698", 698), ("1,698", 1698), (-5, -5), (0, 0)])
    def test_whole(self, value: Any, fen: int) -> None:
        """Whole fen are themselves."""
        assert fen_of_fen(value) == fen

    def test_fraction(self) -> None:
        """Half a fen is more than two decimals of yuan, and rounds away from zero."""
        assert fen_of_fen(parse_network("698.5")) == 699
        assert fen_of_fen("-698.5") == -699

    @pytest.mark.parametrize("value", [10**9 + 1, "1000000000.5", "--", "", True, Decimal("NaN")])
    def test_garbage(self, value: Any) -> None:
        """What is no amount is refused here too."""
        with pytest.raises(ValueError, match="amount"):
            fen_of_fen(value)


class TestSums:
    """Sums of amounts."""

    @pytest.mark.parametrize(("values", "fen"), [([], 0), (["0.004", "0.001"], 1), (["1", -1], 0)])
    def test_exact(self, values: list[object], fen: int) -> None:
        """They are exact, and rounded once."""
        assert fen_of_yuan_sum(values) == fen

    @pytest.mark.parametrize("bad", ["NaN", "x", Decimal("NaN"), Decimal("Infinity"), True])
    def test_refused(self, bad: object) -> None:
        """A part that is no amount makes the sum none."""
        with pytest.raises(ValueError, match="amount"):
            fen_of_yuan_sum(["1", bad])
