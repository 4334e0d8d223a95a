"""What people see: tables of text on stdout, a progress line on stderr where there is a terminal.

Law: amounts are fen inside and yuan with two decimals here, by integer division; without a terminal
nothing moves and nothing is coloured (NO_COLOR is heeded too). It is separate so that the commands
hold no layout.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

FEN_PER_YUAN = 100
REFRESH_SECONDS = 0.1


class Progress(Protocol):
    """Told how far long work is."""

    def __call__(self, rows: int, says: str) -> None:
        """Say how many rows are done, and what is going on."""
        ...


def yuan(fen: int) -> str:
    """Return an amount in fen as yuan with two decimals: -5 is "-0.05"."""
    whole, rest = divmod(abs(fen), FEN_PER_YUAN)
    return f"{'-' if fen < 0 else ''}{whole}.{rest:02d}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns, the first one aligned left and the others right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Give a progress line on stderr; without a terminal, one that says nothing."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, no_color="NO_COLOR" in os.environ)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[says]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, says="")
        shown_at, began = 0.0, time.monotonic()

        def tell(rows: int, says: str) -> None:
            nonlocal shown_at
            now = time.monotonic()
            if now - shown_at >= REFRESH_SECONDS:
                shown_at = now
                rate = rows / max(now - began, REFRESH_SECONDS)
                bar.update(task, completed=rows, says=f"{rows:,} {says}, {rate:,.0f}/s")

        yield tell


def _silent(rows: int, says: str) -> None:
    """Say nothing."""
