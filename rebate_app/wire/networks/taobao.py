"""Taobao orders (`tbk.order.details.get`) and refunds (维权, `tbk.order.refund.get`) as facts.

docs/spec/networks.md#rows, columns taobao; field meanings in docs/spec/networks.md#taobao. Amounts are in
yuan, times are Beijing time. A row without a modification time takes the newest of its times and the time of
the fetch as `fetch_seq`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rebate_app.domain.faults import missing

from ..facts.order_check import ORDER_SCHEMA, REFUND
from .adapter import Adapter, MappedRow, PageEnd, PageItem, Row
from .amounts import fen_of_yuan, fen_of_yuan_sum
from .errors import OK_CODES, OK_OR_ZERO_CODES, envelope_levels, error_of, error_report, flag
from .pages import has_rows, present_envelopes, row_or_refusal, rows_in, total_count
from .rows import API_FETCH_SEQ, NONE_TEXTS, NetworkRow, OrderRow, moment_text, without_none

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rebate_app.domain.faults import Fault

PLATFORM = "taobao"
#: tk_status; a code that is not here is `unknown`.
STATUSES = {"12": "paid", "14": "received", "3": "settled", "13": "closed"}
#: Statuses at which `alimama_share_fee` is needed: without it too much would be paid.
FEE_STATUSES = frozenset({"paid", "received", "settled"})
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
#: The member of an answer that holds order rows; refund rows are found by their id.
_ROWS_MEMBER = "publisher_order_dto"
_ORDER_RESULTS = ("results",)
_REFUND_RESULTS = ("result", "results")
_ENVELOPE = re.compile(r"(?:taobao_)?tbk_\w+_response")
_PID_PARTS = ("pub_id", "site_id", "adzone_id")
_PID = re.compile(r"[0-9]+_[0-9]+_[0-9]+")
_REFUND_AMOUNTS = ("tk_commission_fee_refund", "tk_subsidy_fee_refund")


def is_refund(row: Row) -> bool:
    """Return whether a row is about a dispute: orders and refunds name their line differently."""
    if "trade_id" in row:
        return _has_suit(row)
    return "refund_suit_id" in row or "tb_trade_id" in row


def read_row(row: Row, fetched_at_ms: int) -> MappedRow:
    """Return the fact of a row, of either kind, and the faults of its fields.

    `fetched_at_ms`, milliseconds since 1970, orders the versions of rows without a modification time.
    """
    return _refund(NetworkRow(row)) if is_refund(row) else _order(NetworkRow(row), fetched_at_ms)


def _order(row: NetworkRow, fetched_at_ms: int) -> MappedRow:
    """Map an order row."""
    modified_at, fetch_seq = row.moment("seq.modified_at", "modified_time"), API_FETCH_SEQ
    if modified_at is None and not row.faults:
        fields = ("tk_create_time", "tb_paid_time", "tk_paid_time", "tk_earning_time")
        modified_at, fetch_seq = row.newest("seq.modified_at", *fields), fetched_at_ms
    code = row.code("status", "tk_status")
    status = _status(row, code)
    paid_at = row.moment("times.paid", "tb_paid_time", "tk_paid_time", "tk_create_time")
    order = OrderRow(
        platform=PLATFORM,
        order_line_id=row.identifier("order_line_id", "trade_id"),
        parent_order_id=row.display_id("trade_parent_id"),
        modified_at=modified_at,
        fetch_seq=fetch_seq,
        status=status,
        platform_status=code,
        est_commission=row.amount("amounts.est_commission", "pub_share_pre_fee", fen_of_yuan),
        settled_commission=row.amount("amounts.settled_commission", "pub_share_fee", fen_of_yuan),
        service_fee=_service_fee(row, status),
        paid_at=paid_at,
        settled_at=row.settled(paid_at, "tk_earning_time"),
        attribution={
            "special_id": row.attribution("attribution.special_id", "special_id"),
            "relation_id": row.attribution("attribution.relation_id", "relation_id"),
            "pid": _pid(row),
        },
        item={
            "id": row.display("item_id"),
            "title": row.display("item_title"),
            "shop": row.display("seller_shop_title"),
        },
    )
    return row.mapped(order.document())


def _status(row: NetworkRow, code: str | None) -> str | None:
    """Return the status of a code; a deposit without its balance is not paid yet (pre-sale, TB-C)."""
    if code is None:
        return None
    if code == "12" and row.moment("tk_deposit_time", "tk_deposit_time") is not None:
        paid = row.amount("alipay_total_price", "alipay_total_price", fen_of_yuan)
        return "created" if paid == 0 else "paid"
    return STATUSES.get(code, "unknown")


def _pid(row: NetworkRow) -> str | None:
    """Return `mm_{pub_id}_{site_id}_{adzone_id}`, or None if a part is missing, zero or no digits."""
    pid = row.pid(*_PID_PARTS)
    return None if pid is None or not _PID.fullmatch(pid) else f"mm_{pid}"


def _service_fee(row: NetworkRow, status: str | None) -> int | None:
    """Return `alimama_share_fee`; absent, it is a fault where money depends on it."""
    if row.value("alimama_share_fee") is None and status in FEE_STATUSES:
        row.faults.append(missing("amounts.service_fee"))
    return row.amount("amounts.service_fee", "alimama_share_fee", fen_of_yuan)


def _refund(row: NetworkRow) -> MappedRow:
    """Map a refund row; what we give back is commission plus subsidy, without the service fees."""
    code = row.code("refund_status", "refund_status")
    status = None if code is None else REFUND_STATUSES.get(code)
    if code is not None and status is None:
        row.refuse("refund_status", "refund_status", "a known code")
    times = ("modified_time", "tk_refund_suit_time", "tk_refund_time")
    document = {
        "schema": ORDER_SCHEMA,
        "kind": REFUND,
        "platform": PLATFORM,
        "order_line_id": row.identifier("order_line_id", "tb_trade_id"),
        "parent_order_id": row.display_id("tb_trade_parent_id"),
        "suit_id": row.identifier("suit_id", "refund_suit_id"),
        "refund_status": status,
        "platform_status": code,
        "net_refund": _net_refund(row),
        "modified_at": moment_text(row.moment("modified_at", *times)),
    }
    return row.mapped(without_none(document))


def _net_refund(row: NetworkRow) -> int | None:
    """Return commission plus subsidy, rounded once; None without a commission."""
    amounts = [row.amount("net_refund", field, fen_of_yuan) for field in _REFUND_AMOUNTS]
    if amounts[0] is None or any(fault.member == "net_refund" for fault in row.faults):
        return None
    values = [row.value(field) for field in _REFUND_AMOUNTS if row.value(field) is not None]
    try:
        return fen_of_yuan_sum(values)
    except ValueError:
        row.refuse("net_refund", _REFUND_AMOUNTS[0], "within ±10⁹ fen with the subsidy added")
        return None


class _AnswerSearch:
    """Searches an answer of taobao depth first: rows, and the objects of the envelope around them."""

    def __init__(self, answer: Row) -> None:
        self.rows: list[Row | Fault] = []
        self.levels = list(envelope_levels(answer, _is_whole_row))
        self._visit(answer, _is_row)

    def _visit(self, value: Any, is_row: Callable[[Any], bool]) -> None:
        """Take a row with all its neighbours in an array, and go into everything else."""
        if isinstance(value, list):
            if any(is_row(element) for element in value):
                self._take(value)
            else:
                for element in value:
                    self._visit(element, is_row)
        elif isinstance(value, dict):
            if is_row(value):
                self._take(value)
                return
            for name, member in value.items():
                if name == _ROWS_MEMBER and is_row is _is_row and has_rows(member):
                    self._take(member)
                else:
                    self._visit(member, is_row)

    def _take(self, rows: list[Any] | Row) -> None:
        """Take rows, each before the refund rows within it."""
        for row in rows_in(rows):
            self.rows.append(row)
            if isinstance(row, dict):
                for member in row.values():
                    self._visit(member, _has_suit)

    def flags(self) -> list[bool | None]:
        """Return every `has_next` of the envelope."""
        return [flag(level["has_next"]) for level in self.levels if "has_next" in level]

    def is_empty(self, names: tuple[str, ...]) -> bool:
        """Return whether the answer is an empty page: a member of results without rows, and no next page."""
        flags = self.flags()
        results = [level[name] for level in self.levels for name in names if name in level]
        found = [value for value in results if value is not None and value != []]
        return (
            bool(flags and found) and not any(flags) and None not in flags and all(map(_has_no_rows, found))
        )

    def page(self) -> PageEnd:
        """Return the end of this page; `has_next` takes precedence over a total, which spans all pages."""
        flags = self.flags()
        totals = [] if flags else [total_count(level) for level in self.levels]
        return PageEnd(len(self.rows), any(flags), next((each for each in totals if each is not None), None))


def answer_rows(answer: Row) -> Iterator[PageItem]:
    """Find the rows of one answer of taobao; an object that is no envelope is a row."""
    search = _AnswerSearch(answer)
    if _is_row(answer):
        error = None if _is_whole_row(answer) else error_of([answer], OK_OR_ZERO_CODES)
        yield error or row_or_refusal(answer)
        if error is None:
            yield from search.rows[1:]
        return
    envelopes = list(present_envelopes(answer, filter(_ENVELOPE.fullmatch, answer)))
    names = _ORDER_RESULTS if envelopes and "refund" not in envelopes[0] else _REFUND_RESULTS
    error = error_of(search.levels, OK_CODES, without_rows=not search.rows)
    if error is not None:
        yield error
    elif search.rows or search.is_empty(names):
        yield from search.rows
        yield search.page()
    elif envelopes:
        yield error_report(search.levels[::-1], "the answer has no rows and is no empty page")
    else:
        yield row_or_refusal(answer)


def _is_row(value: Any) -> bool:
    """Return whether a value is an order row or a refund row by its id."""
    return isinstance(value, dict) and ("trade_id" in value or is_refund(value))


def _is_whole_row(value: Any) -> bool:
    """Return whether a value is a row by its id and its status."""
    return _is_row(value) and ("tk_status" in value or "refund_status" in value)


def _has_suit(value: Any) -> bool:
    """Return whether a value is an object with the id of a dispute."""
    suit = value.get("refund_suit_id") if isinstance(value, dict) else None
    return suit is not None and suit not in NONE_TEXTS and suit != 0


def _has_no_rows(value: Any) -> bool:
    """Return whether a member of results is an object with no list in it, however deep; [] is no list.

    Text, numbers and flags of any name describe the page. In the place of the rows they are not understood.
    """
    if not isinstance(value, dict) or not _is_no_content(value.get(_ROWS_MEMBER)):
        return False
    return all(
        _has_no_rows(member) if isinstance(member, dict) else not (isinstance(member, list) and member)
        for member in value.values()
    )


def _is_no_content(rows: Any) -> bool:
    """Return whether what stands in the place of the rows holds nothing itself."""
    return isinstance(rows, dict) or rows in (None, "", [])


ADAPTER = Adapter(
    answer_rows,
    read_row,
    _ENVELOPE,
    fee_statuses=FEE_STATUSES,
    whole_pid=re.compile(rf"mm_{_PID.pattern}"),
)
