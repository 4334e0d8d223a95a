"""Read the JSON documents of a file: one a line, or one over the whole file; gzip too.

Law: whatever can be read is read; what cannot is a refusal at its place, and the rest goes on where
there is a rest. A file of one document a line is never held in memory as a whole. It is separate
because it knows bytes and lines, and nothing about networks or facts.
"""

from __future__ import annotations

import gzip
import zlib
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from msgspec import Struct

from rebate_app.domain.faults import UNDECODABLE, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Parse = Callable[[bytes], Any]

#: The largest document that is parsed at once, a line or a file, in bytes after decompression.
DOCUMENT_BYTES_MAX = 256 * 2**20
#: How many lines are tried one by one before a file that is no document is called unreadable as a whole.
LINES_TRIED_MAX = 100

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"


class Line(Struct, frozen=True):
    """One line of a file that is not blank; `fault` instead of `text` if it could not be read."""

    number: int
    text: bytes
    fault: Fault | None = None


class Piece(Struct, frozen=True):
    """One document: `line` is its number from 1, None if it is the whole file; a value or a fault."""

    line: int | None
    value: Any = None
    fault: Fault | None = None


def read_pieces(path: Path, parse: Parse) -> Iterator[Piece]:
    """Read the documents of a file, in order; `parse` raises ValueError for text that is none.

    One a line if the first line is a document and others follow, else the whole file if that is one,
    else one a line again, with the bad ones refused. OSError if the file cannot be opened or read.
    """
    with path.open("rb") as raw:
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
        lines = _lines(stream)
        head = list(_take(lines, 2))
        if len(head) == 1 and head[0].fault is None:
            yield from _whole(head, parse)
        elif head and _is_document(head[0], parse):
            yield from _one_a_line(chain(head, lines), parse)
        elif head:
            yield from _whole_or_lines(head, lines, parse)


def _whole_or_lines(head: list[Line], lines: Iterator[Line], parse: Parse) -> Iterator[Piece]:
    """Read a file whose first line is no document: a document over many lines, or a bad first line."""
    size = sum(len(line.text) for line in head)
    for line in lines:
        head.append(line)
        size += len(line.text)
        if size > DOCUMENT_BYTES_MAX:
            yield from _one_a_line(chain(head, lines), parse)
            return
    whole = list(_whole(head, parse))
    if whole[0].fault is not None and any(_is_document(line, parse) for line in head[:LINES_TRIED_MAX]):
        yield from _one_a_line(iter(head), parse)
    else:
        yield from whole


def _whole(lines: list[Line], parse: Parse) -> Iterator[Piece]:
    """Read all lines as one document; a line that could not be read spoils it."""
    fault = next((line.fault for line in lines if line.fault is not None), None)
    if fault is None:
        yield _piece(None, b"\n".join(line.text for line in lines), parse)
    else:
        yield Piece(None, fault=fault)


def _one_a_line(lines: Iterator[Line], parse: Parse) -> Iterator[Piece]:
    """Read each line as a document."""
    for line in lines:
        if line.fault is None:
            yield _piece(line.number, line.text, parse)
        else:
            yield Piece(line.number, fault=line.fault)


def _piece(number: int | None, text: bytes, parse: Parse) -> Piece:
    """Parse one document."""
    try:
        return Piece(number, parse(text))
    except ValueError as error:
        return Piece(number, fault=Fault(UNDECODABLE, "", str(error)))


def _is_document(line: Line, parse: Parse) -> bool:
    """Return whether a line is an object or an array by itself."""
    return line.fault is None and isinstance(_piece(line.number, line.text, parse).value, dict | list)


def _take(lines: Iterator[Line], count: int) -> Iterator[Line]:
    """Take at most so many lines, and leave the others where they are."""
    for _, line in zip(range(count), lines, strict=False):
        yield line


def _lines(stream: BinaryIO) -> Iterator[Line]:
    """Read the lines that are not blank; a broken compression ends them with a fault."""
    number = 0
    try:
        while text := stream.readline(DOCUMENT_BYTES_MAX + 1):
            number += 1
            if number == 1:
                text = text.removeprefix(_BYTE_ORDER_MARK)
            if len(text) > DOCUMENT_BYTES_MAX and not text.endswith(b"\n"):
                _skip_line(stream)
                detail = f"the line is longer than {DOCUMENT_BYTES_MAX} bytes"
                yield Line(number, b"", Fault(UNDECODABLE, "", detail))
            elif text := text.strip(_BLANK):
                yield Line(number, text)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        yield Line(number + 1, b"", Fault(UNDECODABLE, "", f"the compressed file cannot be read: {error}"))


def _skip_line(stream: BinaryIO) -> None:
    """Read on to the end of a line that is too long."""
    while (rest := stream.readline(DOCUMENT_BYTES_MAX)) and not rest.endswith(b"\n"):
        pass
