"""What is to be reached, and whether it was: ratios of figures from one run, and nothing else.

Law: a target that was not measured is not reached. Throughputs are medians over interleaved rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

Figures = dict[str, Any]


class Target(Struct, frozen=True):
    """One figure of one row, and the bound that it has to keep."""

    row: str
    says: str
    figure: Callable[[Figures], float]
    bound: float
    at_least: bool

    def verdict(self, rows: Figures) -> dict[str, Any] | None:
        """Return the figure and whether it is reached, None when the row was not measured."""
        try:
            value = self.figure(rows[self.row])
        except KeyError:
            return None
        reached = value >= self.bound if self.at_least else value <= self.bound
        return {
            "row": self.row,
            "says": self.says,
            "figure": round(value, 3),
            "bound": ("≥ " if self.at_least else "≤ ") + f"{self.bound:g}",
            "reached": reached,
        }


def _ratio(ours: str, other: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures[ours]["orders_per_s"] / figures[other]["orders_per_s"])


def _at(*path: str) -> Callable[[Figures], float]:
    def figure(figures: Figures) -> float:
        found: Any = figures
        for name in path:
            found = found[name]
        return float(found)

    return figure


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
    Target("reads", "GETs a second while orders stream", _at("closed_loop", "per_second"), 3_000, True),
    Target("reads", "p99 ms at 3,000 GETs a second", _at("at_3000", "p99_ms"), 25, False),
    Target("forwarded", "p99 forwarded over direct", _at("p99_ratio"), 2.0, False),
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
    Target("millions", "cost a toy line, the dearest million over the first", _at("ratio"), 1.3, False),
    *(
        Target("soak", f"{says} (1: yes)", _at("verdicts", name), 1, True)
        for name, says in (
            ("rss_levels_off", "memory levels off"),
            ("files_level_off", "files level off"),
            ("descriptors_level_off", "descriptors level off"),
            ("lag_bounded", "lag is bounded"),
        )
    ),
]


def verdicts(rows: Figures) -> list[dict[str, Any]]:
    """Return a verdict for everything that was measured."""
    found = (target.verdict(rows) for target in TARGETS)
    return [verdict for verdict in found if verdict is not None]
