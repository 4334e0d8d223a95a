"""What today's code would make of a record, and what stays undone: the dry run of a replay.

Law: nothing is written, sent or counted. It is separate from the guard because a rehearsal wants to see the
exception that the guard hides.
"""

from __future__ import annotations

from rebate_app.dead_letters.rehearsal import APPLIED, FAILED, IGNORED, REFUSED, Rehearsal
from rebate_app.domain.faults import RefusedError
from rebate_app.lane.outbox import Outbox
from rebate_app.lane.stage import Record
from rebate_app.lane.store import Overlay, Readable, StoreClosedError, StoreDamagedError

from .accounts import AccountsStage
from .dead_letters import failure_of
from .order_lines import OrderLinesStage


def rehearse(stage: OrderLinesStage | AccountsStage, store: Readable, record: Record) -> Rehearsal:
    """Fold one record over the committed records, and forget it."""
    overlay, outbox = Overlay(store), Outbox()
    work = stage.work(overlay, outbox)
    try:
        work.take(record)
        work.finish()
    except RefusedError as error:
        fault = error.faults[0]
        return Rehearsal(REFUSED, fault.code, fault.detail)
    except (StoreClosedError, StoreDamagedError):
        raise
    except Exception as error:  # noqa: BLE001 - that it raises is the answer
        fault = failure_of(error).fault
        return Rehearsal(FAILED, fault.code, fault.detail)
    return Rehearsal(APPLIED if outbox.records or overlay.changes else IGNORED)
