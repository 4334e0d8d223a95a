"""A toy stage that counts visits by key: its row, its record kind, its fold."""

from __future__ import annotations

from msgspec import Struct

from rebate_app.domain.faults import UNDECODABLE, Fault, RefusedError
from rebate_app.streams.failures.guard import GuardedStage
from rebate_app.streams.state.buffer import StateTransaction, TransactionRecords
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.stages import RECORD_BYTES_MAX, StageSpec

VISITS = StageSpec(
    name="visits",
    agent="visits",
    source="visit_topic",
    dead_letter="visit_topic-dlt",
    parked="visit_topic-parked",
    table="visits",
    records="visits",
    changelog="visits-changelog",
    source_bytes_max=RECORD_BYTES_MAX,
    source_about="visits, keyed by user",
    dead_letter_about="records of visit_topic that cannot be used",
    parked_about="copies of what waits for a parked user",
    table_about="how often each user came",
    importers_write=False,
)


class VisitCount(Struct, array_like=True):
    """How often a user came (format 1)."""

    format: int = 1
    count: int = 0


VISIT_COUNT = RecordKind("c", VisitCount)


class VisitsStage(GuardedStage, frozen=True, kw_only=True):
    """`visit_topic` → table `visits`."""

    name: str = VISITS.agent

    def fold(self, transaction: StateTransaction, collector: RecordCollector) -> VisitsFold:
        """Return the fold of one batch."""
        return VisitsFold(transaction, collector)


class VisitsFold:
    """The fold of one batch (implements Fold)."""

    def __init__(self, transaction: StateTransaction, collector: RecordCollector) -> None:
        del collector
        self._records = TransactionRecords(transaction)

    def successor(self, transaction: StateTransaction, collector: RecordCollector) -> VisitsFold:
        """Return the fold that goes on; nothing is kept for the end of the batch."""
        return VisitsFold(transaction, collector)

    def take(self, record: Record) -> None:
        """Count one visit; RefusedError for a value other than `visit`."""
        if record.value != b"visit" or record.key is None:
            raise RefusedError([Fault(UNDECODABLE, "", "the value is no visit")])
        key = VISIT_COUNT.key(record.key.decode())
        visits = self._records.get(VISIT_COUNT, key)
        if visits is None:
            visits = VisitCount()
            self._records.add(key, visits)
        visits.count += 1

    def conclude(self) -> None:
        """Send nothing."""

    def finish(self) -> None:
        """Write the changed counts."""
        self._records.flush()
