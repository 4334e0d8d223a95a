"""Every alert fires in its fault and is silent on a healthy day, by promtool on recorded series."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rebate_app.metrics.catalogue import CATALOGUE
from rebate_app.metrics.known_labels import KnownLabels
from tests.alerts.cases import CASES, DAY, HEALTHY, Case
from tests.alerts.playing import input_series, play
from tests.alerts.promtool import promtool
from tests.alerts.recording import RECORDED, Scrape, read, write
from tests.alerts.rules import ALERTS, SCRAPE_LABELS, SYNTHETIC, Alert, load_alerts, used_metrics
from tests.metrics.test_catalogue import HISTOGRAM_SUFFIXES, scraped_names

RULES = load_alerts()
#: What a worker does before the fault, in minutes: longer than any window but that of days.
BEFORE_MINUTES = 45
OPERATIONS = "docs/operations/alerts.md"
SEVERITIES = {"page", "ticket"}


def by_name(alert: Alert) -> str:
    """Return the test's id."""
    return alert.name


def fires(case: Case, scrapes: list[Scrape], folder: Path) -> str:
    """Return what promtool finds wrong with the alerts that fire in a played recording, "" if nothing."""
    before = 0 if case.begins else BEFORE_MINUTES
    after = max(case.fires) + 1
    series = play(scrapes, before=before, after=after, grows=case.grows)
    recorded = len(next(iter(series.values()))) - before - after
    tests = [
        {
            "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
            "eval_time": f"{before + recorded - 1 + minute}m",
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)],
        }
        for minute, names in case.fires.items()
    ]
    document = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": f"{case.step}m",
        "tests": [{"interval": "1m", "input_series": input_series(series), "promql_expr_test": tests}],
    }
    file = folder / f"{case.name}.yml"  # JSON is YAML
    file.write_text(json.dumps(document), encoding="utf-8")
    done = promtool("test", "rules", file)
    return "" if done.returncode == 0 else done.stdout + done.stderr


class TestRules:
    """What a rule has to have."""

    def test_promtool_takes_the_file(self) -> None:
        """Expressions and templates are well formed."""
        done = promtool("check", "rules", ALERTS)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{len(RULES)} rules found" in done.stdout

    @pytest.mark.parametrize("alert", RULES, ids=by_name)
    def test_metrics_labels_and_values_are_those_of_the_catalogue(self, alert: Alert) -> None:
        """A name that has changed would make a rule that never fires."""
        assert alert.metrics
        assert alert.metrics <= scraped_names() | SYNTHETIC
        metrics = {
            metric.name + suffix: metric for metric in CATALOGUE for suffix in ("", *HISTOGRAM_SUFFIXES)
        }
        own = [set(metrics[name].labels) if name in metrics else set() for name in alert.metrics]
        assert alert.grouped_by <= set().union(*own) | SCRAPE_LABELS
        for name, label, value in alert.matchers:
            if label == "job":
                continue
            metric = metrics[name]
            assert label in metric.labels
            assert metric.known is not None
            known = metric.known(every_value())
            assert value in {each[metric.labels.index(label)] for each in known}

    @pytest.mark.parametrize("alert", RULES, ids=by_name)
    def test_it_says_what_to_do(self, alert: Alert) -> None:
        """A summary, a severity, and the section of the runbook."""
        assert alert.severity in SEVERITIES
        assert set(alert.annotations) == {"summary", "runbook_url"}
        assert alert.annotations["runbook_url"] == f"{OPERATIONS}#{alert.name.lower()}"

    def test_every_counter_with_labels_has_known_values(self) -> None:
        """Else its first event is no increase. Faust's are read from its own monitor, which begins at 0."""
        missing = [
            metric.name
            for metric in CATALOGUE
            if metric.kind == "counter" and metric.labels and metric.known is None
        ]
        assert missing == ["faust_assignments_total"]


def every_value() -> KnownLabels:
    """Return the values of the real app."""
    from rebate_app.settings import load_settings
    from rebate_app.wire.topics import Topics
    from rebate_app.worker_gauges import known_labels

    return known_labels(Topics.of(load_settings({})), ())


class TestFaults:
    """Recorded faults, played to promtool."""

    def test_every_alert_has_a_fault(self) -> None:
        """An alert that was never seen firing is not known to fire."""
        fired = set().union(*(names for case in CASES for names in case.fires.values()))
        assert fired == {alert.name for alert in RULES}

    def test_every_recording_is_used(self) -> None:
        """And each case has its recording."""
        assert {case.file for case in CASES} | {HEALTHY} == {path.stem for path in RECORDED.glob("*.prom")}

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_exactly_these_alerts_fire(self, case: Case, tmp_path: Path) -> None:
        """Nothing else does at the same time."""
        assert fires(case, read(RECORDED / f"{case.file}.prom"), tmp_path) == ""


class TestHealthyDay:
    """Imports, reads and a restart one after the other."""

    def test_no_alert_fires(self, tmp_path: Path) -> None:
        """At no minute of the recording, nor in the day after it, in which orders keep coming in."""
        scrapes = read(RECORDED / f"{HEALTHY}.prom")
        recorded = len(scrapes) // 2
        hour = Case(HEALTHY, {minute: set() for minute in range(-recorded, 60)})
        assert fires(hour, scrapes, tmp_path) == ""
        day = Case(HEALTHY, {minute: set() for minute in range(0, DAY, 5)}, step=5)
        assert fires(day, scrapes, tmp_path) == ""

    def test_all_metrics_of_the_rules_were_recorded(self) -> None:
        """A rule over series that are not in the recording would be silent for that reason."""
        recorded = {
            series.partition("{")[0]
            for scrape in read(RECORDED / f"{HEALTHY}.prom")
            for series in scrape.samples or {}
        }
        assert used_metrics() - SYNTHETIC - recorded == set()


class TestRecordings:
    """The format of recordings."""

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        """Changed, unchanged and vanished samples, and a worker that was silent."""
        scrapes = [
            Scrape(0, 1.0, {'a{x="1"}': 1.0, "b{}": 2.0}),
            Scrape(1, 1.0, {"b{}": 5.0}),
            Scrape(0, 2.0, {'a{x="1"}': 3.0}),
            Scrape(1, 2.0, None),
            Scrape(0, 3.0, {'a{x="1"}': 3.0, "c{}": 0.5}),
        ]
        write(tmp_path / "x.prom", scrapes)
        assert read(tmp_path / "x.prom") == scrapes

    def test_a_fault_goes_on_at_its_pace(self) -> None:
        """Ages and counters grow by the minute as they did by the second; gauges stay."""
        before = {"a_seconds{}": 0.0, "n_total{}": 0.0, "g{}": 1.0}
        scrapes = [
            Scrape(0, 0.0, before),
            Scrape(0, 1.0, before | {"a_seconds{}": 1.0, "n_total{}": 2.0, "g{}": 7.0}),
        ]
        series = play(scrapes, before=1, after=1)
        labels = '{instance="worker-0",job="rebate"}'
        assert series[f"a_seconds{labels}"] == [0, 0, 1, 61]
        assert series[f"n_total{labels}"] == [0, 0, 2, 122]
        assert series[f"g{labels}"] == [1, 1, 7, 7]
        assert series[f"up{labels}"] == [1, 1, 1, 1]
