"""Read the JSON documents of a file: one a line, one over the whole file, or several one after the other.

A document that cannot be read is a refusal at its place, and the documents after it are read all the same. A
file of one document a line is never held in memory as a whole. Gzip, UTF-16 and GB18030 are recognised by
content; without a mark, text is UTF-8. Limits are in bytes after decompression. The path `-` is standard
input.
"""

from __future__ import annotations

import gzip
import io
import re
import sys
import zlib
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from msgspec import Struct

from rebate_app.domain.faults import UNDECODABLE, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Parse = Callable[[bytes], Any]

#: The largest document over a whole file; it is parsed at once.
DOCUMENT_BYTES_MAX = 256 * 2**20
#: The largest document in a file of one document a line.
LINE_BYTES_MAX = 8 * 2**20
#: How much of a file that is no document is tried line by line before it is unreadable as a whole.
TRIED_BYTES_MAX = 8 * 2**20
SKIPPED_BYTES = 2**20
#: Names standard input where a file is expected.
STANDARD_INPUT = Path("-")

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
#: The least first byte of a UTF-8 character of three bytes, as Chinese ones are.
_THREE_BYTES_MIN = 0xE0
_BLANK = b" \t\r\n"
#: What may stand between documents: blanks, and the separator of RFC 7464.
_BETWEEN = _BLANK + b"\x1e"
_OPEN = (b"{", b"[")
#: What decides where a JSON document ends: strings as a whole, and brackets.
_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


class Line(Struct, frozen=True):
    """One line of a file that is not blank, as UTF-8; `fault` instead of `text` if it could not be read."""

    number: int
    text: bytes
    fault: Fault | None = None


class FileDocument(Struct, frozen=True):
    """One document, a value or a fault: `line` is its number from 1, None for a whole file."""

    line: int | None
    value: Any = None
    fault: Fault | None = None


class _Readline(Protocol):
    """The part of a binary stream that is used here."""

    def readline(self, size: int, /) -> bytes: ...


class _Utf16Stream:
    """The lines of a UTF-16 stream as UTF-8; sizes are in characters."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text

    def readline(self, size: int, /) -> bytes:
        """Return the next line, or its first `size` characters; UnicodeDecodeError for damaged text."""
        return self._text.readline(size).encode()


class _LineReader:
    """The lines of a file that are not blank; damage that cannot be read over ends them with a fault.

    `bytes_max` is the length beyond which a line is refused without being held; it may be lowered while the
    lines are read.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self.bytes_max = DOCUMENT_BYTES_MAX
        self._file = file
        self._number = 0
        self._is_gb18030: bool | None = None

    def __iter__(self) -> Iterator[Line]:
        try:
            with _text_stream(self._file) as stream:
                while text := stream.readline(self.bytes_max + 1):
                    self._number += 1
                    line = self._line(stream, text)
                    if line.text or line.fault is not None:
                        yield line
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            yield self._refused(self._number + 1, f"the compressed file cannot be read: {error}")
        except UnicodeDecodeError as error:
            yield self._refused(self._number + 1, f"the file is not {error.encoding}: {error.reason}")

    def _line(self, stream: _Readline, text: bytes) -> Line:
        if len(text) > self.bytes_max and not text.endswith(b"\n"):
            while (rest := stream.readline(SKIPPED_BYTES)) and not rest.endswith(b"\n"):
                pass
            return self._refused(self._number, f"the line is longer than {self.bytes_max} bytes")
        if self._number == 1:
            text = text.removeprefix(_UTF8_MARK)
        return Line(self._number, self._as_utf8(text.strip(_BLANK)))

    def _as_utf8(self, text: bytes) -> bytes:
        """Return a line as UTF-8; the first line that is clearly one of them decides about the whole file.

        A few short texts in GB18030 are UTF-8 as well, with characters of two bytes; they decide nothing.
        """
        if self._is_gb18030 is False or text.isascii():
            return text
        if self._is_gb18030 is None and _is(text, "utf-8"):
            self._is_gb18030 = False if max(text) >= _THREE_BYTES_MIN else None
        elif _is(text, "gb18030"):
            self._is_gb18030 = True
            return text.decode("gb18030").encode()
        return text  # the parser refuses a line that is neither

    @staticmethod
    def _refused(number: int, detail: str) -> Line:
        return Line(number, b"", Fault(UNDECODABLE, "", detail))


def read_documents(path: Path, parse: Parse) -> Iterator[FileDocument]:
    """Read the documents of a file, in order; `parse` raises ValueError for text that is none.

    One a line if the first line is a document and others follow, else the whole file if that is one, else
    several documents that follow each other without a line break between them or over many lines, else one
    a line again, with the bad ones refused. OSError if the file cannot be opened or read.
    """
    with _open(path) as file:
        reader = _LineReader(file)
        lines = iter(reader)
        first = next(lines, None)
        if first is None:
            return
        document = _document(None, first, parse)
        is_document = _is_document(document)
        if is_document:
            reader.bytes_max = min(LINE_BYTES_MAX, DOCUMENT_BYTES_MAX)
        second = next(lines, None)
        if second is None:
            yield from [document] if document.fault is None else _joined_line(None, first, document, parse)
        elif is_document and not _begins_document(second, parse):
            yield from _one_a_line(chain((first, second), lines), parse)
        else:
            yield from _whole_or_lines([first, second], lines, parse)


