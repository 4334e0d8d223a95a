"""Generate docs/metrics.md from the catalogue; a test proves that the page is current.

`python -m rebate_app.metrics.page > docs/metrics.md`
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from .catalogue import CATALOGUE, ENGINE_PREFIX, Metric

HEAD = """\
<!-- Generated: python -m rebate_app.metrics.page > docs/metrics.md -->
# Metrics

Every worker serves `GET /metrics` in Prometheus' text format, from its first moment on and whatever the
broker does. A value is about this worker alone: add workers up (`sum`), take the worst (`max`, `min`).
Counters begin at 0 with the process: all known label values are there from the first scrape on, so that
Prometheus' `increase()` sees the first event. Records and batches count once their transaction is committed:
a batch that was repeated after a crash counts once. No label holds a user, an order or a
text from outside, with one exception: `network` is the platform that the orders name, of which 500 are
counted apart and all others as `other`.

`deploy/prometheus/` has a scrape configuration and the alert rules, `deploy/grafana/` a dashboard;
[operations/alerts.md](operations/alerts.md) explains what to do about each alert.
"""
PROCESS = """
## The process

`process_*` and `python_*` are those of the Prometheus client for Python: memory, processor time, open files,
garbage collection. Faust's own Prometheus page is not served.
"""


def page() -> str:
    """Return the whole page."""
    ours = [metric for metric in CATALOGUE if not metric.name.startswith(ENGINE_PREFIX)]
    engine = [metric for metric in CATALOGUE if metric.name.startswith(ENGINE_PREFIX)]
    return f"{HEAD}\n## Ours\n\n{_table(ours)}\n## The engine (Faust)\n\n{_table(engine)}{PROCESS}"


def _table(metrics: Iterable[Metric]) -> str:
    rows = ["| metric | type | labels | unit | |", "|---|---|---|---|---|"]
    rows += [
        f"| `{metric.name}` | {metric.kind} | {_labels(metric)} | {metric.unit} | {metric.help} |"
        for metric in metrics
    ]
    return "\n".join(rows) + "\n"


def _labels(metric: Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels)


if __name__ == "__main__":
    sys.stdout.write(page())
