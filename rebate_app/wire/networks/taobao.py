"""Taobao orders (`tbk.order.details.get`) and refunds (维权, `tbk.order.refund.get`) as facts.

Law: contracts.md 8, columns taobao; field meanings in domain.md 1.1. It is separate per network
because codes, fields and units are the network's own and change with it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..order_check import ORDER_SCHEMA, REFUND
from .amounts import fen_of_yuan
from .rows import NetworkRow, Order, Row, moment_text, without_none

if TYPE_CHECKING:
    from rebate_app.domain.faults import Fault

PLATFORM = "taobao"
#: tk_status; a code that is not here is `unknown`.
STATUSES = {"12": "paid", "14": "received", "3": "settled", "13": "closed"}
#: refund_status; a code that is not here is refused, because it may be money in either direction.
REFUND_STATUSES = {
    "4": "open",
    "11": "open",
    "12": "open",
    "14": "open",
    "2": "success",
    "13": "success",
    "3": "failed",
    "15": "restored",
}
_PID_PARTS = ("pub_id", "site_id", "adzone_id")


def is_refund(row: Row) -> bool:
    """Return whether a row is about a dispute: orders and refunds name their line differently."""
    return "refund_suit_id" in row or ("tb_trade_id" in row and "trade_id" not in row)


def read_row(row: Row) -> tuple[dict[str, Any], list[Fault]]:
    """Return the fact of a row, of either kind, and the faults of its fields."""
    return _refund(NetworkRow(row)) if is_refund(row) else _order(NetworkRow(row))


def _order(row: NetworkRow) -> tuple[dict[str, Any], list[Fault]]:
    """Map an order row."""
    modified_at = row.moment("seq.modified_at", "modified_time")
    if modified_at is None and not row.faults:
        fields = ("tk_create_time", "tb_paid_time", "tk_paid_time", "tk_earning_time")
        modified_at = row.newest("seq.modified_at", *fields)
    code = row.code("status", "tk_status")
    order = Order(
        platform=PLATFORM,
        order_line_id=row.identifier("order_line_id", "trade_id"),
        parent_order_id=row.shown("trade_parent_id"),
        modified_at=modified_at,
        status=_status(row, code),
        platform_status=code,
        est_commission=row.amount("amounts.est_commission", "pub_share_pre_fee", fen_of_yuan),
        settled_commission=row.amount("amounts.settled_commission", "pub_share_fee", fen_of_yuan),
        service_fee=row.amount("amounts.service_fee", "alimama_share_fee", fen_of_yuan),
        paid_at=row.moment("times.paid", "tb_paid_time", "tk_paid_time", "tk_create_time"),
        settled_at=row.moment("times.settled", "tk_earning_time"),
        attribution={
            "special_id": row.identifier("attribution.special_id", "special_id"),
            "relation_id": row.identifier("attribution.relation_id", "relation_id"),
            "pid": _pid(row),
        },
        item={
            "id": row.shown("item_id"),
            "title": row.shown("item_title"),
            "shop": row.shown("seller_shop_title"),
        },
    )
    return order.document(), row.faults


def _status(row: NetworkRow, code: str | None) -> str | None:
    """Return the status of a code; a deposit without its balance is not paid yet (pre-sale, TB-C)."""
    if code is None:
        return None
    if code == "12" and row.moment("tk_deposit_time", "tk_deposit_time") is not None:
        paid = row.amount("alipay_total_price", "alipay_total_price", fen_of_yuan)
        return "created" if paid == 0 else "paid"
    return STATUSES.get(code, "unknown")


def _pid(row: NetworkRow) -> str | None:
    """Return `mm_{pub_id}_{site_id}_{adzone_id}`, or None if a part is missing or zero."""
    parts = [row.identifier("attribution.pid", field) for field in _PID_PARTS]
    return None if None in parts else "_".join(["mm", *map(str, parts)])


def _refund(row: NetworkRow) -> tuple[dict[str, Any], list[Fault]]:
    """Map a refund row; what we give back is commission plus subsidy, without the service fees."""
    code = row.code("refund_status", "refund_status")
    status = None if code is None else REFUND_STATUSES.get(code)
    if code is not None and status is None:
        row.refuse("refund_status", "refund_status", "a known code")
    commission = row.amount("net_refund", "tk_commission_fee_refund", fen_of_yuan)
    subsidy = row.amount("net_refund", "tk_subsidy_fee_refund", fen_of_yuan) or 0
    times = ("modified_time", "tk_refund_suit_time", "tk_refund_time")
    document = {
        "schema": ORDER_SCHEMA,
        "kind": REFUND,
        "platform": PLATFORM,
        "order_line_id": row.identifier("order_line_id", "tb_trade_id"),
        "parent_order_id": row.shown("tb_trade_parent_id"),
        "suit_id": row.identifier("suit_id", "refund_suit_id"),
        "refund_status": status,
        "platform_status": code,
        "net_refund": None if commission is None else commission + subsidy,
        "modified_at": moment_text(row.moment("modified_at", *times)),
    }
    return without_none(document), row.faults
