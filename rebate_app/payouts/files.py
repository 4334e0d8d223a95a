"""Files of payouts: the export for people who pay, their results, and the comparison with a service's bill.

CSV in UTF-8; what we write begins with a byte order mark, ids are text, and cells that a spreadsheet would
take for a formula are escaped. A file is read by the names of its columns.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from rebate_app.domain.facts import AMOUNT_FEN_MAX
from rebate_app.wire.facts.money import match_channel_ref, match_own_id
from rebate_app.wire.moments import parse_at, parse_moment

from .channels.yuan import parse_yuan, yuan_of

EXPORT_COLUMNS: Final = ("payout_no", "amount_yuan", "account", "name", "memo")
RESULT_COLUMNS: Final = ("payout_no", "status", "amount_yuan", "channel_ref", "code", "at")
BILL_COLUMNS: Final = ("payout_no", "amount_yuan", "status", "channel_ref", "at")
FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r")
ESCAPE: Final = "'"

#: What a bill says of money that left; rows with any other status are about payouts that are not paid there.
PAID, RETURNED = "paid", "returned"
#: A payout of such a row may be paid after the bill was made.
UNSETTLED: Final = frozenset({"pending", "needs-user"})

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
    try:
        yield from _cells_of(text, columns, needed)
    except csv.Error as error:
        raise BadFileError(f"the file is no CSV: {error}") from None


def _cells_of(
    text: str, columns: Sequence[str], needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    names = [name.strip() for name in reader.fieldnames or []]
    missing = [name for name in needed if name not in names]
    if missing:
        raise BadFileError(f"the file has no column {', '.join(missing)}")
    reader.fieldnames = names
    for number, cells in enumerate(reader, start=1):
        yield number, {name: _clean(cells.get(name)) for name in columns}


def _clean(cell: object) -> str:
    text = cell if isinstance(cell, str) else ""
    return text.strip().removeprefix(ESCAPE).strip()


class ResultsFile(Struct, frozen=True):
    """What a file of results holds: (row, members of a row over HTTP) of the good rows, and the bad ones.

    `refused` has {"row", "code"}: `invalid-` and the name of the column. Rows count from 1, below the header.
    """

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)


def read_results(content: bytes) -> ResultsFile:
    """Return the rows of a file of results, amounts in fen; BadFileError for one that is no such file.

    A row that cannot be read is refused by itself. Its form is that which HTTP asks for.
    """
    found = ResultsFile()
    for number, cells in read_rows(content, RESULT_COLUMNS, ("payout_no", "status", "amount_yuan")):
        bad = _bad_column(cells)
        if bad:
            found.refused.append({"row": number, "code": f"invalid-{bad}"})
            continue
        members = {
            "payout_no": cells["payout_no"],
            "status": cells["status"],
            "amount": parse_yuan(cells["amount_yuan"]),
            "channel_ref": cells["channel_ref"] or None,
            "code": cells["code"] or None,
            "at": cells["at"] or None,
        }
        found.rows.append((number, members))
    return found


def _bad_column(cells: Mapping[str, str]) -> str:
    """Return the first column of a row that cannot be read, "" for none; the last three may be empty."""
    for name in ("payout_no", "status", "channel_ref", "code"):
        text = cells[name]
        match = match_channel_ref if name == "channel_ref" else match_own_id
        if match(text) is None and (text or name in ("payout_no", "status")):
            return name
    amount = parse_yuan(cells["amount_yuan"])
    if amount is None or amount > AMOUNT_FEN_MAX:
        return "amount_yuan"
    return "" if not cells["at"] or _is_moment(cells["at"]) else "at"


def _is_moment(text: str) -> bool:
    try:
        parse_moment(text)
    except ValueError:
        return False
    return True


class BillRow(Struct, frozen=True):
    """One row of a service's bill; `at` in µs, `amount` in fen, `status` in small letters."""

    payout_no: str
    amount: int
    status: str
    at: int


