"""The figures of one worker: plain numbers where they arise, Prometheus only when somebody scrapes.

Law: counting costs a dictionary look-up and an addition, never a lock; what can be read from the worker's
own state is read at the scrape and not kept twice; a counter only grows. Everything is counted and read in
the loop that the worker lives in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Self

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from .catalogue import CATALOGUE, Metric

Labels = tuple[str, ...]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
#: Labels come from settings, routes and reason codes, so there are dozens. A label that somebody outside
#: can choose (a network's name) must not fill the memory of whoever keeps the metrics.
LABEL_SETS_MAX = 500
OTHER = "other"


class Histogram:
    """How often a value fell into each bucket, the last being +Inf, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; a bucket's bound belongs to the bucket."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulated(self) -> list[tuple[str, float]]:
        """Return (upper bound, count of values up to it) as Prometheus wants them."""
        buckets, so_far = [], 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            so_far += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(so_far)))
        return buckets


class Sample(tuple[Metric, Labels, float]):
    """One figure that was read: (metric, label values, value)."""

    __slots__ = ()

    def __new__(cls, metric: Metric, labels: Iterable[object], value: float) -> Self:
        """Return the sample, its labels as text."""
        return super().__new__(cls, (metric, tuple(map(str, labels)), value))


Source = Callable[[], Iterable[Sample]]


class Figures:
    """What one worker has counted, and whom to ask for the rest."""

    def __init__(self) -> None:
        self._counts: dict[Metric, dict[Labels, float]] = {}
        self._histograms: dict[Metric, dict[Labels, Histogram]] = {}
        self._sources: list[Source] = []

    def add(self, metric: Metric, labels: Labels = (), count: float = 1) -> None:
        """Count something."""
        counts = self._counts.setdefault(metric, {})
        if labels not in counts and len(counts) >= LABEL_SETS_MAX:
            labels = (OTHER,) * len(labels)
        counts[labels] = counts.get(labels, 0) + count

    def histogram(self, metric: Metric, labels: Labels = ()) -> Histogram:
        """Return where values of a histogram are observed; the same one for the same labels."""
        known = self._histograms.setdefault(metric, {})
        if labels not in known and len(known) >= LABEL_SETS_MAX:
            labels = (OTHER,) * len(labels)
        found = known.get(labels)
        if found is None:
            found = known[labels] = Histogram(metric.buckets)
        return found

    def read_from(self, source: Source) -> None:
        """Ask this source at every scrape."""
        self._sources.append(source)

    def families(self) -> Iterator[Family]:
        """Yield every metric of the catalogue with what is known of it now, in the catalogue's order."""
        read: dict[Metric, dict[Labels, float]] = {}
        for source in self._sources:
            for metric, labels, value in source():
                read.setdefault(metric, {})[labels] = value
        for metric in CATALOGUE:
            if metric.kind == "histogram":
                yield _histogram_family(metric, self._histograms.get(metric, {}))
            else:
                yield _family(metric, {**self._counts.get(metric, {}), **read.get(metric, {})})

    def exposition(self) -> bytes:
        """Return everything as Prometheus text, the process's and Python's own figures included."""
        return bytes(generate_latest(self._registry))

    @cached_property
    def _registry(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(_Collector(self))
        return registry


class _Collector(Collector):
    """What the client library asks at a scrape."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Family]:
        return self._figures.families()


def _family(metric: Metric, values: Mapping[Labels, float]) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram_family(metric: Metric, values: Mapping[Labels, Histogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, histogram in values.items():
        family.add_metric(labels, buckets=histogram.cumulated(), sum_value=histogram.sum)
    return family