@contextmanager
def _open(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file, or standard input, which stays open."""
    if path != STANDARD_INPUT:
        with path.open("rb") as file:
            yield file
        return
    if sys.stdin is None:
        raise OSError("standard input is closed")
    stream: io.BufferedReader = io.BufferedReader(cast("Any", sys.stdin.buffer))
    try:
        yield stream
    finally:
        stream.detach()


def _begins_document(line: Line, parse: Parse) -> bool:
    """Return whether a line is the beginning of a document that goes on: of a page over many lines."""
    if line.fault is not None or line.text[:1] not in _OPEN:
        return False
    return _document(None, line, parse).fault is not None and _depth(line.text) > 0


def _whole_or_lines(head: list[Line], lines: Iterator[Line], parse: Parse) -> Iterator[FileDocument]:
    """Read a file whose first line is no document: a document over many lines, or a bad first line."""
    size = sum(len(line.text) for line in head)
    for line in lines:
        head.append(line)
        size += len(line.text)
        if size > DOCUMENT_BYTES_MAX:
            yield from _one_a_line(chain(head, lines), parse)
            return
    fault = next((line.fault for line in head if line.fault is not None), None)
    whole = _document(None, Line(1, b"\n".join(line.text for line in head), fault), parse)
    if whole.fault is None or fault is not None:
        yield from [whole] if whole.fault is None else _lines_or(whole, head, parse)
        return
    documents = _joined_documents(None, b"\n".join(line.text for line in head), parse)
    if documents and (documents[-1].fault is None or not _has_document(head, parse)):
        yield from documents
    else:
        yield from _lines_or(whole, head, parse)


def _lines_or(whole: FileDocument, head: list[Line], parse: Parse) -> Iterator[FileDocument]:
    """Read one document a line if a line is one, else yield the fault of the whole file."""
    return _one_a_line(iter(head), parse) if _has_document(head, parse) else iter([whole])


def _one_a_line(lines: Iterator[Line], parse: Parse) -> Iterator[FileDocument]:
    """Read each line as a document."""
    for line in lines:
        if len(line.text) > LINE_BYTES_MAX:
            detail = f"the line is longer than {LINE_BYTES_MAX} bytes"
            yield FileDocument(line.number, fault=Fault(UNDECODABLE, "", detail))
            continue
        document = _document(line.number, line, parse)
        if document.fault is None or line.fault is not None:
            yield document
        else:
            yield from _joined_line(line.number, line, document, parse)


def _joined_line(
    number: int | None, line: Line, document: FileDocument, parse: Parse
) -> Iterator[FileDocument]:
    """Read a line that is no document: several without a line break between them, or its fault."""
    documents = [] if line.fault is not None else _joined_documents(number, line.text, parse)
    yield from documents or [document]


def _joined_documents(number: int | None, text: bytes, parse: Parse) -> list[FileDocument]:
    """Read documents that follow each other, split where brackets close; the last one may be cut off.

    [] for a single one, and where anything but documents is between them: that is a damaged document, of
    which no part is taken.
    """
    parts = list(_parts(text))
    if len(parts) < 2 or not all(part[:1] in _OPEN for part in parts):  # noqa: PLR2004 - joined: two or more
        return []
    documents = [_document(number, Line(number or 1, part), parse) for part in parts]
    return documents if all(each.fault is None and each.value for each in documents[:-1]) else []


def _parts(text: bytes) -> Iterator[bytes]:
    """Split a text where its outermost brackets close; blanks between the parts are left out."""
    depth = begin = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match[0]
        if token in _OPEN:
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                yield _without_marks(text[begin : match.end()])
                begin = match.end()
    rest = _without_marks(text[begin:])
    if rest:
        yield rest


def _without_marks(part: bytes) -> bytes:
    """Return a part without blanks, separators and byte order marks around it."""
    return part.strip(_BETWEEN).removeprefix(_UTF8_MARK).lstrip(_BETWEEN)


def _is_document(document: FileDocument) -> bool:
    return isinstance(document.value, dict | list)


def _depth(text: bytes) -> int:
    """Return how many brackets of a text are open at its end."""
    tokens = [match[0] for match in _STRING_OR_BRACKET.finditer(text)]
    return sum(token in _OPEN for token in tokens) - sum(token in (b"}", b"]") for token in tokens)


def _document(number: int | None, line: Line, parse: Parse) -> FileDocument:
    """Parse one document."""
    if line.fault is not None:
        return FileDocument(number, fault=line.fault)
    try:
        return FileDocument(number, parse(line.text))
    except ValueError as error:
        return FileDocument(number, fault=Fault(UNDECODABLE, "", str(error)))


def _has_document(lines: list[Line], parse: Parse) -> bool:
    """Return whether one of the first lines is an object or an array by itself, and not an empty one."""
    size = 0
    for line in lines:
        size += len(line.text)
        if size > TRIED_BYTES_MAX:
            return False
        value = _document(line.number, line, parse).value
        if isinstance(value, dict | list) and value:
            return True
    return False


@contextmanager
def _text_stream(file: io.BufferedReader) -> Iterator[_Readline]:
    """Give the text of a file, decompressed if it begins like gzip, and UTF-16 as UTF-8."""
    is_compressed = file.peek(2)[:2] == _GZIP_MAGIC
    stream = gzip.GzipFile(fileobj=file) if is_compressed else file
    encoding = _utf16_encoding(stream.peek(4)[:4])
    if encoding is None:
        yield stream
        return
    text = io.TextIOWrapper(cast("BinaryIO", stream), encoding, newline="\n")
    try:
        yield _Utf16Stream(text)
    finally:
        text.detach()


def _utf16_encoding(head: bytes) -> str | None:
    """Return the name of the encoding of a JSON text by its first four bytes, None if it is not UTF-16.

    An ASCII character begins every JSON text, so one of its two bytes is zero.
    """
    if head[:2] in _UTF16_MARKS and 0 in head[2:]:
        return "utf-16"
    if 0 not in head[:2]:
        return None
    return "utf-16-be" if head[0] == 0 else "utf-16-le"


def _is(text: bytes, encoding: str) -> bool:
    try:
        text.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
