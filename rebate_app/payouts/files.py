"""Files of payouts: the export for people who pay, their results, and the comparison with a service's bill.

CSV in UTF-8; what we write begins with a byte order mark, ids are text, and cells that a spreadsheet would
take for a formula are escaped. A file is read by the names of its columns.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from rebate_app.wire.moments import parse_at

from .channels.yuan import parse_yuan, yuan_of

EXPORT_COLUMNS: Final = ("payout_no", "amount_yuan", "account", "name", "memo")
RESULT_COLUMNS: Final = ("payout_no", "status", "amount_yuan", "channel_ref", "code", "at")
BILL_COLUMNS: Final = ("payout_no", "amount_yuan", "status", "channel_ref", "at")
FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r")
ESCAPE: Final = "'"

#: Kinds of differences between a bill and the withdrawals.
PAID_THERE, PAID_HERE, AMOUNT, DUPLICATE, RETURNED_THERE, RETURNED_HERE = (
    "paid-there-not-here",
    "paid-here-not-there",
    "amount",
    "duplicate",
    "returned-there-not-here",
    "returned-here-not-there",
)
_is_mangled = re.compile(r"[0-9]+(\.[0-9]+)?E\+[0-9]+", re.IGNORECASE).fullmatch


class BadFileError(ValueError):
    """A file cannot be used; the message says where and why."""


def escaped(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return ESCAPE + text if text.startswith(FORMULA_BEGINS) else text


def export_file(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the CSV of an export, with a byte order mark; amounts in yuan, payout numbers as text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(EXPORT_COLUMNS)
    for row in rows:
        texts = (row["payout_no"], yuan_of(row["amount"]), row["account"], row["name"], row["memo"])
        writer.writerow([escaped(str(text)) for text in texts])
    return "\ufeff" + out.getvalue()


def read_rows(
    content: bytes, columns: Sequence[str], needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row, cells by column) of a file with a header, rows from 1; BadFileError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadFileError("the file is not UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    names = [name.strip() for name in reader.fieldnames or []]
    missing = [name for name in needed if name not in names]
    if missing:
        raise BadFileError(f"the file has no column {', '.join(missing)}")
    reader.fieldnames = names
    for number, cells in enumerate(reader, start=1):
        clean = {name: _clean(cells.get(name)) for name in columns}
        if _is_mangled(clean["payout_no"]):
            raise BadFileError(f"row {number}: a spreadsheet has changed payout_no to {clean['payout_no']}")
        yield number, clean


def _clean(cell: object) -> str:
    text = cell if isinstance(cell, str) else ""
    return text.strip().removeprefix(ESCAPE).strip()


def result_rows(content: bytes) -> list[dict[str, Any]]:
    """Return the rows of a file of results, amounts in fen; BadFileError."""
    rows = []
    for number, cells in read_rows(content, RESULT_COLUMNS, ("payout_no", "status", "amount_yuan")):
        rows.append(
            {
                "payout_no": cells["payout_no"],
                "status": cells["status"],
                "amount": _fen(number, cells["amount_yuan"]),
                "channel_ref": cells["channel_ref"] or None,
                "code": cells["code"] or None,
            }
        )
    return rows


class BillRow(Struct, frozen=True):
    """One row of a service's bill; `at` in µs, `amount` in fen."""

    payout_no: str
    amount: int
    status: str
    at: int


def bill_rows(content: bytes) -> list[BillRow]:
    """Return the rows of a bill; BadFileError."""
    rows = []
    for number, cells in read_rows(content, BILL_COLUMNS, BILL_COLUMNS):
        try:
            at = parse_at(cells["at"])
        except ValueError:
            raise BadFileError(f"row {number}: at is no RFC 3339 moment with an offset") from None
        if cells["status"] not in ("paid", "returned"):
            raise BadFileError(f"row {number}: status is paid or returned")
        rows.append(BillRow(cells["payout_no"], _fen(number, cells["amount_yuan"]), cells["status"], at))
    return rows


def _fen(number: int, text: str) -> int:
    amount = parse_yuan(text)
    if amount is None:
        raise BadFileError(f"row {number}: amount_yuan is no amount with at most two decimals")
    return amount


class Ours(Struct, frozen=True):
    """A withdrawal of the channel; `paid_at`: when it was paid (µs), None for one that was not."""

    payout_no: str
    net: int
    state: str
    paid_at: int | None


class BillDifference(Struct, frozen=True):
    """One difference; amounts in fen, None where that side has none."""

    kind: str
    payout_no: str
    here: int | None
    there: int | None


def compare(bill: Sequence[BillRow], ours: Iterable[Ours]) -> list[BillDifference]:
    """Return every difference between a bill and the withdrawals, from its first to its last moment."""
    by_number = {each.payout_no: each for each in ours}
    found: list[BillDifference] = []
    there: dict[str, BillRow] = {}
    returned = {row.payout_no for row in bill if row.status == "returned"}
    for row in bill:
        if row.payout_no in there and row.status == "paid" and there[row.payout_no].status == "paid":
            found.append(BillDifference(DUPLICATE, row.payout_no, None, row.amount))
        if row.status == "paid" or row.payout_no not in there:
            there[row.payout_no] = row
    for number, row in there.items():
        found += _of_number(row, by_number.get(number), is_returned=number in returned)
    if bill:
        first, last = min(row.at for row in bill), max(row.at for row in bill)
        for each in by_number.values():
            if each.payout_no not in there and each.paid_at is not None and first <= each.paid_at <= last:
                found.append(BillDifference(PAID_HERE, each.payout_no, each.net, None))
    return found


def _of_number(row: BillRow, own: Ours | None, *, is_returned: bool) -> list[BillDifference]:
    number = row.payout_no
    if own is None or own.state not in ("paid", "returned"):
        return [BillDifference(PAID_THERE, number, None if own is None else own.net, row.amount)]
    found = []
    if own.net != row.amount:
        found.append(BillDifference(AMOUNT, number, own.net, row.amount))
    if is_returned and own.state != "returned":
        found.append(BillDifference(RETURNED_THERE, number, own.net, row.amount))
    if not is_returned and own.state == "returned":
        found.append(BillDifference(RETURNED_HERE, number, own.net, row.amount))
    return found
