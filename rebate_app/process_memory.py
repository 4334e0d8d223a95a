"""Memory of the worker's process: how rarely Python collects garbage, and what is given back to the system.

A worker allocates and frees hundreds of megabytes a minute in blocks of all sizes. The C library keeps what
is freed, in pieces that the next batch does not fit: without more, a worker on RocksDB grows by 90 MiB with
each million new lines although it holds no more. A full collection and `malloc_trim` every half minute keep
it flat.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable

#: Objects of a batch are rarely garbage in cycles, and those that a worker keeps never are; the default
#: (after 700 objects) scans them again and again.
COLLECT_AFTER = (100_000, 50, 50)
RELEASE_EVERY_SECONDS = 30.0


def tune_garbage_collection() -> None:
    """Exclude existing objects from garbage collection in cycles, and run it rarely for new ones."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def malloc_trim() -> Callable[[int], int] | None:
    """Return the C library's `malloc_trim`, None where it has none (musl, macOS)."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


async def release_freed_memory() -> None:
    """Collect garbage and give freed memory back, every RELEASE_EVERY_SECONDS until cancelled.

    The collection stops the event loop (5 to 20 ms with the bench's toy fold on RocksDB). The trim runs in a
    thread without the interpreter's lock; what allocates meanwhile may wait for it.
    """
    trim = malloc_trim()
    while True:
        await asyncio.sleep(RELEASE_EVERY_SECONDS)
        gc.collect()
        if trim is not None:
            await asyncio.get_running_loop().run_in_executor(None, trim, 0)
