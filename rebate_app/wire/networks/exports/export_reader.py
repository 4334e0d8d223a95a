"""Read an export of a network's back office: every row becomes an order fact of `fetch_seq` 0 or a refusal.

The facts lose every tie against those of the API (docs/spec/facts.md#version-order). A row without a
modification time takes the newest of its times. Rows are numbered by line, the header is line 1
(docs/spec/sources.md#exports).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rebate_app.domain.faults import ID_DAMAGED, SUMS_DIFFER, UNDECODABLE, Fault, invalid, missing
from rebate_app.networks import NETWORKS

from ...facts.members import quoted
from ...facts.order import check_order
from ...known_values import listed
from ..adapter import MappedRow, load_adapter
from ..amounts import YUAN_DIGITS, fen_of_fen, fen_of_yuan
from ..file_reader import EMPTY_FILE, FileWarning, RowResult, line_id_of, ordered_faults
from ..rows import NetworkRow, OrderRow
from .columns import AMOUNT_COLUMNS, ID_COLUMNS, TIME_COLUMNS, UNKNOWN_STATUS, ExportColumns, shipped_columns
from .sums import NONE_AMOUNTS, SUM_WORDS, Total, difference, read_sum, running_totals
from .table import Table, TableRow, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

EXPORT_FETCH_SEQ = 0
#: Spreadsheets keep this many digits of a number and write zeros for the others.
KEPT_DIGITS = 15
DAMAGED_ROWS_MIN = 2

_EXPONENT = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?[eE][+-]?[0-9]+")
_FORMULA = re.compile(r'="([^"]*)"')
_TIME = re.compile(
    r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})"
    r"(?:[ T]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]+)?)?)?"
)
_UNDECODED = "\ufffd"
MEMBER_OF_COLUMN = {
    **{name: f"amounts.{name}" for name in AMOUNT_COLUMNS},
    **{name: f"attribution.{name}" for name in ("special_id", "relation_id", "pid")},
    "order_line_id": "order_line_id",
    "status": "status",
}
_ITEM = {"item_id": "id", "item_title": "title", "item_shop": "shop"}


def read_export(
    path: Path,
    network: str,
    now_us: int,
    *,
    columns: ExportColumns | None = None,
    warn: Callable[[FileWarning], None] | None = None,
) -> Iterator[RowResult]:
    """Read the rows of an export as facts or refusals, in order.

    `columns` (None: the network's shipped mappings) says what the columns mean; `now_us`, microseconds UTC,
    is the moment after which a time is too far in the future by 24 hours. A row of sums that differ from the
    rows that it is about is a refusal (`sums-differ`), also one that cannot be read; one that agrees is left
    out. `warn` is called for what is odd and stops nothing. OSError if the file cannot be read.
    """
    candidates = [columns] if columns is not None else shipped_columns(network)
    others = [] if columns is not None else _columns_of_others(network)
    known = [*candidates, *others]
    table = read_table(path, lambda header: max((len(each.places(header)) for each in known), default=0))
    if warn is not None:
        for warning in _warnings(table):
            warn(warning)
    if table.fault is not None:
        yield RowResult(1, None, [table.fault])
    elif table.header:
        chosen = _chosen(table, candidates, others)
        if isinstance(chosen, Fault):
            yield RowResult(table.header_line, None, [chosen])
        else:
            yield from _ExportRows(table, chosen, now_us).results()


def _columns_of_others(network: str) -> list[ExportColumns]:
    return [each for other in NETWORKS if other != network for each in shipped_columns(other)]


def _warnings(table: Table) -> Iterator[FileWarning]:
    if not table.header and table.fault is None:
        yield EMPTY_FILE
    if table.other_sheets:
        detail = f"of the workbook one sheet is read; these are not: {listed(table.other_sheets)}"
        yield FileWarning("more-sheets", detail)


def _chosen(
    table: Table, candidates: Sequence[ExportColumns], others: Sequence[ExportColumns]
) -> ExportColumns | Fault:
    """Return the mapping that knows the header, or why none is used."""
    header = table.header
    orders = max(
        (c for c in candidates if c.refused is None), key=lambda c: len(c.places(header)), default=None
    )
    places = {} if orders is None else orders.places(header)
    if not {"status", "est_commission"} <= places.keys():
        marked = next((each for each in candidates if each.is_recognised(header)), None)
        if marked is not None:
            return marked
    best_other = max(others, key=lambda c: len(c.places(header)), default=None)
    if best_other is not None and len(best_other.places(header)) > len(places):
        detail = f"the columns are those of {best_other.network}: import the file as {best_other.network}"
        return Fault(UNDECODABLE, "", detail)
    if orders is None or not places:
        names = listed([quoted(name) for name in header])
        return Fault(UNDECODABLE, "", f"the header has no known column: {names}")
    if repeated := orders.repeated(header):
        return Fault(UNDECODABLE, "", f"these columns stand more than once: {listed(repeated)}")
    return orders


class _ExportRows:
    """Turns the rows of one export into results."""

    def __init__(self, table: Table, columns: ExportColumns, now_us: int) -> None:
        self._table = table
        self._columns = columns
        self._now_us = now_us
        self._places = columns.places(table.header)
        self._parse_amount = fen_of_yuan if columns.unit == "yuan" else fen_of_fen
        self._adapter = load_adapter(columns.network)
        self._damaged = frozenset[str]()

    def results(self) -> Iterator[RowResult]:
        """Return a result for each row of the table, in order."""
        self._damaged = frozenset(filter(self._is_damaged, ID_COLUMNS))
        totals, sums = self._running_totals(), 0
        for row in self._table.rows:
            if row.fault is not None:
                yield RowResult(row.line, None, [row.fault])
            elif self._is_sum(row):
                yield from self._sum_result(row, totals, sums)
                sums += 1
            else:
                yield self._result(row)

    def _result(self, row: TableRow) -> RowResult:
        if self._columns.refused is not None:
            detail = "exports of disputes and bills name no dispute: they are for comparison, not for import"
            fault = Fault(self._columns.refused, self._columns.refused.partition("-")[2], detail)
            return RowResult(row.line, None, [fault], [], self._cell(row, "order_line_id") or None)
        faults = [*self._layout_faults(row), *self._id_faults(row)]
        document, row_faults, sources = self._mapped(row)
        verdict = check_order(document, self._now_us)
        others = verdict if isinstance(verdict, list) else []
        damaged = {fault.member for fault in faults}
        faults += [each for each in ordered_faults(row_faults, others) if each.member not in damaged]
        if faults:
            return RowResult(row.line, None, faults, [], line_id_of(document), sources)
        return RowResult(row.line, document, [])

    def _mapped(self, row: TableRow) -> MappedRow:
        """Map one row by the conventions of all networks; the fields are the columns of the file."""
        names = {member: self._table.header[place].strip() for member, place in self._places.items()}
        fields = NetworkRow({names[member]: self._value(row, member) for member in names})

        def name(member: str) -> str:
            return names.get(member, member)

        text = self._cell(row, "status")
        status = self._columns.statuses.get(text, UNKNOWN_STATUS) if text else None
        fields.code("status", name("status"))
        paid_at = fields.moment("times.paid", name("paid_at"), name("created_at"))
        modified_at = fields.moment("seq.modified_at", name("modified_at"))
        if modified_at is None:
            modified_at = fields.newest("seq.modified_at", *map(name, TIME_COLUMNS))
        order = OrderRow(
            platform=self._columns.network,
            order_line_id=fields.identifier("order_line_id", name("order_line_id")),
            parent_order_id=fields.display_id(name("parent_order_id")) or fields.display_id(name("order_id")),
            order_id=fields.display_id(name("order_id")),
            fetch_seq=EXPORT_FETCH_SEQ,
            modified_at=modified_at,
            status=status,
            platform_status=fields.display(name("status")),
            est_commission=self._amount(fields, "est_commission", name("est_commission")),
            settled_commission=self._amount(fields, "settled_commission", name("settled_commission")),
            service_fee=self._service_fee(fields, status, name("service_fee")),
            paid_at=paid_at,
            settled_at=fields.settled(paid_at, name("settled_at")),
            expected_settle=self._expected_settle(fields, row, name("expected_settle")),
            attribution={
                **{
                    member: fields.attribution(f"attribution.{member}", name(member))
                    for member in ("special_id", "relation_id", "sub_union_id", "custom_uid")
                },
                "pid": self._pid(fields, name("pid")),
            },
            item={member: fields.display(name(column)) for column, member in _ITEM.items()},
        )
        return fields.mapped(order.document())

    def _amount(self, fields: NetworkRow, column: str, name: str) -> int | None:
        """Return an amount in fen, None for none."""
        return fields.amount(f"amounts.{column}", name, self._parse_amount)

    def _service_fee(self, fields: NetworkRow, status: str | None, name: str) -> int | None:
        """Return the service fee; absent, it is a fault where the network takes one, else 0."""
        if fields.value(name) is None and status in self._adapter.fee_statuses:
            fields.faults.append(missing("amounts.service_fee"))
        fee = self._amount(fields, "service_fee", name)
        return 0 if fields.value(name) is None else fee

    def _expected_settle(self, fields: NetworkRow, row: TableRow, name: str) -> str | None:
        """Return a day that is written with or without separators."""
        text = self._cell(row, "expected_settle")
        match = _TIME.fullmatch(text)
        if match is None:
            return fields.day("times.expected_settle", name)
        return f"{match[1]}-{int(match[2]):02d}-{int(match[3]):02d}"

    def _pid(self, fields: NetworkRow, name: str) -> str | None:
        """Return a pid; only a whole one where pids have parts: a part alone is another id than the API's."""
        pid = fields.attribution("attribution.pid", name)
        whole = self._adapter.whole_pid
        return pid if pid is None or whole is None or whole.fullmatch(pid) else None

    def _value(self, row: TableRow, member: str) -> str | None:
        """Return a member's cell, None for an amount that is not there."""
        text = self._cell(row, member)
        return None if member in AMOUNT_COLUMNS and text in NONE_AMOUNTS else text

    def _cell(self, row: TableRow, member: str) -> str:
        """Return the text of a member's cell without what spreadsheets put around it; "" for none."""
        place = self._places.get(member)
        if place is None or place >= len(row.cells):
            return ""
        text = row.cells[place].strip().lstrip("`'\t").strip()
        formula = _FORMULA.fullmatch(text)
        text = text if formula is None else formula[1].strip()
        return _time_text(text) if member in TIME_COLUMNS else text

    def _layout_faults(self, row: TableRow) -> Iterator[Fault]:
        """Return why the cells of a row cannot be trusted: too many of them, or undecodable text."""
        beyond = [cell for cell in row.cells[len(self._table.header) :] if cell.strip()]
        if beyond:
            detail = f"the row has {len(row.cells)} cells, the header has {len(self._table.header)}"
            yield Fault(UNDECODABLE, "", detail)
        for member in self._places:
            if member not in _ITEM and _UNDECODED in self._cell(row, member):
                yield Fault(UNDECODABLE, "", f"the cell of {member} has text in no known encoding")

    def _id_faults(self, row: TableRow) -> Iterator[Fault]:
        """Return a fault for each id of the row that a spreadsheet has cut."""
        for column in ID_COLUMNS:
            text = self._cell(row, column)
            if _EXPONENT.fullmatch(text) or (column in self._damaged and _is_long(text)):
                detail = f"{quoted(text)} has lost its last digits: export the table again, ids as text"
                yield Fault(ID_DAMAGED, MEMBER_OF_COLUMN.get(column, column), detail)

    def _is_damaged(self, column: str) -> bool:
        """Return whether all long ids of a column, two rows or more, end as a spreadsheet cuts them."""
        if column not in self._places:
            return False
        cells = (self._cell(row, column) for row in self._table.rows if row.fault is None)
        tails = [text[KEPT_DIGITS:].strip("0") for text in cells if _is_long(text)]
        return len(tails) >= DAMAGED_ROWS_MIN and not any(tails)

    def _is_sum(self, row: TableRow) -> bool:
        """Return whether a row has a word for a sum in a cell, and no id."""
        if not any(word in cell for cell in row.cells for word in SUM_WORDS):
            return False
        ids = (self._cell(row, column) for column in ("order_line_id", "parent_order_id", "order_id"))
        return all(not text or any(word in text for word in SUM_WORDS) for text in ids)

    def _running_totals(self) -> list[Total]:
        """Return the totals above each row of sums, and of the file."""
        rows = (row for row in self._table.rows if row.fault is None)
        return running_totals(None if self._is_sum(row) else self._amounts(row)[0] for row in rows)

    def _amounts(self, row: TableRow) -> tuple[dict[str, int], list[str]]:
        """Return the amounts of a row in fen by column, and the columns that cannot be read."""
        amounts, unreadable = {}, []
        for column in AMOUNT_COLUMNS:
            try:
                fen = read_sum(self._cell(row, column), YUAN_DIGITS if self._columns.unit == "yuan" else 0)
            except ValueError:
                unreadable.append(column)
            else:
                if fen is not None:
                    amounts[column] = fen
        return amounts, unreadable

    def _sum_result(self, row: TableRow, totals: list[Total], number: int) -> Iterator[RowResult]:
        """Compare a row of sums with the rows that it is about; an amount that cannot be read is a fault."""
        stated, unreadable = self._amounts(row)
        faults = [
            invalid(f"amounts.{name}", f"{quoted(self._cell(row, name))} is no amount: it is not compared")
            for name in unreadable
        ]
        faults += [
            Fault(SUMS_DIFFER, f"amounts.{name}", f"the file states {stated[name]} fen, its rows have {fen}")
            for name, fen in difference(totals, number, stated).items()
        ]
        if faults:
            yield RowResult(row.line, None, faults)


def _is_long(text: str) -> bool:
    return len(text) > KEPT_DIGITS and text.isascii() and text.isdigit()


def _time_text(text: str) -> str:
    """Return a time in the notation of the networks; as it is where it is none.

    Spreadsheets write `2026/1/5 8:03` for 2026-01-05 08:03:00.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return text
    year, month, day, hour, minute, second = match.groups("0")
    date = f"{year}-{int(month):02d}-{int(day):02d}"
    return f"{date} {int(hour):02d}:{int(minute):02d}:{int(second):02d}"
