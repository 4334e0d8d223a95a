"""PDD (多多进宝) order rows as facts.

docs/spec/networks.md#rows, column pdd; field meanings in docs/spec/networks.md#pdd. Amounts are in fen,
times are Unix seconds. The commission is one field, `promotion_amount`, restated as the order goes on; it
includes the software service fee `duo_id_service_fee`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..facts.members import quoted
from ..json_values import parse_network
from .adapter import Adapter, MappedRow, PageEnd, PageItem, Row
from .amounts import fen_of_fen
from .errors import OK_OR_ZERO_CODES, envelope_levels, error_of, network_error
from .pages import bare_rows, has_rows, present_envelopes, rows_in, total_count
from .rows import NetworkRow, OrderRow

if TYPE_CHECKING:
    from collections.abc import Iterator


PLATFORM = "pdd"
_LIST_ENVELOPES = ("order_list_get_response", "order_list_increment_get_response")
_DETAIL_ENVELOPE = "order_detail_response"
_ENVELOPE = re.compile("|".join((*_LIST_ENVELOPES, _DETAIL_ENVELOPE)))
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


def read_row(row: Row, _fetched_at_ms: int) -> MappedRow:
    """Return the fact of an order row and the faults of its fields."""
    fields = NetworkRow(row)
    code = fields.code("status", "order_status")
    earned = (
        fields.amount("amounts.settled_commission", "promotion_amount", fen_of_fen)
        if code == SETTLED_CODE
        else 0
    )
    paid_at = fields.moment("times.paid", "order_pay_time", "order_create_time")
    order = OrderRow(
        platform=PLATFORM,
        order_line_id=fields.identifier("order_line_id", "order_sn"),
        parent_order_id=None,
        modified_at=fields.moment("seq.modified_at", "order_modify_at"),
        status=None if code is None else STATUSES.get(code, "unknown"),
        platform_status=code,
        status_reason=fields.display("fail_reason"),
        est_commission=fields.amount("amounts.est_commission", "promotion_amount", fen_of_fen),
        settled_commission=earned,
        service_fee=fields.amount("amounts.service_fee", "duo_id_service_fee", fen_of_fen) or 0,
        paid_at=paid_at,
        settled_at=fields.settled(paid_at, "order_settle_time"),
        attribution={
            "custom_uid": _custom_uid(fields.value("custom_parameters")),
            "pid": _pid(fields),
        },
        item={
            "id": fields.display("goods_sign") or fields.display("goods_id"),
            "title": fields.display("goods_name"),
        },
    )
    return fields.mapped(order.document())


def _pid(fields: NetworkRow) -> str | None:
    """Return `p_id`, None if a part is missing or zero, and for plain digits, which are half of one."""
    pid = fields.pid("p_id")
    return None if pid is None or pid.lstrip("-").isdigit() else pid


def _custom_uid(parameters: Any) -> str | None:
    """Return `uid` out of an object or its JSON text if it is text or an integer, else None."""
    if isinstance(parameters, str):
        try:
            parameters = parse_network(parameters)
        except ValueError:
            return None
    uid = parameters.get("uid") if isinstance(parameters, dict) else None
    if not isinstance(uid, str) and type(uid) is not int:
        return None
    return NetworkRow({"uid": uid}).attribution("attribution.custom_uid", "uid")


def answer_rows(answer: Row) -> Iterator[PageItem]:
    """Find the rows of one answer of PDD, or the answer itself if it is a row."""
    envelopes = present_envelopes(answer, (*_LIST_ENVELOPES, _DETAIL_ENVELOPE))
    if not envelopes:
        yield from bare_rows(answer, "order_sn", "order_status")
        return
    orders = {name: _orders(name, envelope) for name, envelope in envelopes.items()}
    details = [envelope for envelope in envelopes.values() if _is_row(envelope)]
    error = error_of(
        [*envelope_levels(answer, _is_row), *details],
        OK_OR_ZERO_CODES,
        without_rows=not any(map(has_rows, orders.values())),
    )
    if error is not None:
        yield error
        return
    for name in envelopes:
        yield from _envelope_rows(name, answer, orders[name])


def _is_row(value: Any) -> bool:
    """Return whether a value is an order row by its members."""
    return isinstance(value, dict) and "order_sn" in value and "order_status" in value


def _orders(name: str, envelope: Any) -> Any:
    """Return what an envelope holds as rows; an `order_detail_response` is the row itself."""
    if not isinstance(envelope, dict):
        return None
    return envelope if name == _DETAIL_ENVELOPE and "order_sn" in envelope else envelope.get("order_list")


def _envelope_rows(name: str, answer: Row, orders: Any) -> Iterator[PageItem]:
    """Find the rows of PDD's `order_list`, or the one row of an `order_detail_response`."""
    envelope = answer[name]
    if not isinstance(envelope, dict):
        yield network_error(answer, f"the envelope is {quoted(envelope)}")
    elif name == _DETAIL_ENVELOPE:
        yield from _detail_row({**answer, **envelope}, orders)
    elif orders != [] and not has_rows(orders):
        yield network_error({**answer, **envelope}, "the answer has no list of orders")
    else:
        rows = list(rows_in(orders))
        yield from rows
        yield PageEnd(len(rows), total=total_count(envelope))


def _detail_row(levels: Row, orders: Any) -> Iterator[PageItem]:
    """Find the one row of an `order_detail_response`, which names the placement `pid`.

    `levels`: the members of the answer and of the envelope, for a refusal.
    """
    rows = list(rows_in(orders)) if has_rows(orders) else []
    if len(rows) != 1:
        yield network_error(levels, f"the answer has {len(rows)} rows, and has to have one")
        return
    (row,) = rows
    if isinstance(row, dict) and row.get("p_id") is None:
        row = {**row, "p_id": row.get("pid")}
    yield row
    yield PageEnd(1)


ADAPTER = Adapter(answer_rows, read_row, _ENVELOPE)
