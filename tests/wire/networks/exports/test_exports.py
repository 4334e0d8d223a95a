"""Exports of back offices become facts to the fen, in every encoding, or refusals with line and reason."""

from __future__ import annotations

import io
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from rebate_app.domain.facts import Snapshot
from rebate_app.domain.order.snapshot_key import key_of
from rebate_app.wire.facts.order import check_order
from rebate_app.wire.networks.exports.columns import ColumnsError, read_columns
from rebate_app.wire.networks.exports.export_reader import read_export
from rebate_app.wire.networks.exports.table import WORKBOOK_BYTES_MAX, cell_text
from rebate_app.wire.networks.file_reader import FileWarning
from rebate_app.wire.networks.taobao import read_row
from tests.wire.networks.exports.tables import (
    ENCODINGS,
    JD_HEADER,
    NOW_US,
    TAOBAO_HEADER,
    csv_text,
    documents,
    jd_order,
    read,
    refusals,
    taobao_order,
    xlsx,
    zipped,
)
from tests.wire.samples import taobao_row

FACT = {
    "schema": "order-event/1",
    "kind": "order.snapshot",
    "platform": "taobao",
    "order_line_id": "3901000000000000011",
    "parent_order_id": "3901000000000000010",
    "seq": {"modified_at": "2026-01-10T03:21:00+08:00", "fetch_seq": 0},
    "status": "settled",
    "platform_status": "已结算",
    "attribution": {"special_id": "2880001234"},
    "currency": "CNY",
    "amounts": {"est_commission": 1791, "settled_commission": 1701, "service_fee": 170},
    "times": {"paid": "2026-01-03T20:13:51+08:00", "settled": "2026-01-10T03:21:00+08:00"},
    "item": {"title": "轻量跑鞋 男款，红"},
}


def many_orders(count: int) -> list[dict[str, Any]]:
    """Return orders with random amounts; ids that no spreadsheet has touched."""
    random_ = random.Random(16)
    return [
        taobao_order(
            淘宝子订单号=str(3_901_000_000_000_000_011 + 7 * number),
            付款预估收入=f"{random_.randrange(100_000) / 100:.2f}",
            结算预估收入=f"{random_.randrange(100_000) / 100:.2f}",
            技术服务费=f"{random_.randrange(1_000) / 100:.2f}",
        )
        for number in range(count)
    ]


def amounts_of(facts: list[dict[str, Any]]) -> list[tuple[str, int, int, int]]:
    """Return line and amounts of facts, in fen."""
    names = ("est_commission", "settled_commission", "service_fee")
    return [(each["order_line_id"], *(each["amounts"][name] for name in names)) for each in facts]


def expected_of(orders: list[dict[str, Any]]) -> list[tuple[str, int, int, int]]:
    """Return the same from the texts of the export."""
    columns = ("付款预估收入", "结算预估收入", "技术服务费")
    return [
        (each["淘宝子订单号"], *(int(each[name].replace(".", "")) for name in columns)) for each in orders
    ]


