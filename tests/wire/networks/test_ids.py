"""Ids keep every digit: numbers in another notation and words for nothing are no ids.

See docs/spec/networks.md#rows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebate_app.wire.networks.rows import NetworkRow, is_no_id
from tests.wire.samples import (
    Document,
    jd_row,
    pdd_row,
    read_row,
    read_text,
    refund_row,
    row_refusal,
    taobao_row,
)

if TYPE_CHECKING:
    from pathlib import Path

OTHER_NOTATIONS = (
    *("3.901E18", "3.9010000000000000E18", "3.901e+18", "4E18", "4e+18", "2880001234.0", "1.", ".5"),
    *("+2880001234", "-1.5", "3,901,000,000,000,000,011", "0.0", "1E-7"),
)
NULL_WORDS = (
    *("null", "NULL", "Null", "undefined", "NaN", "nan", "None", "none", "nil", "NIL", "(null)", "<nil>"),
    *("n/a", "N/A", "inf", "Infinity", "-inf", "+Infinity", "-NaN", "00", "0000000000000000000"),
)
BAD_TEXTS = (*OTHER_NOTATIONS, *NULL_WORDS)
#: No ids of lines and suits; as attribution values they may be names of people.
BAD_LINE_TEXTS = ("na", "NA", "true", "False", "±", "0x1F", "0XDEADBEEF", "0x", "-5", "-3901000000000000011")
#: JSON numbers that are no integers, as they stand in a file.
#: A negative integer is an attribution value.
BAD_LINE_NUMBERS = ("-1", "-3901000000000000011", "true", "false")
BAD_NUMBERS = ("3.901E18", "2880001234.0", "1.0", "0.5", "NaN", "Infinity", "-Infinity", "1e999")
GOOD_TEXTS = (
    *("3901000000000000011", "260105-000000000001", "JDROW000000001", "E9_demo", "1E", "E18", "1.2.3"),
    *("nullify", "Nancy", "none-of-them", "1_0", "a.b", "007"),
)

#: network, row, field of a line or suit, member.
NEEDED: list[tuple[str, Document, str, str]] = [
    ("taobao", taobao_row(), "trade_id", "order_line_id"),
    ("taobao", refund_row(), "tb_trade_id", "order_line_id"),
    ("taobao", refund_row(), "refund_suit_id", "suit_id"),
    ("jd", jd_row(), "id", "order_line_id"),
    ("pdd", pdd_row(), "order_sn", "order_line_id"),
]
#: network, row, field, attribution member.
OPTIONAL: list[tuple[str, Document, str, str]] = [
    ("taobao", taobao_row(), "special_id", "special_id"),
    ("taobao", taobao_row(relation_id="77"), "relation_id", "relation_id"),
    ("taobao", taobao_row(), "pub_id", "pid"),
    ("taobao", taobao_row(), "site_id", "pid"),
    ("taobao", taobao_row(), "adzone_id", "pid"),
    ("jd", jd_row(), "subUnionId", "sub_union_id"),
    ("jd", jd_row(), "positionId", "pid"),
    ("pdd", pdd_row(), "p_id", "pid"),
]
SHOWN: list[tuple[str, Document, str, str]] = [
    ("taobao", taobao_row(), "trade_parent_id", "parent_order_id"),
    ("taobao", refund_row(), "tb_trade_parent_id", "parent_order_id"),
    ("jd", jd_row(), "orderId", "order_id"),
    ("jd", jd_row(orderId=..., parentId="1"), "parentId", "parent_order_id"),
]


def names(cases: list[tuple[str, Document, str, str]]) -> list[str]:
    """Return the names of test cases."""
    return [f"{network}-{field}" for network, _, field, _ in cases]


def with_number(row: Document, field: str, number: str) -> str:
    """Return the JSON of a row in which a field is a number, written exactly so."""
    return json.dumps({**row, field: "@"}).replace('"@"', number)


@pytest.mark.parametrize(("network", "row", "field", "member"), NEEDED, ids=names(NEEDED))
class TestNeeded:
    """Ids of lines and suits."""

    @pytest.mark.parametrize("text", [*BAD_TEXTS, *BAD_LINE_TEXTS])
    def test_texts(
        self, tmp_path: Path, network: str, row: Document, field: str, member: str, text: str
    ) -> None:
        """The row is refused by the member's name: two orders never become one line."""
        assert row_refusal(tmp_path, network, {**row, field: text}) == [f"invalid-{member}"]

    @pytest.mark.parametrize("number", [*BAD_NUMBERS, *BAD_LINE_NUMBERS])
    def test_numbers(
        self, tmp_path: Path, network: str, row: Document, field: str, member: str, number: str
    ) -> None:
        """A JSON number with a point or an exponent has lost digits, even where none shows."""
        (read,) = read_text(tmp_path, network, with_number(row, field, number))
        assert [fault.code for fault in read.faults] == [f"invalid-{member}"]

    @pytest.mark.parametrize("text", GOOD_TEXTS)
    def test_ids(
        self, tmp_path: Path, network: str, row: Document, field: str, member: str, text: str
    ) -> None:
        """What only looks a little like a number is an id."""
        assert read_row(tmp_path, network, {**row, field: text})[member] == text


