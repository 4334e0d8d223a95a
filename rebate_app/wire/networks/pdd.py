"""PDD (多多进宝) order rows as facts.

Law: contracts.md 8, column pdd; field meanings in domain.md 1.3. This network counts in fen and Unix
seconds, and says what we earn in one field: `promotion_amount`, restated as the order goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..json_values import parse_network
from .amounts import fen_of_fen
from .rows import NetworkRow, Order, Row

if TYPE_CHECKING:
    from rebate_app.domain.faults import Fault

PLATFORM = "pdd"
SETTLED_CODE = "5"
#: order_status; a code that is not here is `unknown`.
STATUSES = {
    "-1": "created",
    "0": "paid",
    "1": "paid",
    "2": "received",
    "3": "received",
    SETTLED_CODE: "settled",
    "4": "closed",
    "8": "closed",
    "10": "punished",
}


def read_row(row: Row) -> tuple[dict[str, Any], list[Fault]]:
    """Return the fact of an order row and the faults of its fields."""
    fields = NetworkRow(row)
    code = fields.code("status", "order_status")
    earned = (
        fields.amount("amounts.settled_commission", "promotion_amount", fen_of_fen)
        if code == SETTLED_CODE
        else 0
    )
    order = Order(
        platform=PLATFORM,
        order_line_id=fields.identifier("order_line_id", "order_sn"),
        parent_order_id=None,
        modified_at=fields.moment("seq.modified_at", "order_modify_at"),
        status=None if code is None else STATUSES.get(code, "unknown"),
        platform_status=code,
        status_reason=fields.shown("fail_reason"),
        est_commission=fields.amount("amounts.est_commission", "promotion_amount", fen_of_fen),
        settled_commission=earned,
        paid_at=fields.moment("times.paid", "order_pay_time", "order_create_time"),
        settled_at=fields.moment("times.settled", "order_settle_time"),
        attribution={"custom_uid": _custom_uid(fields.value("custom_parameters")), "pid": _pid(fields)},
        item={
            "id": fields.shown("goods_sign") or fields.shown("goods_id"),
            "title": fields.shown("goods_name"),
        },
    )
    return order.document(), fields.faults


def _custom_uid(parameters: Any) -> str | None:
    """Return `uid` out of an object or its JSON text if it is text or an integer, else None."""
    if isinstance(parameters, str):
        try:
            parameters = parse_network(parameters)
        except ValueError:
            return None
    uid = parameters.get("uid") if isinstance(parameters, dict) else None
    if isinstance(uid, str):
        return uid
    return str(uid) if type(uid) is int else None


def _pid(fields: NetworkRow) -> str | None:
    """Return `p_id`, or None if one of its parts, which `_` joins, is missing or zero."""
    pid = fields.identifier("attribution.pid", "p_id")
    return None if pid is None or {"", "0"} & set(pid.split("_")) else pid
