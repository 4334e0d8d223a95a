"""The metrics of one worker: plain numbers while it runs, Prometheus text at a scrape.

Counting costs a dictionary look-up and an addition, never a lock. Gauges are read from the worker's state at
the scrape. A counter only grows, from a zero that `declare` exports for all label values known beforehand.
Counting and reading happen in the worker's event loop.
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
from .known_labels import KnownLabels

Labels = tuple[str, ...]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
#: Most label sets of a metric. Settings, routes and reason codes give dozens; a label chosen from outside (a
#: network's name) must not fill the memory of the worker or of Prometheus.
LABEL_SETS_MAX = 500
OTHER = "other"


class Histogram:
    """The number of values in each bucket, the last being +Inf, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; a bucket includes its bound."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulated(self) -> list[tuple[str, float]]:
        """Return (upper bound, count of values up to it) in Prometheus' form."""
        buckets, so_far = [], 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            so_far += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(so_far)))
        return buckets


class Sample(tuple[Metric, Labels, float]):
    """One value of a gauge: (metric, label values, value)."""

    __slots__ = ()

    def __new__(cls, metric: Metric, labels: Iterable[object], value: float) -> Self:
        """Return the sample, its labels as text."""
        return super().__new__(cls, (metric, tuple(map(str, labels)), value))


Source = Callable[[], Iterable[Sample]]


class MetricsRegistry:
    """The counters of one worker, and the sources of its gauges."""

    def __init__(self) -> None:
        self._counts: dict[Metric, dict[Labels, float]] = {}
        self._histograms: dict[Metric, dict[Labels, Histogram]] = {}
        self._sources: list[Source] = []

    def declare(self, known: KnownLabels) -> None:
        """Export a zero for every counter without labels, and for every known label set of the others."""
        for metric in CATALOGUE:
            if metric.kind == "counter":
                label_sets = metric.known(known) if metric.known is not None else ()
                for labels in label_sets if metric.labels else ((),):
                    self.add(metric, labels, 0)

    def add(self, metric: Metric, labels: Labels = (), count: float = 1) -> None:
        """Add to a counter."""
        counts = self._counts.setdefault(metric, {})
        if labels not in counts and len(counts) >= LABEL_SETS_MAX:
            labels = (OTHER,) * len(labels)
        counts[labels] = counts.get(labels, 0) + count

    def histogram(self, metric: Metric, labels: Labels = ()) -> Histogram:
        """Return the histogram of these labels, the same one each time."""
        known = self._histograms.setdefault(metric, {})
        if labels not in known and len(known) >= LABEL_SETS_MAX:
            labels = (OTHER,) * len(labels)
        found = known.get(labels)
        if found is None:
            found = known[labels] = Histogram(metric.buckets)
        return found

    def count(self, metric: Metric, labels: Labels = ()) -> float:
        """Return the value of a counter, 0 for one that never counted."""
        return self._counts.get(metric, {}).get(labels, 0)

    def histograms(self, metric: Metric) -> Iterable[Histogram]:
        """Return the histograms of all labels."""
        return self._histograms.get(metric, {}).values()

    def read_from(self, source: Source) -> None:
        """Read gauges from this source at every scrape."""
        self._sources.append(source)

    def families(self) -> Iterator[Family]:
        """Yield every metric of the catalogue with its present values, in the catalogue's order."""
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
        """Return everything as Prometheus text, the metrics of process and Python included."""
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
    """The collector that the client library calls at a scrape."""

    def __init__(self, metrics: MetricsRegistry) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Family]:
        return self._metrics.families()


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
