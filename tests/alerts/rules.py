"""The alert rules as data, and the metrics, labels and values that their expressions use."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

CHECKOUT = Path(__file__).parents[2]
ALERTS = CHECKOUT / "deploy" / "prometheus" / "alerts.yml"
#: Metrics that Prometheus itself makes, and the labels that it adds.
SYNTHETIC = {"up"}
SCRAPE_LABELS = {"job", "instance", "le"}

find_names = re.compile(r"\b(?:(?:rebate|faust|process|python)_[a-z_]+|up(?=\{))").findall
_SELECTOR = re.compile(r"\b([a-z_]+)\{([^}]*)\}")
_MATCHER = re.compile(r"([a-z_]+)\s*(?:=~|!=|=|!~)\s*\"([^\"]*)\"")
_EXPRESSION = re.compile(r"^        expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)", re.MULTILINE)
_SEVERITY = re.compile(r"^        labels: \{severity: (\w+)\}$", re.MULTILINE)
_ANNOTATION = re.compile(r"^ {10}(\w+): (.*)$", re.MULTILINE)
_AGGREGATION = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


class Alert(Struct, frozen=True):
    """One rule: its name, expression on one line, severity, and annotations by name."""

    name: str
    expr: str
    severity: str
    annotations: dict[str, str]

    @property
    def metrics(self) -> set[str]:
        """Return the names of all metrics in the expression."""
        return set(find_names(self.expr))

    @property
    def matchers(self) -> set[tuple[str, str, str]]:
        """Return (metric, label, value) of all selectors."""
        return {
            (metric, label, value)
            for metric, inside in _SELECTOR.findall(self.expr)
            for label, values in _MATCHER.findall(inside)
            for value in values.split("|")
        }

    @property
    def grouped_by(self) -> set[str]:
        """Return the labels of all aggregations."""
        return {
            label.strip()
            for inside in _AGGREGATION.findall(self.expr)
            for label in inside.split(",")
            if label.strip()
        }


def load_alerts() -> list[Alert]:
    """Return all rules in the file's order; promtool, which reads all of YAML, checks the file itself."""
    _, *rows = ALERTS.read_text(encoding="utf-8").split("      - alert: ")
    return [_alert(row) for row in rows]


def _alert(row: str) -> Alert:
    """Return the rule that one entry of the file is."""
    name = row.split("\n", 1)[0]
    (folded, plain) = _EXPRESSION.findall(row)[0]
    (severity,) = _SEVERITY.findall(row)
    notes = dict(_ANNOTATION.findall(row.partition("annotations:\n")[2]))
    return Alert(name, " ".join((folded or plain).split()), severity, notes)


def used_metrics() -> set[str]:
    """Return the names of all metrics that any rule uses."""
    return set().union(*(alert.metrics for alert in load_alerts()))