@pytest.mark.parametrize(("network", "row", "field", "member"), OPTIONAL, ids=names(OPTIONAL))
class TestAttribution:
    """Ids that name somebody, or nobody."""

    @pytest.mark.parametrize("text", [*BAD_TEXTS, "", "0", "--", ".", ".."])
    def test_texts(
        self, tmp_path: Path, network: str, row: Document, field: str, member: str, text: str
    ) -> None:
        """The row is taken without that id: lines of strangers never meet under one made-up id."""
        assert member not in read_row(tmp_path, network, {**row, field: text}).get("attribution", {})

    @pytest.mark.parametrize("number", [*BAD_NUMBERS, "0", "null"])
    def test_numbers(
        self, tmp_path: Path, network: str, row: Document, field: str, member: str, number: str
    ) -> None:
        """A JSON number with a point names nobody."""
        (read,) = read_text(tmp_path, network, with_number(row, field, number))
        assert read.document is not None
        assert member not in read.document.get("attribution", {})

    def test_ids(self, tmp_path: Path, network: str, row: Document, field: str, member: str) -> None:
        """An id of plain digits is kept, as text or as a number."""
        values = ("2880001234_1",) if field == "p_id" else ("2880001234", 2880001234)
        for value in values:
            fact = read_row(tmp_path, network, {**row, field: value})
            assert "2880001234" in fact["attribution"][member]


class TestCustomParameters:
    """The uid inside of PDD's `custom_parameters`."""

    @pytest.mark.parametrize("uid", [*(json.dumps(text) for text in BAD_TEXTS), *BAD_NUMBERS])
    @pytest.mark.parametrize("as_text", [True, False])
    def test_no_uid(self, tmp_path: Path, uid: str, as_text: bool) -> None:
        """A uid in another notation, or a word for nothing, leaves the line to its pid."""
        parameters = f'{{"uid":{uid}}}'
        text = with_number(pdd_row(), "custom_parameters", json.dumps(parameters) if as_text else parameters)
        (read,) = read_text(tmp_path, "pdd", text)
        assert read.document is not None
        assert read.document["attribution"] == {"pid": "8600001_250000001"}


class TestPids:
    """Placements of several parts."""

    @pytest.mark.parametrize("zero", ["0", "00", "000000", 0, "", None, "null", "0.0"])
    @pytest.mark.parametrize("part", range(3))
    def test_zero_part(self, tmp_path: Path, zero: Any, part: int) -> None:
        """A pid with a missing or zero part is none, whichever part and however it is written."""
        field = ("pub_id", "site_id", "adzone_id")[part]
        fact = read_row(tmp_path, "taobao", taobao_row(**{field: zero}))
        assert fact["attribution"] == {"special_id": "2880001234"}
        texts = ["1", "2", "3"]
        texts[part] = "" if zero is None else str(zero)
        assert "pid" not in read_row(tmp_path, "pdd", pdd_row(p_id="_".join(texts)))["attribution"]

    def test_detail(self, tmp_path: Path) -> None:
        """Only PDD's detail names the placement `pid`, and only where `p_id` is absent."""
        for p_id, pid, expected in (
            (..., "3_4", "3_4"),
            (None, "3_4", "3_4"),
            ("1_2", "3_4", "1_2"),
            ("0_0", "3_4", None),
            ("", "3_4", None),
            (..., "3", None),
        ):
            row = pdd_row(p_id=p_id, pid=pid)
            (read,) = read_text(tmp_path, "pdd", json.dumps({"order_detail_response": row}))
            assert read.document is not None
            assert read.document["attribution"].get("pid") == expected
            listed = read_row(tmp_path, "pdd", row)["attribution"]
            assert listed.get("pid") == ("1_2" if p_id == "1_2" else None)

    @pytest.mark.parametrize("part", ["x", "1a", "１", "1_2", "-5", "--", "mm"])
    def test_digits(self, tmp_path: Path, part: str) -> None:
        """The parts of a pid of taobao are digits."""
        for field in ("pub_id", "site_id", "adzone_id"):
            fact = read_row(tmp_path, "taobao", taobao_row(**{field: part}))
            assert fact["attribution"] == {"special_id": "2880001234"}


class TestNames:
    """Attribution values that are no ids of lines."""

    @pytest.mark.parametrize("text", ["na", "NA", "true", "E18", "12X4", "nil0", "info"])
    def test_kept(self, tmp_path: Path, text: str) -> None:
        """They may be names of people."""
        assert read_row(tmp_path, "jd", jd_row(subUnionId=text))["attribution"]["sub_union_id"] == text
        fact = read_row(tmp_path, "pdd", pdd_row(custom_parameters={"uid": text}))
        assert fact["attribution"]["custom_uid"] == text

    def test_exponent(self, tmp_path: Path) -> None:
        """`12E4` is a number in another notation and names nobody."""
        assert "sub_union_id" not in read_row(tmp_path, "jd", jd_row(subUnionId="12E4"))["attribution"]


class TestShown:
    """Order numbers that are kept for people."""

    @pytest.mark.parametrize(("network", "row", "field", "member"), SHOWN, ids=names(SHOWN))
    @pytest.mark.parametrize("text", BAD_TEXTS)
    def test_none(
        self, tmp_path: Path, network: str, row: Document, field: str, member: str, text: str
    ) -> None:
        """One with lost digits is not shown, and refuses nothing."""
        assert member not in read_row(tmp_path, network, {**row, field: text})


class TestEveryNumber:
    """Whatever the digits."""

    @given(st.integers(1, 10**24))
    def test_plain_digits(self, number: int) -> None:
        """Plain digits are an id, as text and as an integer, with every digit."""
        for value in (number, str(number)):
            fields = NetworkRow({"id": value})
            assert fields.identifier("order_line_id", "id") == str(number)
            assert fields.faults == []

    @given(
        st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["{!r}", "{:e}", "{:E}", "{:.1f}"])
    )
    def test_doubles(self, number: float, form: str) -> None:
        """No double is an id, however it is written."""
        text = form.format(number)
        assert is_no_id(text)
        assert NetworkRow({"id": text}).attribution("attribution.pid", "id") is None
        fields = NetworkRow({"id": text})
        assert fields.identifier("order_line_id", "id") is None
        assert [fault.code for fault in fields.faults] == ["invalid-order_line_id"]
