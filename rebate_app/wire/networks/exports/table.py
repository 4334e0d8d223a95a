"""Read the table of an export, CSV or XLSX, as rows of text with their line numbers.

The header is the first line that is not blank. Gzip, the encoding (UTF-8, UTF-16, GB18030) and the separator
are found out from the content: they are those with which the header has the most columns that a mapping
knows. Cells keep every digit: a number that was stored as a binary float with an exponent is given back in
that notation, so that the reader of ids refuses it.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct

from rebate_app.domain.faults import UNDECODABLE, Fault

from ...files import DOCUMENT_BYTES_MAX, STANDARD_INPUT

SEPARATORS = (",", "\t", ";")
#: How many sheet bytes of one workbook are read, uncompressed: an archive of zeros is no export.
WORKBOOK_BYTES_MAX = 2**30
#: Integers above it have neighbours that a binary float cannot hold.
EXACT_FLOAT_MAX = 10**15
#: The header lies within it.
HEAD_BYTES = 2**16

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_OLD_EXCEL_MAGIC = b"\xd0\xcf\x11\xe0"
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_UTF16 = ("utf-16-le", "utf-16-be")
_EIGHT_BITS = ("utf-8", "gb18030")

Score = Callable[[Sequence[str]], int]


class TableRow(Struct):
    """One row that is not blank: `line` is its line in the file or its row in the sheet, from 1."""

    line: int
    cells: list[str]
    fault: Fault | None = None


class Table(Struct):
    """The header of an export and its rows; `fault` if the file is no table.

    `other_sheets` names further sheets of the workbook that are not empty.
    """

    header: list[str] = []
    header_line: int = 1
    rows: list[TableRow] = []
    fault: Fault | None = None
    other_sheets: list[str] = []


def read_table(path: Path, score: Score) -> Table:
    """Read an export; `score` counts the columns of a header that are known. OSError if it cannot be read."""
    try:
        content = _content(path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return _refused(f"the compressed file cannot be read: {error}")
    if len(content) > DOCUMENT_BYTES_MAX:
        return _refused(f"the file is longer than {DOCUMENT_BYTES_MAX} bytes")
    if content.startswith(_OLD_EXCEL_MAGIC):
        return _refused("the workbook is of the old format or has a password: save it as .xlsx without one")
    if content.startswith(_ZIP_MAGIC):
        return _workbook(content, score)
    return _csv_table(content, score)


def _refused(detail: str) -> Table:
    return Table(fault=Fault(UNDECODABLE, "", detail))


def _content(path: Path) -> bytes:
    """Return a file decompressed, up to one byte beyond the limit."""
    content = _read(path, DOCUMENT_BYTES_MAX + 1)
    if not content.startswith(_GZIP_MAGIC):
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        return file.read(DOCUMENT_BYTES_MAX + 1)


def _read(path: Path, size: int) -> bytes:
    if path != STANDARD_INPUT:
        with path.open("rb") as file:
            return file.read(size)
    if sys.stdin is None:
        raise OSError("standard input is closed")
    return sys.stdin.buffer.read(size)


def _csv_table(content: bytes, score: Score) -> Table:
    """Read text in the encoding and with the separator that give the best header."""
    best: tuple[int, str, str] | None = None
    for encoding in _encodings(content):
        head = content[:HEAD_BYTES].decode(encoding, "replace")
        for separator in SEPARATORS:
            header = next(_records(head, separator), None)
            found = -1 if header is None or header.fault is not None else score(header.cells)
            if found > (-1 if best is None else best[0]):
                best = found, encoding, separator
    if best is None:
        return Table() if not content.strip() else _refused("the file is no table in a known encoding")
    # U+FFFD stands for what cannot be decoded: a cell with one is refused where it matters.
    rows = _records(content.decode(best[1], "replace"), best[2])
    header = next(rows)
    return Table(header.cells, header.line, list(rows))


def _encodings(content: bytes) -> list[str]:
    """Return the encodings that a text may have, those first in which all of it can be decoded."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return [encoding]
    return sorted(_UTF16 if 0 in content else _EIGHT_BITS, key=lambda encoding: not _is(content, encoding))


def _is(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _records(text: str, separator: str) -> Iterator[TableRow]:
    """Return the records of a text that are not blank, each with the line on which it begins.

    A record with a quote that is not closed, or with text after a closing one, is a fault of its lines.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            detail = f"lines {line} to {reader.line_num} are no record: {error}"
            yield TableRow(line, [], Fault(UNDECODABLE, "", detail))
            continue
        if any(cell.strip() for cell in cells):
            yield TableRow(line, cells)


def _workbook(content: bytes, score: Score) -> Table:
    """Read the sheet of a workbook whose header has the most known columns."""
    from openpyxl import load_workbook  # heavy, and most imports are no workbooks

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > WORKBOOK_BYTES_MAX:
            return _refused(f"the workbook has {size} bytes, more than {WORKBOOK_BYTES_MAX}")
        with warnings.catch_warnings(), closing(_opened(load_workbook, content)) as book:
            warnings.simplefilter("ignore")  # about styles and extensions that nothing here reads
            return _best_sheet(book, score)
    except Exception as error:  # noqa: BLE001 - a damaged workbook raises whatever its parts raise
        return _refused(f"the workbook cannot be read: {type(error).__name__}: {error}")


def _opened(load_workbook: Any, content: bytes) -> Any:
    return load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)


def _best_sheet(book: Any, score: Score) -> Table:
    best, best_score, titles = Table(), -1, []
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # exporters write wrong ones, and rows beyond them would be cut off
        rows = _sheet_rows(sheet)
        header = next(rows, None)
        if header is None:
            continue
        titles.append((sheet.title, header))
        if (found := score(header.cells)) > best_score:
            best_score, best = found, Table(header.cells, header.line, list(rows))
            chosen = sheet.title
    if best_score >= 0:
        best.other_sheets = [title for title, header in titles if title != chosen and score(header.cells)]
    return best


def _sheet_rows(sheet: Any) -> Iterator[TableRow]:
    for line, values in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = list(map(cell_text, values))
        if any(cell.strip() for cell in cells):
            yield TableRow(line, cells)


def cell_text(value: Any) -> str:
    """Return the value of a cell as the text that a CSV export of the same table would have.

    Times are `yyyy-MM-dd HH:mm:ss`, rounded to the second; a whole number that a binary float holds
    exactly has no point.
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return (value + timedelta(microseconds=500_000)).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.strftime("%Y-%m-%d 00:00:00")
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) < EXACT_FLOAT_MAX else f"{value:.14E}"
    return format(Decimal(str(value)), "f") if isinstance(value, float) else str(value)
