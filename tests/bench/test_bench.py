"""What the benchmarks' verdicts rest on: feeds that are valid and repeatable, sums, targets and the chart."""

from __future__ import annotations

from itertools import islice
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench import soak, targets
from bench.chart import svg
from bench.domain import BenchRecord
from bench.facts import fact_again, facts, five, life
from bench.orders import PARTITIONS, Row, orders
from bench.pace import recurring
from bench.page import tables
from bench.place import FOLDER
from bench.toy import Account, decode_order, fold_change, fold_order
from bench.toy_stages import ToyAccounts, ToyLines
from bench.watch import AccountSums, LineRecords
from rebate_app.lane.outbox import Outbox
from rebate_app.lane.store import MemoryStore, Overlay
from rebate_app.wire.order_facts import decode_order as decode_fact

RECEIVED_AT_US = 1_785_000_000_000_000


def result(**throughput: float) -> dict[str, Any]:
    """Return a result's file with these orders a second."""
    figures = {
        name.replace("_", "-"): {
            "orders_per_s": figure,
            "title": name,
            "cpu_s_per_100k": 1.0,
            "broker_cpu_s_per_100k": 1.0,
            "resident_mib": 1.0,
        }
        for name, figure in throughput.items()
    }
    rows = {"throughput": figures}
    return {
        "rows": rows,
        "verdicts": targets.verdicts(rows),
        "commit": "0" * 40,
        "machine": {"processors": 2, "model": "a <fast> one", "memory_gib": 8, "load_at_start": [0.1]},
        "versions": {"kafka": "4.1.2", "python": "3.11"},
    }


class TestFeeds:
    """What contenders are given."""

    @pytest.mark.parametrize("feed", [orders, facts, five, life])
    def test_a_feed_is_the_same_each_time(self, feed: Any) -> None:
        """The same count gives the same bytes, and as many rows as were asked for."""
        assert list(feed(450)) == list(feed(450))
        assert len(list(feed(450))) == 450

    @pytest.mark.parametrize(
        "rows",
        [list(facts(200)), list(five(200)), list(life(450)), list(islice(recurring(50), 200))],
        ids=["paid", "five", "life", "recurring"],
    )
    def test_real_feeds_are_facts_that_the_product_takes(self, rows: list[Row]) -> None:
        """Every row is decoded by the product without a fault, under its own key."""
        for row in rows:
            assert decode_fact(row.value, row.key, RECEIVED_AT_US).line.encode() == row.key

    def test_a_report_told_again_is_newer_and_otherwise_the_same(self) -> None:
        """Only the moment of the modification differs, so no money moves."""
        first, again = fact_again(7, 0).value, fact_again(7, 1).value
        moment = slice(first.index(b'modified_at":"') + 14, first.index(b'","fetch_seq"'))
        assert first[moment] < again[moment]
        assert first.replace(first[moment], again[moment]) == again


class TestToy:
    """The fold that everybody does."""

    def test_the_stages_hold_what_the_feed_promises(self) -> None:
        """After both stages the accounts' sums are those of the rows, and repeats change nothing."""
        rows = list(orders(300, users=10))
        lines, accounts = MemoryStore(), MemoryStore()
        overlay, outbox = Overlay(lines), Outbox()
        session = ToyLines("orders", "l", "log").session(overlay, outbox)
        for number, row in enumerate([*rows, *rows]):
            session.take(BenchRecord("orders", 0, number, 1, row.key, row.value))
        session.finish()
        work = Overlay(accounts)
        second = ToyAccounts("log", "a").session(work, Outbox())
        for number, out in enumerate(outbox.records):
            second.take(BenchRecord("log", 0, number, 1, out.key, out.value))
        second.finish()
        sums = AccountSums()
        for key, value in work.changes.items():
            sums.take(key, value or b"")
        assert sums.holds() == tuple(map(sum, zip(*(row.raises for row in rows), strict=True)))

    def test_an_old_version_is_ignored_and_a_new_one_posts_the_difference(self) -> None:
        """The account holds what the line's last version says, whatever came before."""
        first, second = (decode_order(next(orders(1, version=version)).value) for version in (1, 500))
        account = Account()
        line = None
        for order in (first, second, first):
            folded = fold_order(line, order)
            if folded is not None:
                line, change = folded
                fold_change(account, change)
        assert line is not None
        assert (account.lines, account.events, account.rebate) == (1, 2, line.rebate)


class TestVerdicts:
    """What is said of figures."""

    def test_what_was_not_measured_gets_no_verdict(self) -> None:
        """A target needs both sides of its ratio."""
        assert targets.verdicts(result(ours_toy=1.0)["rows"]) == []

    def test_a_ratio_is_compared_with_its_bound(self) -> None:
        """Just above is reached, just below is not."""
        for ours, reached in ((1.51, True), (1.49, False)):
            found = targets.verdicts(result(ours_toy_rocksdb=ours, streams_rocksdb=1.0)["rows"])
            assert [verdict["reached"] for verdict in found] == [reached]

    def test_a_leak_is_no_level(self) -> None:
        """What grows by a tenth from quarter to quarter is told, what stays is not."""
        flat = {"rss_mib": 100.0, "files_mib": 5.0, "descriptors": 9.0, "lag": 10.0}
        samples = [dict(flat) for _ in range(40)]
        assert all(soak.verdicts(samples, 100).values())
        for number, sample in enumerate(samples):
            sample["rss_mib"] = 100.0 + number
        assert soak.verdicts(samples, 100)["rss_levels_off"] is False

    def test_line_records_count_lines_of_accounts_once(self) -> None:
        """A line's record counts once however often it is written, and other records do not."""
        tally = LineRecords()
        for key in (b"l u1 jd:1", b"l u1 jd:1", b"l u2 jd:1", b"h u1", b"!"):
            tally.take(key, b"x")
        assert tally.holds() == (2,)


class TestPictures:
    """What is drawn and written from a result."""

    def test_the_chart_is_well_formed_and_has_every_figure(self) -> None:
        """It parses as XML, a name with markup in it included, and each bar carries its figure."""
        picture = svg(result(l1x=65_432.1, ours_toy_rocksdb=54_321.0, faust_eos=429.0))
        texts = [node.text for node in ET.fromstring(picture).iter() if node.text]  # noqa: S314 - ours
        assert {"65,432", "54,321", "429"} <= set(texts)

    def test_the_tables_tell_what_is_not_reached(self) -> None:
        """A figure below its bound stands there as such."""
        assert "**not reached**" in tables([result(ours_toy_rocksdb=1.0, quix=1.0)])

    def test_a_row_is_of_the_last_run_that_has_it(self) -> None:
        """Rows of several runs stand in one page, each with the run that it is from."""
        first, later = result(quix=123_456.0), result(quix=234_567.0)
        first["rows"]["restore"] = {"memory_per_s": 200_000.0}
        page = tables([first, later])
        assert "234,567" in page
        assert "123,456" not in page
        assert "restore: commit" in page
        assert "throughput: commit" in page


def test_what_a_benchmark_keeps_is_never_committed() -> None:
    """Its folder lies below the ignored one, and contenders have the partitions of the job."""
    assert FOLDER.parent.name == ".rebate"
    assert PARTITIONS == 4