def bill_rows(content: bytes) -> list[BillRow]:
    """Return the rows of a bill, whatever their status; BadFileError."""
    return [_bill_row(number, cells) for number, cells in read_rows(content, BILL_COLUMNS, BILL_COLUMNS)]


def _bill_row(number: int, cells: Mapping[str, str]) -> BillRow:
    payout_no, amount = cells["payout_no"], parse_yuan(cells["amount_yuan"])
    if _is_mangled(payout_no):
        raise BadFileError(f"row {number}: a spreadsheet has changed payout_no to {payout_no}")
    try:
        at = parse_at(cells["at"])
    except ValueError:
        raise BadFileError(f"row {number}: at is no RFC 3339 moment with an offset") from None
    if amount is None:
        raise BadFileError(f"row {number}: amount_yuan is no amount with at most two decimals")
    return BillRow(payout_no, amount, cells["status"].lower(), at)


def ignored_rows(bill: Iterable[BillRow]) -> dict[str, int]:
    """Return how many rows of each status say that nothing is paid."""
    return dict(Counter(row.status for row in bill if row.status not in (PAID, RETURNED)))


class Ours(Struct, frozen=True):
    """A withdrawal of the channel; when it was first paid, and when it came back (µs), None for never."""

    payout_no: str
    net: int
    paid_at: int | None = None
    returned_at: int | None = None


class BillDifference(Struct, frozen=True):
    """One difference; amounts in fen, None where that side has none."""

    kind: str
    payout_no: str
    here: int | None
    there: int | None


def compare(bill: Sequence[BillRow], ours: Iterable[Ours]) -> list[BillDifference]:
    """Return every difference between a bill and the withdrawals, from its first to its last moment.

    Payments and returns count by their own moments: what happens after the last one is not in the bill.
    """
    if not bill:
        return []
    by_number = {each.payout_no: each for each in ours}
    there: dict[str, list[BillRow]] = {}
    for row in bill:
        there.setdefault(row.payout_no, []).append(row)
    first, last = min(row.at for row in bill), max(row.at for row in bill)
    found: list[BillDifference] = []
    for number, rows in there.items():
        found += _of_number(number, rows, by_number.get(number), last)
    for own in by_number.values():
        if own.payout_no not in there:
            found += _not_in_bill(own, first, last)
    return found


def _of_number(number: str, rows: list[BillRow], own: Ours | None, last: int) -> list[BillDifference]:
    moved = sorted((row for row in rows if row.status in (PAID, RETURNED)), key=lambda row: row.status)
    if not moved:
        return _not_paid_there(rows, own, last)
    statuses, amount = Counter(row.status for row in moved), moved[0].amount
    found = [BillDifference(DUPLICATE, number, None, amount)] * (len(moved) - len(statuses))
    if own is None or own.paid_at is None:
        return [*found, BillDifference(PAID_THERE, number, None if own is None else own.net, amount)]
    other = next((row.amount for row in moved if row.amount != own.net), None)
    if other is not None:
        found.append(BillDifference(AMOUNT, number, own.net, other))
    if RETURNED in statuses and own.returned_at is None:
        found.append(BillDifference(RETURNED_THERE, number, own.net, amount))
    if RETURNED not in statuses and own.returned_at is not None and own.returned_at <= last:
        found.append(BillDifference(RETURNED_HERE, number, own.net, amount))
    return found


def _not_paid_there(rows: Sequence[BillRow], own: Ours | None, last: int) -> list[BillDifference]:
    """Compare with rows that say that nothing is paid; what is under way there may be paid later."""
    if own is None or own.paid_at is None:
        return []
    if own.paid_at > last and all(row.status in UNSETTLED for row in rows):
        return []
    return [BillDifference(PAID_HERE, own.payout_no, own.net, None)]


def _not_in_bill(own: Ours, first: int, last: int) -> list[BillDifference]:
    if own.paid_at is not None and first <= own.paid_at <= last:
        return [BillDifference(PAID_HERE, own.payout_no, own.net, None)]
    if own.returned_at is not None and first <= own.returned_at <= last:
        return [BillDifference(RETURNED_HERE, own.payout_no, own.net, None)]
    return []