class TestEncodings:
    """The same table gives the same facts, however it was written down."""

    @pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
    @pytest.mark.parametrize("separator", [",", "\t", ";"])
    def test_csv_in_every_encoding_and_with_every_separator(
        self, encoding: str, separator: str, tmp_path: Path
    ) -> None:
        """Encoding and separator are found out from the content, and amounts are right to the fen."""
        orders = [taobao_order(), *many_orders(50)]
        content = csv_text(TAOBAO_HEADER, orders, separator).encode(encoding)
        facts = documents(read(tmp_path, content))
        assert facts[0] == FACT
        assert amounts_of(facts) == expected_of(orders)

    def test_a_workbook_with_text_cells(self, tmp_path: Path) -> None:
        """XLSX as the back offices write it, ids and amounts as text."""
        orders = [taobao_order(), *many_orders(50)]
        facts = documents(read(tmp_path, xlsx(TAOBAO_HEADER, orders)))
        assert facts[0] == FACT
        assert amounts_of(facts) == expected_of(orders)

    def test_a_workbook_with_numbers_and_times(self, tmp_path: Path) -> None:
        """Binary floats are right to the fen, and days since 1900 to the second."""
        order = taobao_order(
            创建时间=datetime(2026, 1, 3, 20, 13, 40),  # noqa: DTZ001 - a cell has no time zone
            付款时间=datetime(2026, 1, 3, 20, 13, 51),  # noqa: DTZ001
            结算时间=datetime(2026, 1, 10, 3, 21),  # noqa: DTZ001
            付款预估收入=17.91,
            结算预估收入=17.01,
            技术服务费=1.7,
            会员运营ID=2880001234,
        )
        assert documents(read(tmp_path, xlsx(TAOBAO_HEADER, [order]))) == [FACT]

    def test_gzip(self, tmp_path: Path) -> None:
        """A compressed export is read like the export."""
        content = zipped(csv_text(TAOBAO_HEADER, [taobao_order()]).encode("gb18030"))
        assert documents(read(tmp_path, content)) == [FACT]

    def test_cells_as_spreadsheets_write_them(self, tmp_path: Path) -> None:
        """Tabs, backticks and formulae around ids, other notations of times, thousands commas."""
        order = taobao_order(
            淘宝子订单号="\t3901000000000000011",
            淘宝父订单编号="`3901000000000000010",
            会员运营ID='="2880001234"',
            创建时间="2026/1/3 20:13:40",
            付款时间="2026/1/3 20:13:51",
            结算时间="2026/1/10 3:21",
        )
        assert documents(read(tmp_path, csv_text(TAOBAO_HEADER, [order]))) == [FACT]
        grand = documents(read(tmp_path, csv_text(TAOBAO_HEADER, [taobao_order(付款预估收入="1,017.91")])))
        assert grand[0]["amounts"]["est_commission"] == 101_791

    def test_columns_are_found_by_name(self, tmp_path: Path) -> None:
        """Order, case, width and units of header names, and unknown columns, do not count."""
        header = [*reversed(TAOBAO_HEADER), "新的一列"]
        text = csv_text(header, [taobao_order()]).replace("渠道关系ID", "渠道关系ＩＤ", 1)
        text = text.replace("付款预估收入", " 付款预估收入（元） ", 1)
        assert documents(read(tmp_path, text)) == [FACT]

    @pytest.mark.parametrize(
        ("value", "text"),
        [(None, ""), (3.0, "3"), (0.29, "0.29"), (0.00001, "0.00001"), (3.9e17, "3.90000000000000E+17")],
    )
    def test_cells_of_workbooks(self, value: object, text: str) -> None:
        """A number is its shortest text, and one that a float cannot hold exactly looks like it."""
        assert cell_text(value) == text


