"""The catalogue's laws, and that page, dashboard and alerts know only what is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rebate_app.metrics.catalogue import CATALOGUE, ENGINE_PREFIX, PREFIX, Metric
from rebate_app.metrics.page import page
from rebate_app.metrics.registry import MetricsRegistry

CHECKOUT = Path(__file__).parents[2]
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "rebate.json"
ALERTS = CHECKOUT / "deploy" / "prometheus" / "alerts.yml"
ALLOWED_LABELS = {
    "account",
    "app",
    "job",
    "stage",
    "topic",
    "partition",
    "table",
    "reason",
    "network",
    "outcome",
    "route",
    "method",
    "status",
    "state",
    "version",
    "store",
    "app_id",
    "limit",
    "delay",
    "file",
    "channel",
    "kind",
}
#: Prometheus' own, and what aggregation gives.
ANYWHERE_LABELS = {"le", "job", "instance", "severity"}
HISTOGRAM_SUFFIXES = ("_bucket", "_count", "_sum")

find_names = re.compile(r"\b(?:rebate|faust|process|python)_[a-z_]+").findall


def scraped_names() -> set[str]:
    """Return every name that can stand in a query: ours, the engine's and the process's."""
    names = set()
    for metric in CATALOGUE:
        suffixes = HISTOGRAM_SUFFIXES if metric.kind == "histogram" else ("",)
        names |= {metric.name + suffix for suffix in suffixes}
    for family in text_string_to_metric_families(MetricsRegistry().exposition().decode()):
        names |= {sample.name for sample in family.samples}
    return names


def panels() -> Iterator[Any]:
    """Yield every panel of the dashboard that shows something."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        if panel["type"] != "row":
            yield panel


class TestNames:
    """One prefix, base units, `_total` on counters."""

    @pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
    def test_a_name_says_what_it_is(self, metric: Metric) -> None:
        """Counters and only they end in _total; a time is in seconds and its name says so."""
        assert metric.name.startswith((PREFIX, ENGINE_PREFIX))
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert (metric.unit == "seconds") == metric.name.endswith("_seconds")
        assert not re.search(r"_(ms|millis|us|kb|mb)\b", metric.name)
        assert metric.help.endswith(".")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(metric.buckets)

    def test_no_label_can_name_a_person_or_an_order(self) -> None:
        """Labels are from a closed list without users, orders, keys or texts."""
        assert {label for metric in CATALOGUE for label in metric.labels} <= ALLOWED_LABELS

    def test_names_are_unique(self) -> None:
        """No metric stands in the table twice."""
        assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


class TestFiles:
    """What people look at speaks of metrics that exist."""

    def test_the_page_is_fresh(self) -> None:
        """docs/metrics.md is what the catalogue says: else `python -m rebate_app.metrics.page`."""
        assert (CHECKOUT / "docs" / "metrics.md").read_text(encoding="utf-8") == page()

    def test_every_metric_of_the_dashboard_exists(self) -> None:
        """Each panel asks for at least one metric, and each of them is scraped."""
        known = scraped_names()
        for panel in panels():
            for target in panel["targets"]:
                names = find_names(target["expr"])
                assert names, panel["title"]
                assert set(names) <= known, panel["title"]

    def test_labels_in_queries_are_labels_of_their_metric(self) -> None:
        """`sum by (stage)` is of a metric that has stages."""
        queries = [target["expr"] for panel in panels() for target in panel["targets"]]
        labels = {metric.name: set(metric.labels) for metric in CATALOGUE}
        for query in queries:
            for name in find_names(query):
                own = labels.get(name) or labels.get(re.sub(r"_(bucket|count|sum)$", "", name), set())
                for group in re.findall(r"by \(([^)]*)\)", query):
                    assert set(group.split(", ")) <= own | ANYWHERE_LABELS, query
                for selector in re.findall(r"\{([a-z_]+)=", query):
                    assert selector in own | ANYWHERE_LABELS, query

    def test_every_metric_of_ours_is_shown_or_watched(self) -> None:
        """A metric that nobody looks at is not worth its place."""
        looked_at = DASHBOARD.read_text(encoding="utf-8") + ALERTS.read_text(encoding="utf-8")
        unseen = {m.name for m in CATALOGUE if m.name.startswith(PREFIX) and m.name not in looked_at}
        assert unseen <= {"rebate_group_generation"}
