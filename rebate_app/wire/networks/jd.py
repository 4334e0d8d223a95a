"""JD Union order rows (`jd.union.open.order.row.query`) as facts.

Law: contracts.md 8, column jd; field meanings in domain.md 1.2. A received row is not settled by the
clock here: the date `payMonth` goes along, and the fold knows when it takes effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .amounts import fen_of_yuan
from .rows import NetworkRow, Order, Row

if TYPE_CHECKING:
    from rebate_app.domain.faults import Fault

PLATFORM = "jd"
_CLOSED = (3, 4, 5, 6, 7, 8, 9, 11, 14, 19, 20, 21, 22, 23, 29, 30, 31, 34, 35)
_PUNISHED = (13, 25, 26, 27, 28, 36)
#: validCode; a code that is not here is `unknown` (domain.md 1.2: 33, −1, and whatever comes).
STATUSES = {
    "15": "created",
    "24": "created",
    "16": "paid",
    "17": "received",
    "18": "settled",
    "2": "superseded",
    **{str(code): "closed" for code in _CLOSED},
    **{str(code): "punished" for code in _PUNISHED},
}


def read_row(row: Row) -> tuple[dict[str, Any], list[Fault]]:
    """Return the fact of an order row and the faults of its fields."""
    fields = NetworkRow(row)
    code = fields.code("status", "validCode")
    order = Order(
        platform=PLATFORM,
        order_line_id=fields.identifier("order_line_id", "id"),
        parent_order_id=fields.shown("parentId") or fields.shown("orderId"),
        modified_at=fields.moment("seq.modified_at", "modifyTime"),
        status=None if code is None else STATUSES.get(code, "unknown"),
        platform_status=code,
        est_commission=fields.amount("amounts.est_commission", "estimateFee", fen_of_yuan),
        settled_commission=fields.amount("amounts.settled_commission", "actualFee", fen_of_yuan),
        paid_at=fields.moment("times.paid", "orderTime"),
        expected_settle=fields.day("times.expected_settle", "payMonth"),
        attribution={
            "sub_union_id": fields.identifier("attribution.sub_union_id", "subUnionId"),
            "pid": fields.identifier("attribution.pid", "positionId"),
        },
        item={"id": fields.shown("skuId"), "title": fields.shown("skuName")},
    )
    return order.document(), fields.faults
