"""Folds the records of a batch on a state transaction, in slices of a millisecond.

The event loop runs between two slices, so an HTTP request waits for milliseconds. Partitions take turns by
the batch and not by the slice: the records and the store of one stay in the processor's cache. A batch ends
after SLICES_MAX slices, which bounds the wait of the others, and encoding and sending as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from rebate_app.domain.pricing.catalogue import VersionNotReadError

from ..errors import BugError, HaltError, UnreadableStateError
from ..state.buffer import StateTransaction
from ..state.store import StoreDamagedError
from ..transaction.collector import RecordCollector
from .stage import BatchProcessor, Record, Stage

SLICE_SECONDS = 0.001  # an HTTP request takes a few loop iterations, so it waits for as many slices
#: The result is encoded in a fifth of the time, with yields; 40 slices made a seventh fewer orders a second.
SLICES_MAX = 100
WRITTEN_RECORDS_MAX = 200  # changed records encoded in one slice
CLOCK_EVERY_RECORDS = 16  # far less than a slice; reading the clock after each record costs time


async def execute_batch(
    stage: Stage,
    records: Sequence[Record],
    transaction: StateTransaction,
    collector: RecordCollector,
    compute_lock: asyncio.Lock,
) -> tuple[Sequence[Record], HaltError | None]:
    """Fold records from the first one on; return those that were taken, and the limit that stopped it.

    All are taken unless a limit trips or the slices are used up. BugError: the stage's own code failed;
    StoreDamagedError: the store did; VersionNotReadError: a rule version has to be read first. `compute_lock`
    is held by the partition that computes.
    """
    taken, halt = 0, None
    async with compute_lock:
        began = time.perf_counter()
        processor = stage.processor(transaction, collector)
        for _ in range(SLICES_MAX):
            taken, halt = _slice(stage, processor, records, taken)
            if halt is not None or taken == len(records):
                break
            await asyncio.sleep(0)  # with the lock, so that no other partition runs in this loop iteration
        if taken:
            while not transaction.write_changed(WRITTEN_RECORDS_MAX):  # noqa: ASYNC110 - it only yields
                await asyncio.sleep(0)
            processor.finish()
        if time.perf_counter() - began > SLICE_SECONDS:  # a small batch is one step of the loop
            await asyncio.sleep(0)
    return records[:taken], halt


def _slice(
    stage: Stage, processor: BatchProcessor, records: Sequence[Record], start: int
) -> tuple[int, HaltError | None]:
    """Take records for one slice; return how many are taken in total, and the limit that stopped it."""
    end_at = time.perf_counter() + SLICE_SECONDS
    for number in range(start, len(records)):
        record = records[number]
        try:
            processor.take(record)
        except (StoreDamagedError, UnreadableStateError, VersionNotReadError):
            raise
        except HaltError as error:
            error.offset = record.offset
            return number, error
        except Exception as error:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            raise BugError(f"{stage.name} failed on {place}: {error!r}") from error
        if number % CLOCK_EVERY_RECORDS == 0 and time.perf_counter() >= end_at:
            return number + 1, None
    return len(records), None
