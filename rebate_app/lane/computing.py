"""Folding a chunk's records on an overlay, in turns with the other partitions and with everybody else.

Law: between two turns of the event loop at most one partition computes, and it for one slice, so that HTTP
waits for milliseconds however many partitions are busy; and a chunk ends after some slices, so that writing
it down stays short as well. It is separate from the partition, which decides when.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from .failures import BugError, HaltError
from .outbox import Outbox
from .stage import Record, Session, Stage
from .store import Overlay, StoreDamagedError

SLICE_S = 0.001  # a request takes a few turns of the loop, so it waits for as many slices
SLICES_MAX = 40  # what is decided in 40 ms is encoded in about 8
LOOK_EVERY = 16  # records, below a millisecond: looking at the clock after each one costs, too


async def compute(
    stage: Stage, records: Sequence[Record], overlay: Overlay, outbox: Outbox, turn: asyncio.Lock
) -> tuple[Sequence[Record], HaltError | None]:
    """Fold records from the first one on; return those that were taken, and the limit that says stop.

    All of them unless a limit says so or the slices are used up. BugError when the stage's own code
    fails; StoreDamagedError when the store does. `turn` is held by whoever computes.
    """
    session = stage.session(overlay, outbox)
    taken, halt = 0, None
    for _ in range(SLICES_MAX):
        async with turn:
            taken, halt = _slice(stage, session, records, taken)
            await asyncio.sleep(0)  # still held, else all would work between two turns of the loop
        if halt is not None or taken == len(records):
            break
    if taken:
        async with turn:
            session.finish()
            await asyncio.sleep(0)
    return records[:taken], halt


def _slice(
    stage: Stage, session: Session, records: Sequence[Record], start: int
) -> tuple[int, HaltError | None]:
    """Take records for one slice; return how many of all are taken now, and the limit that says stop."""
    end_at = time.perf_counter() + SLICE_S
    for number in range(start, len(records)):
        record = records[number]
        try:
            session.take(record)
        except StoreDamagedError:
            raise
        except HaltError as error:
            return number, error
        except Exception as error:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            raise BugError(f"{stage.name} failed on {place}: {error!r}") from error
        if number % LOOK_EVERY == 0 and time.perf_counter() >= end_at:
            return number + 1, None
    return len(records), None
