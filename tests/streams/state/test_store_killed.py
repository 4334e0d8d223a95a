"""Kill -9 in a stream of applies: what is found belongs together, and nothing applied is lost."""

from __future__ import annotations

import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import SEED
from tests.streams.state.killed import OFFSETS_A_CHANGE, change
from tests.streams.state.stores import open_store

KILLS = 12
START_SECONDS_MAX = 60.0
RUN_SECONDS_MAX = 0.6


def run_and_kill(folder: Path, first: int, seconds: float) -> int:
    """Kill the process so long after its first line; return the last number that it printed."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.streams.state.killed", str(folder), SEED, str(first)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS_MAX)
        assert ready, "the process did not begin"
        time.sleep(seconds)
        process.kill()
        printed = process.stdout.read().split(b"\n")[:-1]
    return int(printed[-1])


@pytest.mark.chaos
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Data, watermark, position and age are those of one change, at least the last one that was printed."""
    draw = random.Random(SEED)
    model: dict[bytes, bytes] = {}
    held = -1
    for _ in range(KILLS):
        printed = run_and_kill(tmp_path, held + 1, draw.uniform(0, RUN_SECONDS_MAX))
        store = open_store("rocksdb", tmp_path)
        assert store.watermark is not None
        found = store.watermark.offset
        assert found >= printed, "an applied change was lost"
        for number in range(held + 1, found + 1):
            for key, value in change(SEED, number).items():
                if value is None:
                    model.pop(key, None)
                elif key.startswith(b"line "):
                    model[key] = value
        held = found
        assert (store.position, store.complete_at) == ((held + 1) * OFFSETS_A_CHANGE, float(held))
        assert dict(store.items()) == model
        store.close()
    print(f"seed {SEED}: {KILLS} kills over {held + 1} changes")
