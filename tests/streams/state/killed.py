"""Apply one change after the other until killed: `python -m tests.streams.state.killed`.

What change number n is follows from the seed alone, so that whoever finds the store afterwards can
compute what it has to hold.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from rebate_app.streams.state.store import WATERMARK_KEY
from tests.streams.state.stores import open_store, watermark_value

KEYS = 3_000
RECORDS_A_CHANGE = 400
OFFSETS_A_CHANGE = 7


def change(seed: str, number: int) -> dict[bytes, bytes | None]:
    """Return the records of change number so-and-so, the watermark among them; a tenth are deletions."""
    draw = random.Random(f"{seed}:{number}")
    changes: dict[bytes, bytes | None] = {}
    for _ in range(RECORDS_A_CHANGE):
        key = b"line %d" % draw.randrange(KEYS)
        changes[key] = None if draw.random() < 0.1 else b"%d " % number + draw.randbytes(draw.randrange(700))
    changes[WATERMARK_KEY] = watermark_value(number)
    return changes


def main(folder: str, seed: str, first: int) -> None:
    """Apply from `first` on, and say each number once it is applied."""
    store = open_store("rocksdb", Path(folder))
    number = first
    while True:
        store.apply(change(seed, number), (number + 1) * OFFSETS_A_CHANGE, float(number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
