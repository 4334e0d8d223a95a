"""JD Union order rows (`jd.union.open.order.row.query`) as facts.

docs/spec/networks.md#rows, column jd; field meanings in docs/spec/networks.md#jd. Amounts are in yuan,
times are Beijing time. The adapter settles no received row by the clock: the fact carries the date
`payMonth`, and the fold applies it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..facts.members import quoted
from ..json_values import parse_network
from .adapter import Adapter, MappedRow, PageEnd, PageItem, Row
from .amounts import fen_of_yuan
from .errors import OK_CODES, OK_OR_ZERO_CODES, code_in, envelope_levels, error_of, flag, network_error
from .pages import bare_rows, has_rows, present_envelopes, rows_in
from .rows import NetworkRow, OrderRow

if TYPE_CHECKING:
    from collections.abc import Iterator


PLATFORM = "jd"
#: The network's own spelling, and the right one.
_ENVELOPES = ("jd_union_open_order_row_query_responce", "jd_union_open_order_row_query_response")
_ENVELOPE = re.compile("|".join(_ENVELOPES))
_CLOSED = (3, 4, 5, 6, 7, 8, 9, 11, 14, 19, 20, 21, 22, 23, 29, 30, 31, 34, 35)
_PUNISHED = (13, 25, 26, 27, 28, 36)
#: validCode; a code that is not here is `unknown` (docs/spec/networks.md#jd-status-codes: 33, −1, and
#: whatever comes).
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


def read_row(row: Row, _fetched_at_ms: int) -> MappedRow:
    """Return the fact of an order row and the faults of its fields."""
    fields = NetworkRow(row)
    code = fields.code("status", "validCode")
    order = OrderRow(
        platform=PLATFORM,
        order_line_id=fields.identifier("order_line_id", "id"),
        parent_order_id=fields.display_id("parentId") or fields.display_id("orderId"),
        order_id=fields.display_id("orderId"),
        modified_at=fields.moment("seq.modified_at", "modifyTime"),
        status=None if code is None else STATUSES.get(code, "unknown"),
        platform_status=code,
        est_commission=fields.amount("amounts.est_commission", "estimateFee", fen_of_yuan),
        settled_commission=fields.amount("amounts.settled_commission", "actualFee", fen_of_yuan),
        paid_at=fields.moment("times.paid", "orderTime"),
        expected_settle=fields.day("times.expected_settle", "payMonth"),
        attribution={
            "sub_union_id": fields.attribution("attribution.sub_union_id", "subUnionId"),
            "pid": fields.pid("positionId"),
        },
        item={"id": fields.display("skuId"), "title": fields.display("skuName")},
    )
    return fields.mapped(order.document())


def answer_rows(answer: Row) -> Iterator[PageItem]:
    """Find the rows of one answer of JD, or the answer itself if it is a row."""
    envelopes = {
        name: _with_parsed_result(envelope)
        for name, envelope in present_envelopes(answer, _ENVELOPES).items()
    }
    if not envelopes:
        yield from bare_rows(answer, "id", "validCode")
        return
    without_rows = not any(map(_has_data, envelopes.values()))
    levels = envelope_levels({**answer, **envelopes}, _is_row)
    error = error_of(levels, OK_OR_ZERO_CODES, without_rows=without_rows)
    if error is not None:
        yield error
        return
    for envelope in envelopes.values():
        if not isinstance(envelope, dict):
            yield network_error(answer, f"the envelope is {quoted(envelope)}")
        else:
            yield from _envelope_rows(answer, envelope)


def _is_row(value: Any) -> bool:
    """Return whether a value is an order row by its members."""
    return isinstance(value, dict) and "id" in value and "validCode" in value


def _with_parsed_result(envelope: Any) -> Any:
    """Return an envelope with `queryResult` as a value where it is JSON text, else as it is."""
    if not isinstance(envelope, dict) or not isinstance(envelope.get("queryResult"), str):
        return envelope
    try:
        return {**envelope, "queryResult": parse_network(envelope["queryResult"])}
    except ValueError:
        return envelope


def _has_data(envelope: Any) -> bool:
    """Return whether an envelope has rows."""
    result = envelope.get("queryResult") if isinstance(envelope, dict) else None
    return isinstance(result, dict) and has_rows(result.get("data"))


def _envelope_rows(answer: Row, envelope: Row) -> Iterator[PageItem]:
    """Find the rows of JD's `queryResult`."""
    result = envelope.get("queryResult")
    if not isinstance(result, dict):
        yield network_error(
            {**answer, **envelope}, f"queryResult has to be an object, and is {quoted(result)}"
        )
    else:
        yield from _result_rows(result)


def _result_rows(result: Row) -> Iterator[PageItem]:
    """Find the rows of JD's inner answer, whose `code` has to be 200."""
    data, more = result.get("data"), flag(result.get("hasMore"))
    error = error_of(envelope_levels(result, _is_row), OK_CODES)
    if error is not None or not code_in(result.get("code"), OK_CODES):
        yield error or network_error(result)
    elif has_rows(data):
        rows = list(rows_in(data))
        yield from rows
        yield PageEnd(len(rows), more is True)
    elif (data is None or data == []) and more is False:
        yield PageEnd(0)
    else:
        yield network_error(result, "the answer has no rows and is no empty page")


ADAPTER = Adapter(answer_rows, read_row, _ENVELOPE)
