"""Runs a fold so that a record on which it raises leaves no trace.

A fold changes records in place, so its state after an exception is unusable. `roll_back` then returns to the
last savepoint, folds the records taken since again, and makes the result the next savepoint. So a record is
folded twice at most, and without an exception a record costs one list append.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..state.buffer import StateTransaction
from ..task.stage import Record
from ..transaction.collector import RecordCollector


class Fold(Protocol):
    """A stage's own work on some records of a batch."""

    def successor(self, transaction: StateTransaction, collector: RecordCollector) -> Fold:
        """Return the fold that goes on after this one's `finish`, with what is emitted at the batch's end."""
        ...

    def take(self, record: Record) -> None:
        """Fold one record. RefusedError only before anything is changed or sent."""
        ...

    def conclude(self) -> None:
        """Send what is emitted once a batch: before the batch's last `finish`, never before a savepoint's."""
        ...

    def finish(self) -> None:
        """Write what was collected to the state transaction."""
        ...


NewFold = Callable[[StateTransaction, RecordCollector], Fold]


class SavepointFold:
    """The folds of one batch: the current one, and how to repeat it from the last savepoint."""

    def __init__(self, transaction: StateTransaction, collector: RecordCollector, new_fold: NewFold) -> None:
        self._transaction = transaction
        self._collector = collector
        self._new_fold = new_fold  # makes a fold that begins at the savepoint
        self._fold = new_fold(transaction, collector)
        self._savepoint: dict[bytes, bytes | None] = {}
        self._since: list[Record] = []  # folded since the savepoint
        self._sent_before = 0  # records that were collected before the current one

    def take(self, record: Record) -> None:
        """Fold one record. After an exception other than RefusedError, `roll_back` comes next."""
        self._sent_before = len(self._collector.records)
        self._fold.take(record)
        self._since.append(record)

    def finish(self) -> None:
        """Write everything that was folded to the state transaction."""
        self._fold.conclude()
        self._fold.finish()

    def roll_back(self) -> None:
        """Undo the record that failed: state and messages are those of the records before it."""
        del self._collector.records[self._sent_before :]
        self._transaction.roll_back(self._savepoint)
        again = RecordCollector()
        fold = self._new_fold(self._transaction, again)
        for record in self._since:
            fold.take(record)
        again.records.clear()  # they were sent when the records were folded first
        fold.finish()
        self._collector.records += again.records
        self._collector.count(again.counted)
        self._set_savepoint(fold)

    def _set_savepoint(self, finished: Fold) -> None:
        self._savepoint = dict(self._transaction.changes)
        self._since.clear()
        self._new_fold = finished.successor
        self._fold = finished.successor(self._transaction, self._collector)
