"""Writes the measured tables of docs/performance.md from a result's file, so no figure is copied by hand.

python -m bench.page bench/results/all.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .process import CHECKOUT

PAGE = CHECKOUT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: written by bench.page -->\n", "<!-- end of what was measured -->\n"


def tables(found: dict[str, Any]) -> str:
    """Return both tables as Markdown: throughput, and everything that is to be reached."""
    machine, versions = found["machine"], found["versions"]
    parts = [
        (
            f"Commit `{found['commit'][:10]}`, {machine['processors']} cores ({machine['model']}), "
            f"{machine['memory_gib']:g} GiB, load {machine['load_at_start'][0]:g} before it began; "
            f"Python {versions['python']}, Apache Kafka {versions['kafka']}.\n"
        ),
    ]
    throughput = found["rows"].get("throughput")
    if throughput:
        parts += [
            "| contender | orders/s | processor s per 100,000 | of the broker | resident MiB |",
            "|---|---|---|---|---|",
            *(
                f"| {row['title']} (`{name}`) | {row['orders_per_s']:,.0f} | {row['cpu_s_per_100k']:.2f} "
                f"| {row['broker_cpu_s_per_100k']:.2f} | {row['resident_mib']:,.0f} |"
                for name, row in throughput.items()
            ),
            "",
        ]
    parts += [
        "| row | figure | measured | to reach | |",
        "|---|---|---|---|---|",
        *(
            f"| {verdict['row']} | {verdict['says']} | {verdict['figure']:,g} | {verdict['bound']} "
            f"| {'reached' if verdict['reached'] else '**not reached**'} |"
            for verdict in found["verdicts"]
        ),
        "",
    ]
    return "\n".join(parts)


def write(result: Path, page: Path = PAGE) -> None:
    """Put the tables between the page's marks."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    found = json.loads(result.read_text(encoding="utf-8"))
    page.write_text(before + BEGIN + "\n" + tables(found) + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), *map(Path, sys.argv[2:3]))