class TestRows:
    """What a row needs, and which line a refusal names."""

    def test_a_refused_row_names_its_line_and_holds_up_no_other(self, tmp_path: Path) -> None:
        """The header is line 1; lines within quotes and blank lines count."""
        rows = [taobao_order(商品标题="two\nlines"), taobao_order(结算预估收入=""), taobao_order()]
        text = csv_text(TAOBAO_HEADER, rows)
        head, _, rest = text.partition("\r\n")
        results = read(tmp_path, f"{head}\r\n\r\n{rest}")
        assert refusals(results) == [(5, ["missing-amounts.settled_commission"])]
        assert [each.row for each in results] == [3, 5, 6]
        assert results[1].sources["amounts.settled_commission"] == ("结算预估收入",)
        assert results[1].order_line_id == "3901000000000000011"

    @pytest.mark.parametrize(
        ("cells", "codes"),
        [
            ({"技术服务费": ""}, ["missing-amounts.service_fee"]),
            (
                {"技术服务费": "", "订单状态": "已付款", "结算时间": "", "结算预估收入": ""},
                ["missing-amounts.service_fee"],
            ),
            ({"淘宝子订单号": ""}, ["missing-order_line_id"]),
            ({"订单状态": ""}, ["missing-status"]),
            ({"付款预估收入": "--"}, ["missing-amounts.est_commission"]),
            ({"付款预估收入": "17.9l"}, ["invalid-amounts.est_commission"]),
            ({"结算时间": "2026-01-02 00:00:00"}, ["invalid-times.settled"]),
            ({"结算时间": "soon"}, ["invalid-seq.modified_at", "invalid-times.settled"]),
            (
                {"创建时间": "", "付款时间": "", "结算时间": ""},
                ["missing-seq.modified_at", "missing-times.paid"],
            ),
            ({"结算时间": "2026-03-01 00:00:00"}, ["implausible-time"]),
        ],
    )
    def test_what_is_missing_or_cannot_be_read(
        self, cells: dict[str, str], codes: list[str], tmp_path: Path
    ) -> None:
        """The rules of API rows hold for exports."""
        text = csv_text(TAOBAO_HEADER, [taobao_order(**cells)])
        assert refusals(read(tmp_path, text)) == [(2, codes)]

    def test_closed_rows_need_no_amounts(self, tmp_path: Path) -> None:
        """As over the API."""
        row = taobao_order(订单状态="已失效", 付款预估收入="", 结算预估收入="", 技术服务费="", 结算时间="")
        assert documents(read(tmp_path, csv_text(TAOBAO_HEADER, [row])))[0]["status"] == "closed"

    def test_an_unknown_status_is_sent_as_unknown(self, tmp_path: Path) -> None:
        """It is worth nothing and keeps its text."""
        fact = documents(read(tmp_path, csv_text(TAOBAO_HEADER, [taobao_order(订单状态="审核中")])))[0]
        assert (fact["status"], fact["platform_status"]) == ("unknown", "审核中")

    def test_only_a_whole_pid_is_an_attribution(self, tmp_path: Path) -> None:
        """An ad zone alone would be another attribution id than the one of the API."""
        facts = documents(
            read(tmp_path, csv_text(TAOBAO_HEADER, [taobao_order(推广位ID="mm_1_2_3"), taobao_order()]))
        )
        assert [each["attribution"].get("pid") for each in facts] == ["mm_1_2_3", None]

    def test_a_quote_that_is_not_closed_is_one_refusal(self, tmp_path: Path) -> None:
        """Its lines are named; the rows after it are read."""
        text = csv_text(TAOBAO_HEADER, [taobao_order(商品标题="QUOTE"), taobao_order(), taobao_order()])
        results = read(tmp_path, text.replace("QUOTE", '"open', 1))
        assert [each.row for each in results if each.document is None] == [2]
        assert results[0].faults[0].code == "undecodable"

    def test_more_cells_than_the_header_are_refused(self, tmp_path: Path) -> None:
        """A separator within a cell has moved the amounts."""
        text = csv_text(TAOBAO_HEADER, [taobao_order()]).rstrip() + ",9\r\n"
        assert refusals(read(tmp_path, text)) == [(2, ["undecodable"])]

    def test_undecodable_bytes_refuse_a_row_only_where_they_matter(self, tmp_path: Path) -> None:
        """A damaged title stays a title; a damaged id is refused."""
        rows = [taobao_order(商品标题="BAD"), taobao_order(淘宝子订单号="BAD"), taobao_order()]
        content = csv_text(TAOBAO_HEADER, rows).encode().replace(b"BAD", b"\xff\xfe9")
        results = read(tmp_path, content)
        assert [(row, codes[0]) for row, codes in refusals(results)] == [(3, "undecodable")]


