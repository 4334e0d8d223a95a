"""Freed memory goes back to the system, again and again, and nothing depends on whether it can."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest

from rebate_app import process_memory
from rebate_app.process_memory import malloc_trim, release_freed_memory

#: Frees 49 of 50 blocks, so that the top of the heap stays in use; prints resident pages before and after.
FRAGMENTED = """
from rebate_app.process_memory import malloc_trim

def resident():
    return int(open("/proc/self/statm").read().split()[1])

blocks = [bytearray(2_000) for _ in range(100_000)]
kept = blocks[::50]
del blocks
before = resident()
trim = malloc_trim()
print(before, before if trim is None else (trim(0), resident())[1])
"""


def rounds(trim: Callable[[int], int] | None, monkeypatch: pytest.MonkeyPatch, collections: int) -> None:
    """Run the loop without pauses until so many collections have been made."""
    left = asyncio.Event()
    count = 0

    def collect() -> int:
        nonlocal count
        count += 1
        if count == collections:
            left.set()
        return 0

    monkeypatch.setattr(process_memory, "RELEASE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(process_memory, "malloc_trim", lambda: trim)
    monkeypatch.setattr("rebate_app.process_memory.gc.collect", collect)

    async def run() -> None:
        loop = asyncio.create_task(release_freed_memory())
        async with asyncio.timeout(10):
            await left.wait()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        assert loop.cancelled()

    asyncio.run(run())


class TestRelease:
    """`release_freed_memory`."""

    def test_it_collects_and_trims_again_and_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each collection but the last, which the test ends, is followed by a trim of everything."""
        trimmed: list[int] = []

        def trim(pad: int) -> int:
            trimmed.append(pad)
            return 1

        rounds(trim, monkeypatch, 4)
        assert trimmed[:3] == [0, 0, 0]

    def test_without_a_trim_it_collects(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A C library that has no such function ends nothing."""
        rounds(None, monkeypatch, 4)


@pytest.mark.skipif(malloc_trim() is None, reason="this C library has no malloc_trim")
def test_freed_memory_below_used_memory_goes_back() -> None:
    """Of 200 MB in blocks of 2 KB whose last one stays, at least two thirds."""
    done = subprocess.run([sys.executable, "-c", FRAGMENTED], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before * 0.6, (before, after)
