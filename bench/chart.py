"""The README's chart: throughput of all contenders as bars, drawn as an SVG from a result's file.

It is read on white and on black ground: no background of its own, and its colours change with the
reader's (`prefers-color-scheme`); every bar carries its figure, so nothing depends on telling colours apart.

    python -m bench.chart bench/results/all.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench.process import CHECKOUT

TARGET = CHECKOUT / "docs" / "throughput.svg"
#: In the chart, and in this order: the same fold for everybody, then our real domain.
SHOWN = (
    ("l1x", "by hand on aiokafka, memory", "bound"),
    ("l1x-rocksdb", "by hand on aiokafka, RocksDB", "bound"),
    ("ours-toy", "this project's engine, memory", "ours"),
    ("ours-toy-rocksdb", "this project's engine, RocksDB", "ours"),
    ("ours-life-rocksdb", "this project, real domain, RocksDB", "ours"),
    ("streams", "Kafka Streams, memory", "peer"),
    ("streams-rocksdb", "Kafka Streams, RocksDB", "peer"),
    ("quix", "Quix Streams, RocksDB", "peer"),
    ("flink", "Flink, RocksDB", "peer"),
    ("bytewax", "Bytewax, at least once", "peer"),
    ("pathway", "Pathway, at least once", "peer"),
    ("faust-eos", "Faust as documented, exactly_once", "peer"),
)
HEAD = "Orders a second, both stages, one process; exactly once unless it says otherwise"
WIDTH, LABEL, BAR_MAX, ROW, TOP = 760, 262, 400, 26, 44
STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328}
.head{font-weight:600;font-size:14px}.small{font-size:11px;fill:#59636e}
.ours{fill:#0b7a75}.bound{fill:#8c959f}.peer{fill:#b08948}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}
.ours{fill:#2fbfb5}.bound{fill:#7d8590}.peer{fill:#d4a95f}}
"""


def svg(found: dict[str, Any]) -> str:
    """Return the picture of a result."""
    figures = found["rows"]["throughput"]
    rows = [(title, kind, figures[name]["orders_per_s"]) for name, title, kind in SHOWN if name in figures]
    scale = BAR_MAX / max(figure for _, _, figure in rows)
    height = TOP + ROW * len(rows) + 26
    parts = [
        _opening(height),
        f"<style>{STYLE}</style>",
        f'<text class="head" x="0" y="16">{HEAD}</text>',
        f'<text class="small" x="0" y="33">{escape(_where(found))}</text>',
    ]
    for number, (title, kind, figure) in enumerate(rows):
        y = TOP + ROW * number
        long = max(1.0, figure * scale)
        parts += [
            f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(title)}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{y + 3}" width="{long:.1f}" height="17" rx="2"/>',
            f'<text x="{LABEL + long + 6:.1f}" y="{y + 16}">{figure:,.0f}</text>',
        ]
    foot = "The same fold for all but “real domain”; how it was measured: bench/README.md"
    parts += [f'<text class="small" x="0" y="{height - 6}">{foot}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _opening(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="Orders a second">'
    )


def _where(found: dict[str, Any]) -> str:
    machine, versions = found["machine"], found["versions"]
    return (
        f"{machine['processors']} cores ({machine['model']}) shared with the broker, "
        f"Apache Kafka {versions['kafka']}, medians"
    )


def draw(result: Path, target: Path = TARGET) -> None:
    """Draw a result's file."""
    target.write_text(svg(json.loads(result.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), *map(Path, sys.argv[2:3]))