class TestDamagedIds:
    """Ids that a spreadsheet has cut never become lines."""

    @pytest.mark.parametrize("text", ["3.90E+17", "3.901e18", "4E+18"])
    def test_an_exponent(self, text: str, tmp_path: Path) -> None:
        """One row is enough."""
        text = csv_text(TAOBAO_HEADER, [taobao_order(淘宝子订单号=text), taobao_order()])
        assert refusals(read(tmp_path, text)) == [(2, ["id-damaged"])]

    @pytest.mark.parametrize("column", ["淘宝子订单号", "淘宝父订单编号", "会员运营ID"])
    def test_zeros_after_the_fifteenth_digit_in_every_row(self, column: str, tmp_path: Path) -> None:
        """Two rows or more that all end so were cut, whichever id it is."""
        rows = [
            taobao_order(**{column: "3901000000000110000"}),
            taobao_order(**{column: "390100000000022000"}),
        ]
        results = read(tmp_path, csv_text(TAOBAO_HEADER, rows))
        assert refusals(results) == [(2, ["id-damaged"]), (3, ["id-damaged"])]

    def test_one_row_or_other_digits_are_no_damage(self, tmp_path: Path) -> None:
        """An id may end in zeros."""
        zeros = taobao_order(淘宝子订单号="3901000000000110000")
        assert refusals(read(tmp_path, csv_text(TAOBAO_HEADER, [zeros]))) == []
        assert refusals(read(tmp_path, csv_text(TAOBAO_HEADER, [zeros, taobao_order()]))) == []

    def test_short_ids_say_nothing_about_the_others(self, tmp_path: Path) -> None:
        """Only ids of more than 15 digits are compared."""
        zeros = [taobao_order(淘宝子订单号=f"39010000000011{n}000") for n in (1, 2)]
        short = taobao_order(淘宝子订单号="123456789012345")
        assert [row for row, _ in refusals(read(tmp_path, csv_text(TAOBAO_HEADER, [*zeros, short])))] == [
            2,
            3,
        ]

    def test_numbers_of_a_workbook(self, tmp_path: Path) -> None:
        """A number with an exponent is refused, text beside it is not, and short numbers are exact."""
        rows = [taobao_order(淘宝子订单号=3.901e18), taobao_order(渠道关系ID=2880001234.0)]
        results = read(tmp_path, xlsx(TAOBAO_HEADER, rows))
        assert refusals(results) == [(2, ["id-damaged"])]
        assert results[1].document is not None
        assert results[1].document["attribution"]["relation_id"] == "2880001234"


