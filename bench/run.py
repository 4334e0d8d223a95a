"""`python -m bench.run [ROW…]`: one command per row, all rows without a name; `--quick` for small sizes.

python -m bench.run                                        everything: hours on two cores, see README.md
python -m bench.run --quick                                the same rows, small, in a few minutes
python -m bench.run throughput --only ours-toy l1x --orders 200000 --rounds 3
python -m bench.run soak --seconds 3600
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import (
    authentication,
    chart,
    day,
    domain,
    latency,
    reading,
    results,
    slow_clients,
    soak,
    states,
    throughput,
    withdrawals,
)
from bench.contenders import BY_NAME, EVERYBODY
from bench.place import Place, place

#: In the quick run each kind of contender has one place, RocksDB where it has the choice.
QUICK = [
    "l1x-rocksdb",
    "ours-toy-rocksdb",
    "streams-rocksdb",
    "quix",
    "faust-eos",
    "l1x-life-rocksdb",
    "ours-life-rocksdb",
]

#: Rows of no use when they are short.
LONG = ("millions", "soak")

Row = Callable[[Place, argparse.Namespace], dict[str, Any]]


def _throughput(where: Place, given: argparse.Namespace) -> dict[str, Any]:
    names = given.only or (QUICK if given.quick else [each.name for each in EVERYBODY])
    return throughput.compare(where, [BY_NAME[name] for name in names], given.orders, given.rounds)


def _latency(where: Place, given: argparse.Namespace) -> dict[str, Any]:
    names = tuple(given.only or latency.PEERS)
    seconds, primer = (2.0, min(given.orders, 20_000)) if given.quick else (60.0, 200_000)
    return latency.latency(where, seconds=given.seconds or seconds, primer=primer, names=names)


def _domain(where: Place, given: argparse.Namespace) -> dict[str, Any]:
    del where
    runs = [domain.run(1_000 if given.quick else 7_000) for _ in range(2 if given.quick else 5)]
    return min(runs, key=lambda found: found["us_per_event"])


def _rows(given: argparse.Namespace) -> dict[str, Row]:
    quick = given.quick
    rounds = 1 if quick else 5
    return {
        "domain": _domain,
        "throughput": _throughput,
        "latency": _latency,
        "reads": lambda where, _: reading.reads(where, seconds=3 if quick else 20),
        "forwarded": lambda where, _: reading.forwarded(where, seconds=1 if quick else 5, rounds=rounds),
        "slow-clients": lambda where, _: slow_clients.slow_clients(
            where, orders=given.orders if quick else min(given.orders, 200_000), rounds=given.rounds
        ),
        "authentication": lambda where, _: authentication.authentication(
            where, seconds=1 if quick else 4, rounds=rounds
        ),
        "crowd": lambda where, _: authentication.crowd(
            where, orders=given.orders if quick else min(given.orders, 200_000), rounds=given.rounds
        ),
        "withdrawals": lambda where, _: withdrawals.withdrawals(
            where, users=20 if quick else 400, each=5 if quick else 25
        ),
        "money-out": lambda where, _: withdrawals.money_out(where, orders=given.orders, rounds=given.rounds),
        "restore": lambda where, _: states.restoring(where, lines=20_000 if quick else 1_000_000),
        "memory": lambda where, _: states.memory(where, lines=1_000 if quick else 60_000),
        "heavy": lambda where, _: states.heavy_user(
            where, lines=3_000 if quick else 100_000, events=1_000 if quick else 20_000, rounds=rounds
        ),
        "workers": lambda where, _: states.two_workers(
            where, events=8_000 if quick else 200_000, rounds=min(3, rounds)
        ),
        "growth": lambda where, _: _grown(where, given, "memory"),
        "growth-rocksdb": lambda where, _: _grown(where, given, "rocksdb"),
        "millions": lambda where, _: states.millions(
            where, lines=4_000 if quick else 1_000_000, steps=2 if quick else 10
        ),
        "day": lambda where, _: day.day(where, lines=300 if quick else 100_000),
        "soak": lambda where, _: soak.soak(
            where, seconds=given.seconds or (10 if quick else 600), lines=2_000 if quick else 200_000
        ),
    }


def _grown(where: Place, given: argparse.Namespace, store: str) -> dict[str, Any]:
    lines, events = (800, 800) if given.quick else (50_000, 10_000)
    rounds = 1 if given.quick else 3
    return states.growth(where, lines=lines, events=events, rounds=rounds, store=store)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="benchmarks", epilog="results: bench/results/NAME.json")
    parser.add_argument("rows", nargs="*", help="all unless named")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--only", nargs="+", choices=list(BY_NAME), help="contenders of the rows throughput and latency"
    )
    parser.add_argument("--orders", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of the soak and of each part of latency")
    parser.add_argument("--name", help="of the result's file")
    given = parser.parse_args()
    given.orders = given.orders or (3_000 if given.quick else 1_000_000)
    given.rounds = given.rounds or (1 if given.quick else 3)
    return given


def main() -> None:
    """Measure the rows, one after the other; what one cannot measure does not hold up the others."""
    given = arguments()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all that was started is ended
    rows = _rows(given)
    names = given.rows or [name for name in rows if not (given.quick and name in LONG)]
    label = given.name or ("quick" if given.quick else "all" if not given.rows else "-".join(given.rows))
    around, found, failed = results.surroundings(), {}, False
    print(
        f"seeds {around['seeds']}, commit {around['commit'][:10]}, load {around['machine']['load_at_start']}"
    )
    with place() as where:
        for name in names:
            began = time.monotonic()
            try:
                found[name] = rows[name](where, given)
            except (RuntimeError, OSError, TimeoutError) as error:
                failed = True
                print(f"{name} failed: {error}", file=sys.stderr)
                continue
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
            path = results.write(label, around, found)
    results.print_verdicts(found)
    if "throughput" in found and not given.quick and not given.only:
        chart.draw(path)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
