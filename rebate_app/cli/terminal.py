"""The one place where commands write: text for people, JSON for programs, errors, progress.

Every text that a person reads passes `printable`, so that nothing out of a file, a topic or a response can
move the cursor, reorder a line or begin a new one. JSON is one value a line, with the same characters
escaped. `OutputError` if the output cannot be written.

Amounts in fen are shown as yuan with two decimals, by integer division. Without a terminal there is no
progress line; NO_COLOR is respected.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from rebate_app.domain.money import yuan

__all__ = [
    "OutputError",
    "Progress",
    "abandon",
    "money",
    "print_error",
    "print_json",
    "print_line",
    "print_note",
    "print_table",
    "print_text",
    "printable",
    "progress",
    "table",
    "yuan",
]

REFRESH_SECONDS = 0.1
#: Longer lines are cut; no sentence of ours is that long.
LINE_CHARACTERS_MAX = 2_000
#: Of a text of more lines the first ones are printed.
TEXT_LINES_MAX = 200
#: Longer cells of a table are cut; the longest id that is well-formed has fewer characters.
CELL_CHARACTERS_MAX = 200

_WIDE = ("W", "F")
_IN_JSON = re.compile(r"[^\x00-\x7e]")


class Progress(Protocol):
    """Called with the progress of long work."""

    def __call__(self, done: int, note: str) -> None:
        """Show how much is done, and a note on what."""
        ...


class OutputError(Exception):
    """Standard output cannot be written; `is_reader_gone`: whoever read it has closed the pipe."""

    def __init__(self, reason: str, *, is_reader_gone: bool = False) -> None:
        super().__init__(f"The output cannot be written: {reason}.")
        self.is_reader_gone = is_reader_gone


def printable(text: str, characters_max: int | None = LINE_CHARACTERS_MAX) -> str:
    r"""Return a text as one line that no terminal interprets, cut after `characters_max`; None: whole.

    Controls, line breaks, bidirectional and other invisible characters, and bytes that were no text become
    escapes: "\x1b", "\u202e".
    """
    rest = 0 if characters_max is None else len(text) - characters_max
    shown = text if rest <= 0 else text[:characters_max]
    if not shown.isprintable():
        shown = "".join(_escaped(character) for character in shown)
    return shown if rest <= 0 else f"{shown}… ({rest:,} more characters)"


def _escaped(character: str) -> str:
    """Return a character, or its escape unless it is a letter, mark, number, sign or space."""
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


def print_line(text: str = "", *, cut: bool = True) -> None:
    """Print one line of text for people on stdout; `cut`: unless it is meant to be copied."""
    _write(printable(text, LINE_CHARACTERS_MAX if cut else None))


def print_text(title: str, text: str) -> None:
    """Print a text after its title; of several lines, each on a line of its own and indented."""
    lines = text.splitlines()
    if len(lines) <= 1:
        print_line(f"{title}: {text}")
        return
    print_line(f"{title}:")
    for line in lines[:TEXT_LINES_MAX]:
        print_line(f"  {line}")
    if len(lines) > TEXT_LINES_MAX:
        print_line(f"  … ({len(lines) - TEXT_LINES_MAX:,} more lines)")


def print_json(document: Any) -> None:
    """Print a value as one line of JSON on stdout; bytes are JSON already."""
    text = document.decode() if isinstance(document, bytes) else _json_text(document)
    _write(text if text.isascii() and "\x7f" not in text else _IN_JSON.sub(_json_escape, text))


def _json_text(document: Any) -> str:
    import orjson

    try:
        return orjson.dumps(document).decode()
    except TypeError:  # a file name that is no text
        return json.dumps(document)


def _json_escape(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def print_note(text: str) -> None:
    """Print one line on stderr: progress, warnings, what is left off."""
    _write_note(printable(text))


def print_error(sentence: str) -> None:
    """Print why a command fails as one line on stderr."""
    _write_note(printable(f"Error: {sentence}"))


def _write_note(line: str) -> None:
    """Write to stderr; where that is not possible, the exit code is all that is left."""
    if sys.stderr is None:
        return
    try:
        _write_to(sys.stderr, line)
    except OSError:
        abandon(sys.stderr)


def _write(line: str) -> None:
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    try:
        _write_to(sys.stdout, line)
    except OSError as error:
        abandon(sys.stdout)
        is_gone = isinstance(error, BrokenPipeError)
        raise OutputError(error.strerror or str(error), is_reader_gone=is_gone) from error


def _write_to(stream: Any, line: str) -> None:
    """Write a line at once; a character that the stream's encoding lacks becomes an escape."""
    encoding = stream.encoding or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def abandon(stream: Any) -> None:
    """Give up a stream that cannot be written, so that Python does not try again when it ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def money(fen: int) -> str:
    """Return an amount in fen as yuan with its sign: -5 is "-¥0.05"."""
    return f"-¥{yuan(-fen)}" if fen < 0 else f"¥{yuan(fen)}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns on stdout, as `table` lays them out."""
    for line in table(header, rows).split("\n"):
        print_line(line, cut=False)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns, the first one aligned left and the others right; cells are `printable`."""
    cells = [[printable(cell, CELL_CHARACTERS_MAX) for cell in row] for row in (header, *rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_aligned(row, widths) for row in cells)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    pads = [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
    first, *others = zip(row, pads, strict=True)
    return "  ".join([first[0] + first[1], *(pad + cell for cell, pad in others)]).rstrip()


def _width(cell: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese characters take two."""
    if cell.isascii():
        return len(cell)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in _WIDE else 1
        for each in cell
    )


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Open a progress line on stderr; without a terminal, one that shows nothing."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, no_color="NO_COLOR" in os.environ)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, note="")
        shown_at, began = 0.0, time.monotonic()

        def report(done: int, note: str) -> None:
            nonlocal shown_at
            now = time.monotonic()
            if now - shown_at >= REFRESH_SECONDS:
                shown_at = now
                rate = done / max(now - began, REFRESH_SECONDS)
                bar.update(task, completed=done, note=f"{done:,} {note}, {rate:,.0f}/s")

        yield report


def _silent(done: int, note: str) -> None:
    """Show nothing."""
