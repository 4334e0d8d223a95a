"""Table `order_lines`: one record per order line, keyed `platform:order_line_id` (design.md 2, stage 1).

It holds what the line's facts say, not the facts: the topic keeps those.
"""

from __future__ import annotations

from copy import deepcopy

from rebate_app.domain.order_line import LineState
from rebate_app.lane.store import Overlay, Readable

from .parking import is_about_failures
from .records import ChunkRecords, RecordKind

NAME = "order_lines"
LINE = RecordKind("", LineState)
USED_KEY = b"#"


class OrderLinesChunk:
    """The lines that a chunk works on."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._records = ChunkRecords(overlay)

    def first_use(self) -> bool:
        """Note that the partition has read lines; return whether it is the first time."""
        if self._overlay.get(USED_KEY) is not None:
            return False
        self._overlay.put(USED_KEY, b"1")
        return True

    def line(self, line: str) -> LineState:
        """Return the line's state, a fresh one for a line never seen; `note` it once it was changed."""
        return self._records.look(LINE, line.encode()) or LineState()

    def note(self, line: str, state: LineState) -> None:
        """Keep the state of a line, which was changed in place or is the first one."""
        self._records.add(line.encode(), state)

    def copy_of(self, line: str) -> LineState:
        """Return a copy of the line's state, a fresh one for a line never seen: to try something out."""
        return deepcopy(self.line(line))

    def flush(self) -> None:
        """Write the changed lines to the overlay."""
        self._records.flush()


def is_line(key: bytes) -> bool:
    """Whether a record of the table is a line, and not about the table."""
    return key != USED_KEY and not is_about_failures(key)


def read_line(store: Readable, line: str) -> LineState | None:
    """Return the committed state of a line, None when it was never seen."""
    return LINE.read(store, line.encode())
