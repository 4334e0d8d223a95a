"""Folding a chunk's records on an overlay, in turns with everybody else on the event loop.

It is separate from the partition, which decides when; here it is done, and nothing is awaited but a turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from .failures import BugError, HaltError
from .outbox import Outbox
from .stage import Record, Stage
from .store import Overlay, StoreDamagedError

YIELD_AFTER_S = 0.005  # HTTP gets its turn; a chunk of 4,000 would hold it up for 100 ms
LOOK_EVERY = 16  # records, well below a millisecond: looking at the clock after each one costs, too


async def compute(
    stage: Stage, records: Sequence[Record], overlay: Overlay, outbox: Outbox
) -> tuple[Sequence[Record], HaltError | None]:
    """Fold the records; return those that were taken, all of them unless a limit says stop.

    BugError when the stage's own code fails; StoreDamagedError when the store does.
    """
    session = stage.session(overlay, outbox)
    halt = None
    yield_at = time.perf_counter() + YIELD_AFTER_S
    for number, record in enumerate(records):
        try:
            session.take(record)
        except StoreDamagedError:
            raise
        except HaltError as error:
            records, halt = records[:number], error
            break
        except Exception as error:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            raise BugError(f"{stage.name} failed on {place}: {error!r}") from error
        if number % LOOK_EVERY == 0 and time.perf_counter() >= yield_at:
            await asyncio.sleep(0)
            yield_at = time.perf_counter() + YIELD_AFTER_S
    if records:
        session.finish()
    return records, halt
