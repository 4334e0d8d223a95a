"""What is to be reached, and whether it was: ratios of figures from one run, and nothing else.

A target that was not measured is not reached. Throughputs are medians over interleaved rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

Measurements = dict[str, Any]


class Target(Struct, frozen=True):
    """One figure of one row, and the bound that it has to keep."""

    row: str
    summary: str
    figure: Callable[[Measurements], float]
    bound: float
    at_least: bool

    def verdict(self, rows: Measurements) -> dict[str, Any] | None:
        """Return the figure and whether it is reached, None when the row was not measured."""
        try:
            value = self.figure(rows[self.row])
        except KeyError:
            return None
        reached = value >= self.bound if self.at_least else value <= self.bound
        return {
            "row": self.row,
            "says": self.summary,
            "figure": round(value, 3),
            "bound": ("≥ " if self.at_least else "≤ ") + f"{self.bound:g}",
            "reached": reached,
        }


def _ratio(ours: str, other: str) -> Callable[[Measurements], float]:
    return lambda figures: float(figures[ours]["orders_per_s"] / figures[other]["orders_per_s"])


def _at(*path: str) -> Callable[[Measurements], float]:
    def figure(measurements: Measurements) -> float:
        found: Any = measurements
        for name in path:
            found = found[name]
        return float(found)

    return figure


def _committed(figure: str, other: str) -> Callable[[Measurements], float]:
    """Return the ratio of ours to another's, from sent to committed in the accounts' changelog."""

    def ratio(row: Measurements) -> float:
        peers = row["peers"]
        return float(peers["ours-toy"]["committed"][figure] / peers[other]["committed"][figure])

    return ratio


_FASTER = [
    ("ours-toy-rocksdb", "l1x-rocksdb", 0.9),
    ("ours-toy", "l1x", 0.9),
    ("ours-life", "l1x-life", 0.9),
    ("ours-life-rocksdb", "l1x-life-rocksdb", 0.9),
    ("ours-paid", "l1x-paid", 0.9),
    ("ours-paid-rocksdb", "l1x-paid-rocksdb", 0.9),
    ("ours-toy-rocksdb", "streams-rocksdb", 1.5),
    ("ours-toy-rocksdb", "quix", 4.0),
    ("ours-toy", "faust", 70.0),
    ("ours-life-rocksdb", "streams-rocksdb", 1.0),
    ("ours-paid-rocksdb", "streams-rocksdb", 1.0),
]

TARGETS = [
    *(
        Target("throughput", f"{ours} over {other}", _ratio(ours, other), bound, True)
        for ours, other, bound in _FASTER
    ),
    Target("domain", "µs of both folds and all codecs an event", _at("us_per_event"), 20, False),
    Target("workers", "processor time an order, two workers over one", _at("ratio"), 1.18, False),
    Target("latency", "produced to visible, p50 ms", _at("p50_ms"), 40, False),
    Target("latency", "produced to visible, p99 ms", _at("p99_ms"), 120, False),
    *(
        Target("latency", f"{figure} ours over {other}", _committed(figure, other), 0.5, False)
        for other in ("streams-100ms", "streams-10ms")
        for figure in ("p50_ms", "p99_ms")
    ),
    Target("reads", "GETs a second while orders stream", _at("closed_loop", "per_second"), 3_000, True),
    Target("reads", "p99 ms at 3,000 GETs a second", _at("at_3000", "p99_ms"), 25, False),
    Target("forwarded", "p99 forwarded over direct", _at("p99_ratio"), 2.0, False),
    Target("slow-clients", "orders a second beside 200 slow clients over alone", _at("ratio"), 0.8, True),
    Target("authentication", "balance GETs a second with keys over without", _at("ratio"), 0.93, True),
    Target("crowd", "orders a second in a crowd over alone", _at("ratio"), 0.8, True),
    Target("crowd", "another caller's p99 in a crowd over alone", _at("p99_ratio"), 2.0, False),
    Target("withdrawals", "withdrawals decided a second", _at("alone", "per_second"), 200, True),
    Target("money-out", "orders a second with payouts over without", _at("ratio"), 0.97, True),
    Target("restore", "records a second into memory", _at("memory_per_s"), 100_000, True),
    Target("restore", "records a second into RocksDB", _at("rocksdb_per_s"), 100_000, True),
    Target("restore", "s from start to ready, RocksDB", _at("ready_rocksdb_s"), 5, False),
    Target("memory", "bytes a toy line, in memory", _at("toy_memory_bytes_per_line"), 600, False),
    Target("memory", "bytes a line of five postings", _at("real_memory_bytes_per_line"), 2_560, False),
    Target("memory", "bytes a line, RocksDB", _at("real_rocksdb_bytes_per_line"), 100, False),
    Target("heavy", "cost an event, 100,000 lines over 10", _at("ratio"), 1.1, False),
    *(
        Target(row, f"{kind} lines, cost at ten times the state", _at(f"{kind}_ratio"), 1.3, False)
        for row in ("growth", "growth-rocksdb")
        for kind in ("new", "known")
    ),
    Target("day", "processor time of a day over the sizing table's", _at("over_sizing"), 1.0, False),
    Target("millions", "cost a toy line, the dearest million over the first", _at("ratio"), 1.3, False),
    *(
        Target("soak", f"{summary} (1: yes)", _at("verdicts", name), 1, True)
        for name, summary in (
            ("rss_levels_off", "memory levels off"),
            ("files_level_off", "files level off"),
            ("descriptors_level_off", "descriptors level off"),
            ("lag_bounded", "lag is bounded"),
        )
    ),
]


def verdicts(rows: Measurements) -> list[dict[str, Any]]:
    """Return a verdict for everything that was measured."""
    found = (target.verdict(rows) for target in TARGETS)
    return [verdict for verdict in found if verdict is not None]
