"""The dry run of a replay: what today's code would make of a record.

Nothing is written, sent or counted. The fold runs without its guard, so an exception is part of the answer.
"""

from __future__ import annotations

from rebate_app.dead_letters.outcomes import APPLIED, FAILED, IGNORED, REFUSED, DryRunOutcome
from rebate_app.domain.faults import RefusedError
from rebate_app.streams.failures.dead_letter import failure_of
from rebate_app.streams.failures.guard import GuardedStage
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import Readable, StoreClosedError, StoreDamagedError
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import RecordCollector


def dry_run(stage: GuardedStage, store: Readable, record: Record) -> DryRunOutcome:
    """Fold one record over the committed records, and drop the result."""
    transaction, collector = StateTransaction(store), RecordCollector()
    fold = stage.fold(transaction, collector)
    try:
        fold.take(record)
        fold.finish()
    except RefusedError as error:
        fault = error.faults[0]
        return DryRunOutcome(REFUSED, fault.code, fault.detail)
    except (StoreClosedError, StoreDamagedError):
        raise
    except Exception as error:  # noqa: BLE001 - the exception is the answer
        fault = failure_of(error).fault
        return DryRunOutcome(FAILED, fault.code, fault.detail)
    return DryRunOutcome(APPLIED if collector.records or transaction.changes else IGNORED)
