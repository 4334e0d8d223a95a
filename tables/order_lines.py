"""Table `order_lines`: one record per order line, keyed `platform:order_line_id`.

See docs/spec/architecture.md#stage-1.

A record is the state that follows from the line's facts; the facts stay in the topic. Beside them, an index
by order number (`order_numbers.py`): `O NUMBER LINE`.
"""

from __future__ import annotations

from copy import deepcopy

from rebate_app.domain.order.line import LineState
from rebate_app.streams.state.buffer import StateTransaction, TransactionRecords
from rebate_app.streams.state.build import note_fresh
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.state.store import Readable

from .order_numbers import ORDER_NUMBERS_NAME, index_numbers

NAME = "order_lines"
LINE = RecordKind("", LineState)
USED_KEY = b"#"


def is_fresh(records: Readable) -> bool:
    """Return whether no batch was ever processed."""
    return records.get(USED_KEY) is None


class OrderLinesView:
    """The lines that a batch works on."""

    def __init__(self, transaction: StateTransaction) -> None:
        note_fresh(ORDER_NUMBERS_NAME, is_fresh, transaction)
        self._transaction = transaction
        self._records = TransactionRecords(transaction)
        self._displays: dict[str, str | None] = {}  # of lines as they were before the batch, None: no line
        self._noted: dict[str, LineState] = {}

    def first_use(self) -> bool:
        """Note that the partition has read lines; return whether it is the first time."""
        if self._transaction.get(USED_KEY) is not None:
            return False
        self._transaction.put(USED_KEY, b"1")
        return True

    def line(self, line: str) -> LineState:
        """Return the line's state, a fresh one for a line never seen; `note` it once it is changed."""
        state = self._records.peek(LINE, line.encode())
        if line not in self._displays:
            self._displays[line] = None if state is None else state.display
        return state or LineState()

    def note(self, line: str, state: LineState) -> None:
        """Keep the state of a line, which was changed in place or is the first one."""
        self._records.add(line.encode(), state)
        self._noted[line] = state

    def copy_of(self, line: str) -> LineState:
        """Return a copy of the line's state, a fresh one for a line never seen: for a trial."""
        return deepcopy(self.line(line))

    def flush(self) -> None:
        """Write the changed lines, and their order numbers, to the state transaction."""
        for line, state in self._noted.items():
            before = self._displays[line]
            if state.display != before:
                index_numbers(self._transaction, line, before, state.display)
        self._noted.clear()
        self._displays.clear()
        self._records.flush()


def read_line(store: Readable, line: str) -> LineState | None:
    """Return the committed state of a line, None when it was never seen."""
    return LINE.read(store, line.encode())
