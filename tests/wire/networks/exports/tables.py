"""Builds exports as people download them: rows of text in every encoding and as workbooks."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from rebate_app.wire.moments import parse_moment
from rebate_app.wire.networks.exports.columns import ExportColumns
from rebate_app.wire.networks.exports.export_reader import read_export
from rebate_app.wire.networks.file_reader import RowResult

NOW_US = parse_moment("2026-02-01T00:00:00+08:00")
TAOBAO_HEADER = (
    *("创建时间", "付款时间", "结算时间", "淘宝子订单号", "淘宝父订单编号", "订单状态", "商品标题"),
    *("付款预估收入", "结算预估收入", "技术服务费", "渠道关系ID", "会员运营ID", "推广位ID", "收入比例"),
)
JD_HEADER = (
    "行ID",
    "订单号",
    "主单号",
    "订单状态",
    "下单时间",
    "完成时间",
    "结算时间",
    "预估佣金",
    "实际佣金",
)
#: Name and encoding of what the back offices and spreadsheets write.
ENCODINGS = {
    "utf-8": "utf-8",
    "utf-8-bom": "utf-8-sig",
    "utf-16": "utf-16",
    "utf-16-be": "utf-16-be",
    "gb18030": "gb18030",
}


def taobao_order(**more: Any) -> dict[str, Any]:
    """Return a settled order of the publisher's export."""
    return {
        "创建时间": "2026-01-03 20:13:40",
        "付款时间": "2026-01-03 20:13:51",
        "结算时间": "2026-01-10 03:21:00",
        "淘宝子订单号": "3901000000000000011",
        "淘宝父订单编号": "3901000000000000010",
        "订单状态": "已结算",
        "商品标题": "轻量跑鞋 男款，红",
        "付款预估收入": "17.91",
        "结算预估收入": "17.01",
        "技术服务费": "1.70",
        "渠道关系ID": "",
        "会员运营ID": "2880001234",
        "推广位ID": "1110000000001",
        "收入比例": "9.00%",
        **more,
    }


def jd_order(**more: Any) -> dict[str, Any]:
    """Return a settled order row of JD's export."""
    return {
        "行ID": "JDROW000000001",
        "订单号": "310000000001",
        "主单号": "0",
        "订单状态": "已结算",
        "下单时间": "2026-01-05 10:00:01",
        "完成时间": "2026-01-08 15:20:00",
        "结算时间": "2026-01-20 00:00:00",
        "预估佣金": "12.56",
        "实际佣金": "11.30",
        **more,
    }


def csv_text(header: Sequence[str], rows: Sequence[dict[str, Any]], separator: str = ",") -> str:
    """Return rows as CSV, absent columns as empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(header)
    writer.writerows([[row.get(name, "") for name in header] for row in rows])
    return text.getvalue()


def xlsx(header: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as a workbook; numbers and times of the rows become such cells."""
    book = Workbook()
    sheet = book.active
    sheet.append(list(header))
    for row in rows:
        sheet.append([row.get(name) for name in header])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def read(
    folder: Path, content: bytes | str, network: str = "taobao", columns: ExportColumns | None = None
) -> list[RowResult]:
    """Read a file with this content as an export."""
    path = folder / "export"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_export(path, network, NOW_US, columns=columns))


def zipped(content: bytes) -> bytes:
    """Return content as gzip."""
    return gzip.compress(content, mtime=0)  # the same bytes in every run


def documents(results: Sequence[RowResult]) -> list[dict[str, Any]]:
    """Return the facts of results, none of which may be refused."""
    assert [each.faults for each in results if each.document is None] == []
    return [each.document for each in results if each.document is not None]


def refusals(results: Sequence[RowResult]) -> list[tuple[int, list[str]]]:
    """Return line and codes of every refused row."""
    return [(each.row, [fault.code for fault in each.faults]) for each in results if each.document is None]
