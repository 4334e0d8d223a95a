"""Scrapes of real workers in a text file: what each worker's /metrics answered, and when.

A file is a series of scrapes. `# scrape WORKER SECONDS` begins one, `SECONDS` since 1970; the samples follow
in Prometheus' text format. Of the scrapes after a worker's first one only the samples that changed are kept,
and `# gone NAME{LABELS}` for those that are no more. `# silent` stands for a worker that did not answer. Kept
are the metrics that alert rules use.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

RECORDED = Path(__file__).parent / "recorded"
SCRAPE, GONE, SILENT = "# scrape ", "# gone ", "# silent"

#: Value by series, as `name{label="value",…}`.
Samples = dict[str, float]


class Scrape(Struct, frozen=True):
    """One scrape of one worker; `samples` is None if it did not answer."""

    worker: int
    at: float
    samples: Samples | None


def samples_of(exposition: str, names: set[str]) -> Samples:
    """Return the samples of these metrics in a page of /metrics."""
    return {
        _series(sample.name, sample.labels): float(sample.value)
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name in names
    }


def _series(name: str, labels: dict[str, str]) -> str:
    pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}"


def write(path: Path, scrapes: Iterable[Scrape]) -> None:
    """Write the scrapes of a recording."""
    lines: list[str] = []
    before: dict[int, Samples] = {}
    for scrape in scrapes:
        lines.append(f"{SCRAPE}{scrape.worker} {scrape.at:.3f}")
        if scrape.samples is None:
            lines.append(SILENT)
            continue
        known = before.get(scrape.worker, {})
        lines += [f"{GONE}{series}" for series in known if series not in scrape.samples]
        lines += [f"{s} {value:.12g}" for s, value in scrape.samples.items() if known.get(s) != value]
        before[scrape.worker] = scrape.samples
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read(path: Path) -> list[Scrape]:
    """Return the scrapes of a recording, each with all of its samples."""
    scrapes: list[Scrape] = []
    state: dict[int, Samples] = {}
    for block in path.read_text(encoding="utf-8").split(SCRAPE)[1:]:
        head, *lines = block.splitlines()
        worker, at = int(head.split()[0]), float(head.split()[1])
        if SILENT in lines:
            scrapes.append(Scrape(worker, at, None))
            continue
        samples = state[worker] = dict(state.get(worker, {}))
        for line in lines:
            if line.startswith(GONE):
                del samples[line.removeprefix(GONE)]
            else:
                series, value = line.rsplit(" ", 1)
                samples[series] = float(value)
        scrapes.append(Scrape(worker, at, dict(samples)))
    return scrapes
