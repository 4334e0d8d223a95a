"""Counting, observing, reading at the scrape, and the text that comes of it."""

from __future__ import annotations

import timeit

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from rebate_app.metrics.catalogue import BATCH_SECONDS, CATALOGUE, DEAD_LETTERS, LAG, READY, RECORDS
from rebate_app.metrics.known_labels import KnownLabels
from rebate_app.metrics.registry import LABEL_SETS_MAX, OTHER, Histogram, MetricsRegistry, Sample

#: Generous for a loaded machine; an idle one takes 0.3 µs.
COUNT_SECONDS_MAX = 10e-6


def scraped(metrics: MetricsRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return value by name and labels, as Prometheus would read it."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


class TestFigures:
    """Plain numbers where they arise, Prometheus only at the scrape."""

    def test_counts_add_up_by_label(self) -> None:
        """Adding under the same labels adds; other labels are apart."""
        metrics = MetricsRegistry()
        metrics.add(RECORDS, ("accounts",), 3)
        metrics.add(RECORDS, ("accounts",), 4)
        metrics.add(RECORDS, ("order-lines",))
        values = scraped(metrics)
        assert values["rebate_records_processed_total", (("stage", "accounts"),)] == 7
        assert values["rebate_records_processed_total", (("stage", "order-lines"),)] == 1

    def test_a_state_is_read_at_each_scrape(self) -> None:
        """A source is asked every time, and what it no longer says is gone."""
        metrics = MetricsRegistry()
        lags = {3: 7}
        metrics.read_from(lambda: [Sample(LAG, ("order_topic", number), lag) for number, lag in lags.items()])
        metrics.read_from(lambda: [Sample(READY, (), True)])
        labels = (("partition", "3"), ("topic", "order_topic"))
        assert scraped(metrics)["rebate_consumer_lag_records", labels] == 7
        lags.clear()
        assert ("rebate_consumer_lag_records", labels) not in scraped(metrics)
        assert scraped(metrics)["rebate_ready", ()] == 1

    def test_every_metric_has_its_type_and_help_from_the_first_moment_on(self) -> None:
        """A scrape before anything happened lists the whole catalogue, and the process's own figures."""
        text = MetricsRegistry().exposition().decode()
        for metric in CATALOGUE:
            assert f"# TYPE {metric.name} {metric.kind}" in text
        assert "process_resident_memory_bytes" in text

    def test_known_labels_begin_with_a_zero(self) -> None:
        """A counter's first event is an increase; counters without labels begin at 0 too, and counts stay."""
        metrics = MetricsRegistry()
        metrics.add(RECORDS, ("accounts",), 3)
        metrics.declare(KnownLabels(stages=("accounts", "order-lines")))
        values = scraped(metrics)
        assert values["rebate_records_processed_total", (("stage", "accounts"),)] == 3
        assert values["rebate_records_processed_total", (("stage", "order-lines"),)] == 0
        assert values["rebate_http_failed_total", ()] == 0
        assert values["rebate_orders_processed_total", (("network", "jd"), ("outcome", "applied"))] == 0

    def test_labels_from_outside_cannot_fill_the_memory(self) -> None:
        """Beyond the limit, new label values are counted as `other`, and nothing is lost."""
        metrics = MetricsRegistry()
        for number in range(LABEL_SETS_MAX + 5):
            metrics.add(DEAD_LETTERS, ("order_topic", f"reason-{number}"))
            metrics.histogram(BATCH_SECONDS, (f"stage-{number}",)).observe(1)
        values = scraped(metrics)
        assert values["rebate_dead_letters_total", (("reason", OTHER), ("topic", OTHER))] == 5
        assert values["rebate_chunk_seconds_count", (("stage", OTHER),)] == 5

    def test_counting_is_cheap(self) -> None:
        """One count and one observation cost microseconds, so a batch's handful is nothing."""
        metrics = MetricsRegistry()
        histogram = metrics.histogram(BATCH_SECONDS, ("accounts",))
        runs = 10_000
        took = (
            min(timeit.repeat(lambda: metrics.add(RECORDS, ("accounts",), 9), number=runs, repeat=3)) / runs
        )
        assert took < COUNT_SECONDS_MAX
        assert (
            min(timeit.repeat(lambda: histogram.observe(0.1), number=runs, repeat=3)) / runs
            < COUNT_SECONDS_MAX
        )


class TestHistogram:
    """Buckets are cumulated as Prometheus wants them."""

    @given(st.lists(st.floats(0, 100, allow_nan=False)))
    def test_a_bucket_holds_every_value_up_to_its_bound(self, values: list[float]) -> None:
        """`le` means less or equal; the last bucket holds all."""
        histogram = Histogram((0.5, 1.0, 50.0))
        for value in values:
            histogram.observe(value)
        expected = [(str(b), sum(v <= b for v in values)) for b in (0.5, 1.0, 50.0)]
        assert histogram.cumulated() == [*expected, ("+Inf", len(values))]
        assert abs(histogram.sum - sum(values)) < 1e-6
