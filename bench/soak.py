"""The soak: the same order lines reported again and again for as long as wanted, on RocksDB.

Memory, lag and the worker's files have to level off. Each line's version grows with every report
and no money moves, so the state keeps its size: what grows all the same is a leak.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.pace import recurring
from bench.place import Place, new_run
from bench.process import folder_bytes, open_files, resident_bytes
from bench.reading import Measurements, answer, apart, begin, begun
from bench.states import worker_cost
from bench.worker import OurWorker

SAMPLE_S = 5.0
GROWN_MAX = 1.05  # of the third quarter's median: what levels off stays below
LAG_S_MAX = 2.0

Sample = dict[str, float]


def soak(
    where: Place,
    *,
    seconds: float,
    rate: float = 2_000.0,
    lines: int = 200_000,
    report: Callable[[str], None] = print,
) -> Measurements:
    """Run it; return the samples and the verdicts."""
    with new_run(where, "soak") as run, OurWorker(run, store="rocksdb") as worker:
        begin(run)
        worker.wait_ready()
        rows = recurring(lines)
        worker_cost(run, worker, (next(rows) for _ in range(lines)), lines)
        samples: list[Sample] = []
        with apart(
            "bench.pace",
            broker=where.broker,
            topic=run.topics.orders,
            rate=rate,
            seconds=seconds,
            lines=lines,
            first=lines,
        ) as stream:
            begun(stream)
            began = time.monotonic()
            while time.monotonic() - began < seconds - SAMPLE_S:
                time.sleep(SAMPLE_S)  # the interval of the samples, not a wait for anything
                worker.check()
                samples.append(_sample(run.folder / "worker-0", worker, time.monotonic() - began))
                report(_shown(samples[-1]))
            paced = answer(stream, seconds + 60)
        return {
            "rate": paced["per_second"],
            "lines": lines,
            "seconds": seconds,
            "samples": samples,
            "verdicts": verdicts(samples, rate),
        }


def _sample(folder: Path, worker: OurWorker, at: float) -> Sample:
    return {
        "at_s": round(at, 1),
        "rss_mib": resident_bytes(worker.pid) / 2**20,
        "lag": worker.lag(),
        "files_mib": folder_bytes(folder) / 2**20,
        "descriptors": open_files(worker.pid),
        "cpu_s": worker.cpu_seconds(),
    }


def _shown(sample: Sample) -> str:
    return (
        f"{sample['at_s']:7.0f} s  {sample['rss_mib']:6.0f} MiB  lag {sample['lag']:7,.0f}  "
        f"files {sample['files_mib']:6.0f} MiB  descriptors {sample['descriptors']:.0f}"
    )


def verdicts(samples: list[Sample], rate: float) -> dict[str, bool]:
    """Return what levels off: the last quarter's median against the third quarter's, and the lag's."""
    quarter = max(1, len(samples) // 4)
    third, last = samples[-2 * quarter : -quarter], samples[-quarter:]

    def level(name: str) -> bool:
        before = median(sample[name] for sample in third)
        return median(sample[name] for sample in last) <= GROWN_MAX * before

    return {
        "rss_levels_off": level("rss_mib"),
        "files_level_off": level("files_mib"),
        "descriptors_level_off": level("descriptors"),
        "lag_bounded": median(sample["lag"] for sample in last) <= LAG_S_MAX * rate,
    }