class TestSums:
    """A row of sums is compared and never imported."""

    def sum_row(self, **cells: str) -> dict[str, Any]:
        """Return the sums of two of the orders."""
        return {
            "创建时间": "合计",
            "付款预估收入": "35.82",
            "结算预估收入": "34.02",
            "技术服务费": "3.40",
            **cells,
        }

    def test_sums_that_agree_are_left_out(self, tmp_path: Path) -> None:
        """Cells without a sum are not compared."""
        for row in (self.sum_row(), self.sum_row(创建时间="总计：", 技术服务费="")):
            results = read(tmp_path, csv_text(TAOBAO_HEADER, [taobao_order(), taobao_order(), row]))
            assert len(documents(results)) == 2

    def test_sums_that_differ_are_named_and_the_rows_are_sent(self, tmp_path: Path) -> None:
        """The refusal names the line of the sums and the amount."""
        rows = [taobao_order(), taobao_order(), self.sum_row(结算预估收入="34.03")]
        results = read(tmp_path, csv_text(TAOBAO_HEADER, rows))
        assert refusals(results) == [(4, ["sums-differ"])]
        assert results[2].faults[0].member == "amounts.settled_commission"
        assert len([each for each in results if each.document]) == 2

    def test_refused_rows_count_in_sums(self, tmp_path: Path) -> None:
        """The sums are those of the file."""
        rows = [taobao_order(), taobao_order(订单状态=""), self.sum_row()]
        assert refusals(read(tmp_path, csv_text(TAOBAO_HEADER, rows))) == [(3, ["missing-status"])]

    def test_sums_of_parts_and_of_the_whole(self, tmp_path: Path) -> None:
        """Each page may have its own sums before the sums of the file."""
        part = self.sum_row(
            创建时间="", 商品标题="本页汇总", 付款预估收入="17.91", 结算预估收入="17.01", 技术服务费="1.70"
        )
        rows = [taobao_order(), part, taobao_order(), part, self.sum_row()]
        assert len(documents(read(tmp_path, csv_text(TAOBAO_HEADER, rows)))) == 2

    @pytest.mark.parametrize("at_end", [False, True])
    def test_sums_above_their_rows(self, tmp_path: Path, at_end: bool) -> None:
        """A sum with no rows above it is that of the rows below it, up to the next sum or to the end."""
        one, other = taobao_order(), taobao_order(付款预估收入="20.00")
        part = self.sum_row(付款预估收入="17.91", 结算预估收入="17.01", 技术服务费="1.70")
        later, whole = {**part, "付款预估收入": "20.00"}, self.sum_row(付款预估收入="37.91")
        end = [whole] if at_end else []
        for rows in (
            [whole, one, other],
            [part, one, later, other],
            [whole, part, one, later, other],
            [one, part, later, other],
        ):
            results = read(tmp_path, csv_text(TAOBAO_HEADER, [*rows, *end]))
            assert (refusals(results), len(documents(results))) == ([], 2)
        wrong = [part, one, {**later, "技术服务费": "1.71"}, other]
        results = read(tmp_path, csv_text(TAOBAO_HEADER, [*wrong, *end]))
        assert refusals(results) == [(4, ["sums-differ"])]
        assert results[1].faults[0].detail.endswith("its rows have 170")

    @pytest.mark.parametrize("stated", ["12.34", "0.00"])
    def test_sums_above_that_differ(self, tmp_path: Path, stated: str) -> None:
        """It is compared with what is below it, and never with nothing."""
        stated_sum = {"创建时间": "合计", "付款预估收入": stated}
        rows = [stated_sum, taobao_order(), taobao_order()]
        results = read(tmp_path, csv_text(TAOBAO_HEADER, rows))
        assert refusals(results) == [(2, ["sums-differ"])]
        assert [each.document is not None for each in results] == [False, True, True]
        assert results[0].faults[0].detail.endswith("its rows have 3582")

    def test_sums_below_do_not_look_ahead(self, tmp_path: Path) -> None:
        """A sum with rows above it is theirs, whatever follows."""
        rows = [taobao_order(), self.sum_row(), taobao_order(), taobao_order()]
        assert refusals(read(tmp_path, csv_text(TAOBAO_HEADER, rows))) == [(3, ["sums-differ"] * 3)]

    def test_a_file_of_sums_alone(self, tmp_path: Path) -> None:
        """It has rows for none of its amounts."""
        assert refusals(read(tmp_path, csv_text(TAOBAO_HEADER, [self.sum_row()]))) == [
            (2, ["sums-differ"] * 3)
        ]

    @pytest.mark.parametrize("form", ["¥{}", "￥{}", "{}元", "¥ {} 元", "合计：{}", "+{}", " {} "])
    def test_the_currency_of_a_sum(self, tmp_path: Path, form: str) -> None:
        """A sum is compared whatever is written beside its number."""
        right = self.sum_row(付款预估收入=form.format("35.82"))
        wrong = self.sum_row(付款预估收入=form.format("1,035.82"))
        rows = [taobao_order(), taobao_order(), right, wrong]
        results = read(tmp_path, csv_text(TAOBAO_HEADER, rows))
        assert refusals(results) == [(5, ["sums-differ"])]
        assert "states 103582 fen" in results[-1].faults[0].detail

    @pytest.mark.parametrize("text", ["n/a", "$35.82", "35.82.1", "1E999", "¥", "NaN"])
    def test_a_sum_that_cannot_be_read(self, tmp_path: Path, text: str) -> None:
        """It is a refusal that names the amount, beside the others, which are compared."""
        rows = [taobao_order(), taobao_order(), self.sum_row(付款预估收入=text, 技术服务费="3.41")]
        results = read(tmp_path, csv_text(TAOBAO_HEADER, rows))
        expected = [] if text == "¥" else ["invalid-amounts.est_commission"]
        assert refusals(results) == [(4, [*expected, "sums-differ"])]
        assert [each.document is not None for each in results] == [True, True, False]

    def test_many_sums(self, tmp_path: Path) -> None:
        """Each is compared at the same cost, however many there are."""
        part = self.sum_row(付款预估收入="17.91", 结算预估收入="17.01", 技术服务费="1.70")
        rows = [taobao_order(), part] * 3_000
        assert refusals(read(tmp_path, csv_text(TAOBAO_HEADER, rows))) == []

    def test_a_title_with_the_word_is_an_order(self, tmp_path: Path) -> None:
        """A row with an id is no row of sums."""
        row = taobao_order(商品标题="合计 12 只")
        assert documents(read(tmp_path, csv_text(TAOBAO_HEADER, [row])))[0]["item"]["title"] == "合计 12 只"


