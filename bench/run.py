"""`python -m bench.run ROW…`: one command per row of the table of what to reach."""

from __future__ import annotations

import argparse
import sys

from .contenders import BY_NAME
from .place import place
from .throughput import measure, shown


def main() -> None:
    """Measure throughput of the named contenders."""
    parser = argparse.ArgumentParser(description="benchmarks")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    with place() as where:
        for _ in range(given.rounds):
            for name in given.names:
                contender = BY_NAME[name]
                print(shown(measure(where, contender, int(given.orders * contender.share))), flush=True)


if __name__ == "__main__":
    sys.exit(main())
