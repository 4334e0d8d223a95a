"""What a worker exports before anything has happened: a zero for everything that can be counted later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rebate_app.metrics.catalogue import CATALOGUE
from tests.alerts.recording import Samples, samples_of
from tests.alerts.rules import load_alerts
from tests.metrics.test_catalogue import scraped_names

CHECKOUT = Path(__file__).parents[2]
FAUST = "faust_"
SCRAPE = """
from rebate_app.bootstrap import create_app
print(create_app().tasks.metrics.exposition().decode())
"""


SOURCES = """
[[app]]
id = "jd"
network = "jd"
app_key = "key"
secret_file = "secret"
[[account]]
id = "jd-1"
app = "jd"
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Return every sample of a worker that has not been started, from a process of its own."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "secret").write_text("secret")
    (folder / "sources.toml").write_text(SOURCES)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REBATE_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRAPE],
        cwd=CHECKOUT,
        env=environment | {"REBATE_TOPIC_PREFIX": "shop-", "REBATE_SOURCES": str(folder / "sources.toml")},
        capture_output=True,
        text=True,
        check=True,
    )
    return samples_of(done.stdout, scraped_names())


def test_every_counter_is_there_and_0(series: Samples) -> None:
    """Counters without series would begin with their first event, which is no increase then."""
    for metric in CATALOGUE:
        if metric.kind == "counter" and not metric.name.startswith(FAUST):
            values = [value for name, value in series.items() if name.startswith(f"{metric.name}{{")]
            assert values, metric.name
            assert set(values) == {0}, metric.name


def test_labels_are_those_of_this_system(series: Samples) -> None:
    """Topics carry the prefix; each source has its own reasons."""
    for topic, reason in (
        ("shop-order_topic", "missing-times.paid"),
        ("shop-rebate-user-log", "invalid-effective_at"),
        ("shop-rebate-events", "webhook-exhausted"),
    ):
        assert series[f'rebate_dead_letters_total{{reason="{reason}",topic="{topic}"}}'] == 0
    assert series['rebate_fenced_total{stage="order-lines"}'] == 0
    assert series['rebate_orders_processed_total{network="pdd",outcome="applied"}'] == 0


def test_what_alerts_select_is_there(series: Samples) -> None:
    """Each label value that a rule names is one of the zeros."""
    for alert in load_alerts():
        for metric, label, value in alert.matchers:
            if label != "job":
                assert any(
                    name.startswith(f"{metric}{{") and f'{label}="{value}"' in name for name in series
                ), alert.name