class TestJd:
    """JD's export is imported only with a row id."""

    def test_a_row(self, tmp_path: Path) -> None:
        """Its statuses are texts, and it has no service fee."""
        fact = documents(read(tmp_path, csv_text(JD_HEADER, [jd_order()]), "jd"))[0]
        assert (fact["order_line_id"], fact["order_id"], fact["status"]) == (
            "JDROW000000001",
            "310000000001",
            "settled",
        )
        assert fact["amounts"] == {"est_commission": 1256, "settled_commission": 1130, "service_fee": 0}
        assert fact["times"] == {"paid": "2026-01-05T10:00:01+08:00", "settled": "2026-01-20T00:00:00+08:00"}
        assert fact["seq"] == {"modified_at": "2026-01-20T00:00:00+08:00", "fetch_seq": 0}

    def test_without_a_row_id_every_row_is_refused(self, tmp_path: Path) -> None:
        """订单号 is the order, and several lines share it."""
        results = read(tmp_path, csv_text(JD_HEADER[1:], [jd_order(), jd_order()]), "jd")
        assert refusals(results) == [(2, ["missing-order_line_id"]), (3, ["missing-order_line_id"])]

    def test_the_other_id_column(self, tmp_path: Path) -> None:
        """订单行ID is a row id too."""
        text = csv_text(JD_HEADER, [jd_order()]).replace("行ID", "订单行ID", 1)
        assert documents(read(tmp_path, text, "jd"))[0]["order_line_id"] == "JDROW000000001"


