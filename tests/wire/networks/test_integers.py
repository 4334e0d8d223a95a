"""Integers in any notation: some writers of JSON have doubles only (docs/spec/networks.md#integers)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebate_app.wire.json_values import parse_network
from rebate_app.wire.networks.errors import OK_CODES, code_in, flag
from rebate_app.wire.networks.integers import INTEGER_DIGITS_MAX, integer_of
from rebate_app.wire.networks.pages import total_count
from tests.wire.networks.test_error_answers import warnings_of
from tests.wire.networks.test_pages import jd_page, jd_result, pdd_page, taobao_page
from tests.wire.samples import (
    Document,
    codes,
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

#: network, row, and its members that are integers and no ids.
ROWS: list[tuple[str, Document, tuple[str, ...]]] = [
    ("taobao", taobao_row(), ("tk_status",)),
    ("taobao", taobao_row(tk_status=3, tk_earning_time=1768000000), ("tk_status", "tk_earning_time")),
    (
        "taobao",
        taobao_row(tb_paid_time=..., tk_paid_time=1767442438, modified_time=1767442445),
        ("tk_paid_time", "modified_time", "relation_id"),
    ),
    ("taobao", taobao_row(tk_deposit_time=1767000000, alipay_total_price=0), ("tk_deposit_time",)),
    ("taobao", refund_row(), ("refund_status", "tk_refund_suit_time")),
    ("taobao", refund_row(refund_status=13, modified_time=1768898412), ("refund_status", "modified_time")),
    ("jd", jd_row(), ("validCode", "payMonth")),
    ("jd", jd_row(validCode=17, payMonth=20260120), ("validCode", "payMonth")),
    ("jd", jd_row(orderTime=1767571262, modifyTime=1767571262), ("orderTime", "modifyTime")),
    ("jd", jd_row(validCode=-1), ("validCode",)),
    (
        "pdd",
        pdd_row(),
        ("order_status", "order_create_time", "order_pay_time", "order_settle_time", "order_modify_at"),
    ),
    ("pdd", pdd_row(order_status=5, order_settle_time=1771516800), ("order_status", "order_settle_time")),
    ("pdd", pdd_row(order_status=10), ("order_status",)),
]
NAMES = [f"{network}-{'-'.join(members)}" for network, _, members in ROWS]
#: Ways to write an integer as a double: Python's, with more zeros, and with an exponent.
FORMS = ("{:.1f}", "{:.4f}", "{:.9E}", "{:.12e}")


class TestRows:
    """Status codes, moments and days of rows."""

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize(("network", "row", "members"), ROWS, ids=NAMES)
    def test_as_double(
        self, tmp_path: Path, network: str, row: Document, members: tuple[str, ...], form: str
    ) -> None:
        """A double with an integral value is the integer, as a JSON number and as its text."""
        fact = read_row(tmp_path, network, row)
        numbers = {name: form.format(row[name] or 0) for name in members}
        text = json.dumps({**row, **{name: f"@{name}" for name in numbers}})
        for name, number in numbers.items():
            text = text.replace(f'"@{name}"', number)
        (read,) = read_text(tmp_path, network, text)
        assert (read.document, read.faults) == (fact, [])
        assert read_row(tmp_path, network, {**row, **numbers}) == fact

    def test_all_members_of_a_gson_writer(self, tmp_path: Path) -> None:
        """A row of which every number is a double, amounts too, is the same fact."""
        row = pdd_row(order_status=5, order_settle_time=1771516800, duo_id_service_fee=4)
        doubles = {name: float(value) if type(value) is int else value for name, value in row.items()}
        assert read_row(tmp_path, "pdd", doubles) == read_row(tmp_path, "pdd", row)

    @pytest.mark.parametrize(
        ("network", "row", "field"),
        [
            ("taobao", taobao_row(), "tk_status"),
            ("jd", jd_row(), "validCode"),
            ("pdd", pdd_row(), "order_status"),
        ],
    )
    def test_other_codes(self, tmp_path: Path, network: str, row: Document, field: str) -> None:
        """A number with a fraction and other text are codes that no network has; the rest is no code."""
        unknown = {12.5: "12.5", "+12": "+12", "0012": "0012", "1,2": "1,2", 1e50: "1E+50"}
        for code, shown in unknown.items():
            fact = read_row(tmp_path, network, {**row, field: code})
            assert (fact["status"], fact["platform_status"]) == ("unknown", shown)
        nothing = ("NULL", "NaN", "-Infinity", float("nan"), float("inf"))
        for value in (True, [12], {"code": 12}, "1" * 65, *nothing):
            assert row_refusal(tmp_path, network, {**row, field: value}) == ["invalid-status"]

    @pytest.mark.parametrize("code", [4.5, 99.0, "4.5", True])
    def test_other_codes_of_disputes(self, tmp_path: Path, code: object) -> None:
        """A dispute of no known code is refused in any notation."""
        assert row_refusal(tmp_path, "taobao", refund_row(refund_status=code)) == ["invalid-refund_status"]

    @pytest.mark.parametrize("value", [1767571262.5, "1767571262.5", 1.5e300, -1767571262.0, True])
    def test_no_moment(self, tmp_path: Path, value: object) -> None:
        """Seconds with a fraction, before 1970 or beyond the calendar are no moment."""
        row = pdd_row(order_modify_at=value)
        assert row_refusal(tmp_path, "pdd", row) == ["invalid-seq.modified_at"]

    def test_ids_stay_exact(self, tmp_path: Path) -> None:
        """An id as a double is refused for the line, and none for the attribution."""
        assert row_refusal(tmp_path, "pdd", pdd_row(order_sn=12.0)) == ["invalid-order_line_id"]
        fact = read_row(tmp_path, "taobao", taobao_row(special_id=2880001234.0, tk_status=12.0))
        assert fact["attribution"] == {"pid": "mm_118800001_2200000001_1110000000001"}


class TestAnswers:
    """Flags, counts and codes around the rows."""

    def test_taobao(self, tmp_path: Path) -> None:
        """`has_next` and `result_code` as doubles."""
        assert read_text(tmp_path, "taobao", json.dumps(taobao_page(has_next=0.0, results={}))) == []
        document = taobao_page(taobao_row(), has_next=1.0, result_code=200.0)
        assert warnings_of(tmp_path, "taobao", json.dumps(document)) == ["more-pages"]

    @pytest.mark.parametrize("code", [200.0, "200.0"])
    def test_jd(self, tmp_path: Path, code: object) -> None:
        """`code` and `hasMore` as doubles, in JSON and in its text."""
        document = jd_page(jd_result(jd_row(), code=code, hasMore=1.0))
        document["jd_union_open_order_row_query_responce"]["code"] = 0.0
        assert warnings_of(tmp_path, "jd", json.dumps(document)) == ["more-pages"]
        empty = jd_page(json.dumps(jd_result(code=code, hasMore=0.0)))
        assert read_text(tmp_path, "jd", json.dumps(empty)) == []
        (read,) = read_text(tmp_path, "jd", json.dumps(jd_page(jd_result(jd_row(), code=403.0))))
        assert codes(read.faults) == ["network-error"]

    def test_pdd(self, tmp_path: Path) -> None:
        """`total_count`, `success` and `error_code` as doubles."""
        document: Any = pdd_page(pdd_row())
        document["order_list_increment_get_response"] |= {
            "total_count": 2.0,
            "success": 1.0,
            "error_code": 0.0,
        }
        assert warnings_of(tmp_path, "pdd", json.dumps(document)) == ["more-pages"]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            *((Decimal("1.0"), True), (Decimal("0.0"), False), ("1.0", True), ("0", False), (1, True)),
            *((Decimal("0.5"), None), (Decimal("NaN"), None), (2, None), ("yes", None), ("TRUE", True)),
        ],
    )
    def test_flags(self, value: object, expected: object) -> None:
        """1 and 0 in any notation are flags, other numbers are none."""
        assert flag(value) is expected

    def test_counts(self) -> None:
        """A count is an integer that is not negative."""
        for value, total in ((Decimal("3.0"), 3), ("3.0", 3), (3, 3), (Decimal("3.5"), None), (-1, None)):
            assert total_count({"total_count": value}) == total
        assert not code_in("200.5", OK_CODES)


class TestEveryInteger:
    """Whatever the digits."""

    @given(st.integers(-(2**53), 2**53), st.sampled_from(["{!r}", "{:.1f}", "{:.20e}", "{:.25E}"]))
    def test_doubles(self, number: int, form: str) -> None:
        """Every integer that a double holds is read back from each of its notations."""
        text = form.format(float(number))
        assert integer_of(text) == integer_of(parse_network(text)) == number

    @given(st.integers())
    def test_plain(self, number: int) -> None:
        """A plain integer of any size is itself."""
        assert integer_of(number) == number

    @given(st.floats().filter(lambda number: not number.is_integer()))
    def test_fractions(self, number: float) -> None:
        """What is no integer is none, however it is written."""
        assert integer_of(parse_network(json.dumps(number))) is integer_of(str(number)) is None

    @pytest.mark.parametrize(
        "value",
        [
            None,
            True,
            1.0,
            [],
            {},
            "",
            " 1",
            "1 ",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "0x1",
            "١",
            "1e9999",
            "1e-999",
            "1,0",
        ],
    )
    def test_nothing_else(self, value: object) -> None:
        """What is no JSON number is none; neither is a binary float, which no reader of networks makes."""
        assert integer_of(value) is None

    def test_limit(self) -> None:
        """Numbers with an exponent have a limit, so that none costs more than it weighs; zeros are 0."""
        assert integer_of(f"1e{INTEGER_DIGITS_MAX - 1}") == 10 ** (INTEGER_DIGITS_MAX - 1)
        assert integer_of(f"1e{INTEGER_DIGITS_MAX}") is None
        assert integer_of("0e999") == integer_of("-0.0") == 0
