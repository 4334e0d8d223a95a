"""Writes the measured tables of docs/performance.md from results' files, so no figure is copied by hand.

A row is taken whole from one run, from the last file that has it; the page says which run that was. Runs of
`throughput` that share no contender stand beside each other, so each ratio is of one run.

    python -m bench.page bench/results/all.json bench/results/costs.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.process import CHECKOUT
from bench.targets import verdicts

PAGE = CHECKOUT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: written by bench.page -->\n", "<!-- end of what was measured -->\n"
GUARANTEES = {True: "exactly once", False: "at least once"}


def tables(runs: Sequence[dict[str, Any]]) -> str:
    """Return both tables as Markdown: throughput, and everything that is to be reached."""
    rows = {name: row for run in runs for name, row in run["rows"].items() if name != "throughput"}
    several = _apart([run["rows"].get("throughput", {}) for run in runs])
    throughput = {name: row for contenders in several for name, row in contenders.items()}
    parts = [_around(run, names) for run in runs if (names := _names(run, rows, several))]
    if throughput:
        parts += [
            "| contender | guarantee | orders/s | processor s per 100,000 | of the broker | resident MiB |",
            "|---|---|---|---|---|---|",
            *(
                f"| {row['title']} (`{name}`) | {GUARANTEES[row['exactly_once']]} "
                f"| {row['orders_per_s']:,.0f} | {row['cpu_s_per_100k']:.2f} "
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
            for found in (*({"throughput": contenders} for contenders in several), rows)
            for verdict in verdicts(found)
        ),
        "",
    ]
    return "\n".join(parts)


def _apart(several: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs' contenders that stand: a run that has one of those before it replaces them all."""
    standing: list[dict[str, Any]] = []
    for contenders in several:
        if any(set(contenders) & set(each) for each in standing):
            standing = []
        if contenders:
            standing.append(contenders)
    return standing


def _names(run: dict[str, Any], rows: dict[str, Any], several: Sequence[dict[str, Any]]) -> list[str]:
    """Return the rows of the page that are of this run; of `throughput`, with its contenders."""
    own = [name for name, row in run["rows"].items() if rows.get(name) is row]
    contenders = run["rows"].get("throughput")
    if any(contenders is each for each in several):
        own.append(f"throughput ({', '.join(contenders)})")
    return own


def _around(run: dict[str, Any], names: Sequence[str]) -> str:
    machine, versions = run["machine"], run["versions"]
    return (
        f"{', '.join(names)}: commit `{run['commit'][:10]}`, {machine['processors']} cores "
        f"({machine['model']}), {machine['memory_gib']:g} GiB, load {machine['load_at_start'][0]:g} before; "
        f"Python {versions['python']}, Apache Kafka {versions['kafka']}.\n"
    )


def write(results: Sequence[Path], page: Path = PAGE) -> None:
    """Put the tables between the page's marks."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in results]
    page.write_text(before + BEGIN + "\n" + tables(runs) + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    write([Path(name) for name in sys.argv[1:]])
