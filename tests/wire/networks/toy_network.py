"""The adapter of a made-up network, as docs/how-to/add-a-network.md describes one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rebate_app.wire.networks.adapter import Adapter, MappedRow, PageEnd, PageItem, Row
from rebate_app.wire.networks.amounts import fen_of_yuan
from rebate_app.wire.networks.errors import OK_OR_ZERO_CODES, error_of
from rebate_app.wire.networks.pages import bare_rows, rows_in
from rebate_app.wire.networks.rows import NetworkRow, OrderRow

if TYPE_CHECKING:
    from collections.abc import Iterator

PLATFORM = "toy"
STATUSES = {"P": "paid", "S": "settled", "X": "closed"}
_ENVELOPE = "toy_orders_response"


def answer_rows(answer: Row) -> Iterator[PageItem]:
    """Find the rows of one answer, or the answer itself if it is a row."""
    envelope = answer.get(_ENVELOPE)
    if not isinstance(envelope, dict):
        yield from bare_rows(answer, "no")
        return
    error = error_of([envelope], OK_OR_ZERO_CODES)
    if error is not None:
        yield error
        return
    rows = list(rows_in(envelope.get("orders", [])))
    yield from rows
    yield PageEnd(len(rows), more=envelope.get("more") is True)


def read_row(row: Row, _fetched_at_ms: int) -> MappedRow:
    """Return the fact of an order row and the faults of its fields."""
    fields = NetworkRow(row)
    code = fields.code("status", "state")
    paid_at = fields.moment("times.paid", "paid")
    order = OrderRow(
        platform=PLATFORM,
        order_line_id=fields.identifier("order_line_id", "no"),
        parent_order_id=None,
        modified_at=fields.moment("seq.modified_at", "changed"),
        status=None if code is None else STATUSES.get(code, "unknown"),
        platform_status=code,
        est_commission=fields.amount("amounts.est_commission", "fee", fen_of_yuan),
        settled_commission=fields.amount("amounts.settled_commission", "fee", fen_of_yuan),
        paid_at=paid_at,
        settled_at=fields.settled(paid_at, "settled"),
        attribution={"custom_uid": fields.attribution("attribution.custom_uid", "buyer")},
        item={"title": fields.display("title")},
    )
    return fields.mapped(order.document())


ADAPTER = Adapter(answer_rows, read_row, re.compile(_ENVELOPE))
