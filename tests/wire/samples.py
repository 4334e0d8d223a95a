"""Well-formed facts and network rows, made up from the networks' field lists; tests bend them.

See docs/spec/networks.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.wire.facts.order import decode_order
from rebate_app.wire.moments import parse_moment
from rebate_app.wire.networks.file_reader import RowResult, read_facts

if TYPE_CHECKING:
    from pathlib import Path

    from rebate_app.domain.facts import OrderFact

#: After every moment of the samples.
NOW_US = parse_moment("2026-06-01T00:00:00Z")
KEY = b"taobao:3901000000000000011"

Document = dict[str, Any]


def bent(document: Document, **members: Any) -> Document:
    """Return a deep copy with members replaced; `a__b` is the member `b` of `a`, `...` takes one away."""
    copy: Document = json.loads(json.dumps(document))
    for path, value in members.items():
        parent, _, name = path.rpartition("__")
        home = copy[parent] if parent else copy
        if value is ...:
            home.pop(name, None)
        else:
            home[name] = value
    return copy


def snapshot(**members: Any) -> Document:
    """Return a settled snapshot with every member of the contract."""
    return bent(
        {
            "schema": "order-event/1",
            "kind": "order.snapshot",
            "platform": "taobao",
            "order_line_id": "3901000000000000011",
            "seq": {"modified_at": "2026-01-10T03:22:40+08:00", "fetch_seq": 918273},
            "status": "settled",
            "currency": "CNY",
            "amounts": {"est_commission": 1791, "settled_commission": 1701, "service_fee": 170},
            "times": {
                "paid": "2026-01-03T20:13:51+08:00",
                "settled": "2026-01-10T03:21:00+08:00",
                "expected_settle": "2026-02-20",
            },
            "attribution": {"special_id": "2880001234", "pid": "mm_118800001_2200000001_1110000000001"},
        },
        **members,
    )


def refund(**members: Any) -> Document:
    """Return a refund fact."""
    return bent(
        {
            "schema": "order-event/1",
            "kind": "order.refund",
            "platform": "taobao",
            "order_line_id": "3901000000000000011",
            "suit_id": "90000000001",
            "refund_status": "success",
            "net_refund": 510,
            "modified_at": "2026-01-23T11:05:03+08:00",
        },
        **members,
    )


def punish(**members: Any) -> Document:
    """Return a punish fact."""
    return bent(
        {
            "schema": "order-event/1",
            "kind": "order.punish",
            "platform": "taobao",
            "order_line_id": "3901000000000000011",
            "punish_status": "frozen",
            "modified_at": "2026-01-23T11:05:03+08:00",
        },
        **members,
    )


def claim(**members: Any) -> Document:
    """Return a claim."""
    return bent(
        {
            "schema": "order-event/1",
            "kind": "order.claim",
            "platform": "taobao",
            "order_line_id": "3901000000000000011",
            "user_id": "u1",
            "claimed_at": "2026-01-23T11:05:03+08:00",
        },
        **members,
    )


def taobao_row(**members: Any) -> Document:
    """Return a paid order row of taobao (docs/spec/networks.md#worked-example-tb-a)."""
    return bent(
        {
            "trade_id": "3901000000000000011",
            "trade_parent_id": "3901000000000000010",
            "tk_status": 12,
            "refund_tag": 0,
            "click_time": "2026-01-03 20:11:02",
            "tk_create_time": "2026-01-03 20:13:40",
            "tb_paid_time": "2026-01-03 20:13:51",
            "tk_paid_time": "2026-01-03 20:13:58",
            "modified_time": "2026-01-03 20:14:05",
            "tk_deposit_time": "--",
            "deposit_price": "0.00",
            "item_id": "n8XQv0-abc123",
            "item_title": "轻量跑鞋 男款",
            "alipay_total_price": "199.00",
            "pay_price": "0.00",
            "total_commission_fee": "99.99",
            "pub_share_pre_fee": "17.91",
            "pub_share_fee": "0.00",
            "alimama_share_fee": "1.79",
            "pub_id": 118800001,
            "site_id": 2200000001,
            "adzone_id": 1110000000001,
            "special_id": 2880001234,
            "relation_id": 0,
            "seller_shop_title": "示例旗舰店",
        },
        **members,
    )


def refund_row(**members: Any) -> Document:
    """Return a row of a dispute of taobao."""
    return bent(
        {
            "refund_suit_id": "90000000001",
            "tb_trade_parent_id": "3901000000000000010",
            "tb_trade_id": "3901000000000000011",
            "tk_refund_time": "2026-01-20 16:39:55",
            "tk_refund_suit_time": "",
            "modified_time": "2026-01-20 16:40:12",
            "refund_status": 4,
            "refund_fee": "63.00",
            "tk_commission_fee_refund": "5.10",
            "tk_subsidy_fee_refund": "0.00",
            "show_return_fee": "5.67",
        },
        **members,
    )


def jd_row(**members: Any) -> Document:
    """Return a paid order row of JD (docs/spec/networks.md#worked-example-jd-a)."""
    return bent(
        {
            "id": "JDROW000000001",
            "orderId": 310000000001,
            "parentId": 0,
            "orderTime": "2026-01-05 10:00:01",
            "finishTime": "",
            "modifyTime": "2026-01-05 10:00:30",
            "validCode": 16,
            "skuId": 100012345678,
            "skuName": "空气炸锅",
            "estimateFee": 12.56,
            "actualFee": 0.0,
            "payMonth": 0,
            "positionId": 3000000001,
            "subUnionId": "u_10086",
        },
        **members,
    )


def pdd_row(**members: Any) -> Document:
    """Return a paid order row of PDD (docs/spec/networks.md#worked-example-pdd-a)."""
    return bent(
        {
            "order_sn": "260105-000000000001",
            "order_status": 0,
            "goods_sign": "E9_demo",
            "goods_name": "抽纸 24 包",
            "promotion_amount": 698,
            "order_create_time": 1767571200,
            "order_pay_time": 1767571260,
            "order_settle_time": 0,
            "order_modify_at": 1767571262,
            "p_id": "8600001_250000001",
            "custom_parameters": '{"uid":"10086","sid":"s1"}',
        },
        **members,
    )


def encoded(document: Any) -> bytes:
    """Return JSON as another writer would: with spaces, and everything beyond ASCII escaped."""
    return json.dumps(document).encode()


def codes(faults: list[Fault]) -> list[str]:
    """Return the reason codes."""
    return [fault.code for fault in faults]


def decoded(document: Any, key: bytes | None = KEY, record_us: int = NOW_US) -> OrderFact:
    """Return the fact of a document as a record of the topic."""
    return decode_order(encoded(document), key, record_us)


def refusal(value: bytes | None, key: bytes | None = KEY, record_us: int = NOW_US) -> list[str]:
    """Return the reason codes of a record that is refused."""
    try:
        decode_order(value, key, record_us)
    except RefusedError as error:
        return codes(error.faults)
    raise AssertionError("the record was accepted")


def refused(document: Any, key: bytes | None = KEY, record_us: int = NOW_US) -> list[str]:
    """Return the reason codes of a document that is refused as a record of the topic."""
    return refusal(encoded(document), key, record_us)


def read_text(folder: Path, network: str, text: str | bytes, name: str = "file.json") -> list[RowResult]:
    """Return what a file with this text is read as."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_facts(path, network, NOW_US))


def read_rows(folder: Path, network: str, *rows: Document) -> list[RowResult]:
    """Return what a file of rows, one a line, is read as."""
    return read_text(folder, network, "".join(json.dumps(row) + "\n" for row in rows), "file.ndjson")


def read_row(folder: Path, network: str, row: Document) -> Document:
    """Return the fact of one row that is accepted."""
    (read,) = read_rows(folder, network, row)
    assert read.document is not None, read.faults
    return read.document


def row_refusal(folder: Path, network: str, row: Document) -> list[str]:
    """Return the reason codes of one row that is refused."""
    (read,) = read_rows(folder, network, row)
    assert read.document is None
    return codes(read.faults)