class TestOtherTables:
    """What is no export of orders of the network is refused as such."""

    def test_exports_of_disputes_are_for_comparison(self, tmp_path: Path) -> None:
        """They name no suit: a made-up one would be deducted twice."""
        header = ("淘宝子订单编号", "维权状态", "结算金额", "维权退款金额", "应返商家金额", "订单结算时间")
        row = {"淘宝子订单编号": "3901000000000000011", "维权状态": "维权成功", "维权退款金额": "63.00"}
        results = read(tmp_path, csv_text(header, [row, row]))
        assert refusals(results) == [(2, ["missing-suit_id"]), (3, ["missing-suit_id"])]

    def test_an_export_of_another_network(self, tmp_path: Path) -> None:
        """It is one refusal that names the network."""
        results = read(tmp_path, csv_text(JD_HEADER, [jd_order(), jd_order()]))
        assert refusals(results) == [(1, ["undecodable"])]
        assert "import the file as jd" in results[0].faults[0].detail

    @pytest.mark.parametrize("content", [b"a,b\r\n1,2\r\n", b"\xff\xd8\xff\xe0 a picture", b'"open'])
    def test_no_known_column(self, content: bytes, tmp_path: Path) -> None:
        """One refusal, at the header."""
        assert refusals(read(tmp_path, content)) == [(1, ["undecodable"])]

    def test_a_column_that_stands_twice(self, tmp_path: Path) -> None:
        """Which of the two is meant cannot be known."""
        header = (*TAOBAO_HEADER, "结算预估收入")
        assert refusals(read(tmp_path, csv_text(header, [taobao_order()]))) == [(1, ["undecodable"])]

    @pytest.mark.parametrize(
        "content", [b"PK\x03\x04 damaged", b"\xd0\xcf\x11\xe0 old", zipped(b"a,b\r\n" * 100)[:30]]
    )
    def test_damaged_files(self, content: bytes, tmp_path: Path) -> None:
        """One refusal, whatever the damage."""
        assert refusals(read(tmp_path, content)) == [(1, ["undecodable"])]

    def test_a_workbook_that_unpacks_to_too_much(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is refused by the sizes in its index."""
        monkeypatch.setattr("rebate_app.wire.networks.exports.table.WORKBOOK_BYTES_MAX", 100)
        results = read(tmp_path, xlsx(TAOBAO_HEADER, [taobao_order()]))
        assert refusals(results) == [(1, ["undecodable"])]
        assert WORKBOOK_BYTES_MAX == 2**30

    def test_a_file_that_is_too_long(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is refused before it is parsed."""
        monkeypatch.setattr("rebate_app.wire.networks.exports.table.DOCUMENT_BYTES_MAX", 100)
        assert refusals(read(tmp_path, csv_text(TAOBAO_HEADER, [taobao_order()]))) == [(1, ["undecodable"])]

    def test_empty_files_and_more_sheets_are_warnings(self, tmp_path: Path) -> None:
        """The sheet with the known columns is read, wherever it stands."""
        book = Workbook()
        book.active.append(["说明"])
        for title in ("orders", "more"):
            sheet = book.create_sheet(title)
            sheet.append(list(TAOBAO_HEADER))
            sheet.append([taobao_order()[name] for name in TAOBAO_HEADER])
        content = io.BytesIO()
        book.save(content)
        warnings: list[FileWarning] = []
        path = tmp_path / "export.xlsx"
        path.write_bytes(content.getvalue())
        results = list(read_export(path, "taobao", NOW_US, warn=warnings.append))
        assert documents(results) == [FACT]
        assert [each.code for each in warnings] == ["more-sheets"]
        path.write_bytes(b"")
        assert list(read_export(path, "taobao", NOW_US, warn=warnings.append)) == []
        assert [each.code for each in warnings] == ["more-sheets", "empty-file"]


MAP = """
schema = "export-columns/1"
network = "pdd"
amounts = "fen"
[columns]
order_line_id = ["order"]
status = ["state"]
paid_at = ["paid"]
expected_settle = ["expected"]
est_commission = ["commission"]
settled_commission = ["commission"]
pid = ["pid"]
[statuses]
"done" = "received"
"""


class TestColumnsFiles:
    """Mapping files of the operator's own."""

    def test_a_table_of_which_no_export_is_known(self, tmp_path: Path) -> None:
        """Amounts in fen, days without separators, pids as they are."""
        path = tmp_path / "map.toml"
        path.write_text(MAP)
        text = "order,state,paid,commission,expected,pid\n1-2,done,2026-01-03,698,20260220,8_9\n"
        fact = documents(read(tmp_path, text, "pdd", read_columns(path, "pdd")))[0]
        assert (fact["order_line_id"], fact["status"], fact["times"]) == (
            "1-2",
            "received",
            {"paid": "2026-01-03T00:00:00+08:00", "expected_settle": "2026-02-20"},
        )
        assert fact["amounts"]["est_commission"] == 698
        text = text.replace("20260220", "2026-2-20")
        assert documents(read(tmp_path, text, "pdd", read_columns(path, "pdd"))) == [fact]

    def test_all_problems_at_once(self, tmp_path: Path) -> None:
        """Each is one sentence."""
        path = tmp_path / "map.toml"
        path.write_text(
            'schema = "x"\nnetwork = "jd"\namounts = "usd"\nother = 1\nrefused = 1\nrecognised_by = []\n'
            '[columns]\nfoo = ["a"]\nstatus = "b"\n[statuses]\na = "fine"\n'
        )
        with pytest.raises(ColumnsError) as caught:
            read_columns(path, "pdd")
        assert len(caught.value.problems) == 9
        for text in ("[columns", 'network = "vip"\nstatuses = 1\n'):
            path.write_text(text)
            with pytest.raises(ColumnsError):
                read_columns(path)
        path.write_text(MAP.replace('paid_at = ["paid"]\n', "").replace('status = ["state"]', ""))
        with pytest.raises(ColumnsError) as caught:
            read_columns(path)
        assert len(caught.value.problems) == 2


class TestTies:
    """The same row over the API and in an export: the API holds."""

    def test_the_api_wins_a_tie(self, tmp_path: Path) -> None:
        """Also with smaller amounts, and for rows of the API without a modification time."""
        text = csv_text(TAOBAO_HEADER, [taobao_order(付款预估收入="99.00", 结算预估收入="99.00")])
        exported = check_order(documents(read(tmp_path, text))[0], NOW_US)
        row = taobao_row(
            trade_id="3901000000000000011",
            tk_status=3,
            tk_earning_time="2026-01-10 03:21:00",
            pub_share_fee="1.00",
            alimama_share_fee="0.10",
        )
        for modified in ("2026-01-10 03:21:00", "--"):
            fetched = check_order(read_row({**row, "modified_time": modified}, 1).document, NOW_US)
            assert isinstance(exported, Snapshot)
            assert isinstance(fetched, Snapshot)
            assert exported.modified_at == fetched.modified_at
            assert key_of(fetched) > key_of(exported)
