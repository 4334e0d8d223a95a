"""Play a recording to promtool: the series of a test file, one value a minute.

The first scrape of each worker holds for the time before the fault. One recorded scrape a minute follows, and
after the last one the fault goes on: counters and times (names in `_total`, `_count`, `_bucket`, `_sum`,
`_seconds`) and the gauges that the case names change further at the pace of the last two scrapes; the others
stay. The clock is as far from the clock of the test, which begins at 0, as it was from the recorder's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from tests.alerts.recording import Samples, Scrape

STEP_SECONDS = 60
GROWING = ("_total", "_count", "_bucket", "_sum", "_seconds")
#: Ages that begin anew with each answer of a network, and a difference: two scrapes say nothing of an hour.
LEVEL = frozenset({"rebate_source_watermark_age_seconds", "rebate_source_clock_skew_seconds"})
CLOCK = "rebate_clock_seconds{}"
#: The moment at which a process began does not change.
STARTED = "process_start_time_seconds"
JOB = "rebate"

Series = dict[str, list[float | None]]


def play(scrapes: Iterable[Scrape], *, before: int, after: int, grows: tuple[str, ...] = ()) -> Series:
    """Return every series' values by minute: `before` minutes, the recording, and `after` minutes."""
    by_worker: dict[int, list[Scrape]] = {}
    for scrape in scrapes:
        by_worker.setdefault(scrape.worker, []).append(scrape)
    minutes = before + max(map(len, by_worker.values())) + after
    series: Series = {}
    for number, recorded in by_worker.items():
        worker = _minutes(recorded, before, minutes, grows)
        labels = f'instance="worker-{number}",job="{JOB}"'
        for minute, samples in enumerate(worker):
            series.setdefault(f"up{{{labels}}}", []).append(float(samples is not None))
            for name, value in (samples or {}).items():
                values = series.setdefault(_labelled(name, labels), [])
                values += [None] * (minute - len(values))
                values.append(value)
    return series


def input_series(series: Series) -> list[dict[str, str]]:
    """Return the series in promtool's notation."""
    return [{"series": name, "values": " ".join(_runs(values))} for name, values in series.items()]


def _labelled(series: str, labels: str) -> str:
    name, _, own = series.partition("{")
    own = re.sub(r"(^|,)job=", r"\1exported_job=", own)  # as Prometheus does, whose scrape has a job, too
    return f"{name}{{{labels}{',' if own != '}' else ''}{own}"


def _minutes(
    recorded: list[Scrape], before: int, minutes: int, grows: tuple[str, ...]
) -> Iterator[Samples | None]:
    """Yield one worker's samples of every minute."""
    for minute in range(minutes):
        place = min(max(0, minute - before), len(recorded) - 1)
        scrape, beyond = recorded[place], minute - before - place
        if scrape.samples is None:
            yield None
            continue
        samples = dict(scrape.samples)
        if beyond > 0 and len(recorded) > 1 and recorded[place - 1].samples is not None:
            samples = _extended(recorded[place - 1], scrape, beyond * STEP_SECONDS, grows)
        if CLOCK in samples:
            samples[CLOCK] = minute * STEP_SECONDS + scrape.samples[CLOCK] - scrape.at
        yield samples


def _extended(earlier: Scrape, last: Scrape, seconds: float, grows: tuple[str, ...]) -> Samples:
    """Return what the last samples become when they go on as between the last two scrapes."""
    assert earlier.samples is not None
    assert last.samples is not None
    extended = {}
    for series, value in last.samples.items():
        name = series.partition("{")[0]
        goes_on = name.endswith(GROWING) and name not in LEVEL
        if series in earlier.samples and (goes_on or name in grows) and name != STARTED:
            pace = (value - earlier.samples[series]) / (last.at - earlier.at)
            extended[series] = value + pace * seconds
        else:
            extended[series] = value
    return extended


def _runs(values: list[float | None]) -> Iterator[str]:
    """Yield the values, equal neighbours as `value+0xN` and absent ones as `_xN`."""
    start = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[start]:
            count, value = place - start, values[start]
            if value is None:
                yield f"_x{count}"
            else:
                yield _number(value) if count == 1 else f"{_number(value)}+0x{count - 1}"
            start = place


def _number(value: float) -> str:
    """Return a number without exponent, which promtool's notation does not take."""
    if not math.isfinite(value):
        return "0"
    return f"{value:.6f}".rstrip("0").rstrip(".")
