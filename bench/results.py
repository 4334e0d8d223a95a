"""Results as JSON: the figures, and all that somebody needs who wants to measure them again."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import domain, orders
from bench.peers import HERE, java_version
from bench.process import CHECKOUT
from bench.targets import verdicts
from rebate_app.broker.jars import KAFKA_VERSION

RESULTS = HERE / "results"
PACKAGES = ("faust-streaming", "aiokafka", "msgspec", "rocksdict", "orjson", "aiohttp")


def surroundings() -> dict[str, Any]:
    """Return machine, versions, seeds and commit."""
    return {
        "machine": {
            "processors": os.cpu_count(),
            "model": _model(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "kernel": platform.release(),
            "load_at_start": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": {name: version(name) for name in PACKAGES}
        | {
            "python": platform.python_version(),
            "java": java_version(),
            "kafka": KAFKA_VERSION,
            **{name: _pinned(name) for name in ("quix", "bytewax", "pathway")},
        },
        "seeds": {"toy": orders.SEED, "domain": domain.SEED},
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": len(_git("status", "--short", "--untracked-files=no").splitlines()),
    }


def _model() -> str:
    rows = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((row.partition(": ")[2] for row in rows if row.startswith("model name")), platform.machine())


def _pinned(peer: str) -> str:
    """Return the version of a peer with a virtual environment of its own."""
    wanted = (HERE / peer / "requirements.in").read_text(encoding="utf-8").splitlines()[0]
    return wanted.partition("==")[2]


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def write(name: str, around: dict[str, Any], rows: dict[str, Any]) -> Path:
    """Write what was measured so far; return the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    found = {
        "name": name,
        **around,
        "load_at_end": os.getloadavg()[0],
        "verdicts": verdicts(rows),
        "rows": rows,
    }
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def print_verdicts(rows: dict[str, Any]) -> None:
    """Print each ratio and whether it is reached."""
    for verdict in verdicts(rows):
        mark = "reached    " if verdict["reached"] else "NOT reached"
        print(
            f"{mark} {verdict['row']:14} {verdict['says']:45} {verdict['figure']:10,.2f}  {verdict['bound']}"
        )
    sys.stdout.flush()
