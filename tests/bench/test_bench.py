"""What the benchmarks' verdicts rest on: feeds that are valid and repeatable, sums, targets and the chart."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench import day, rereads, soak, targets
from bench.chart import svg
from bench.contenders import BY_NAME, EVERYBODY
from bench.domain import BenchRecord
from bench.facts import fact_again, facts, five, life
from bench.latency import PEERS
from bench.orders import PARTITIONS, PROBE, USERS, Row, orders, probe
from bench.pace import recurring
from bench.page import tables
from bench.peers import HERE
from bench.place import FOLDER
from bench.toy import Account, decode_order, fold_change, fold_order
from bench.toy_stages import ToyAccounts, ToyLines
from bench.watch import AccountSums, LineRecords, latest
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import MemoryStore
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.facts.order import decode_order as decode_fact

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
            "exactly_once": name != "bytewax",
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
        [
            list(facts(200)),
            list(five(200)),
            list(life(450)),
            list(islice(recurring(50), 200)),
            list(day.again(10)),
        ],
        ids=["paid", "five", "life", "recurring", "day"],
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

    def test_a_probe_is_an_order_of_a_user_who_has_no_other(self) -> None:
        """Every member but the user is the feed's, and no two probes share a user or a line."""
        probes = [probe(number) for number in range(50)]
        assert len({user for user, _ in probes}) == len({row.key for _, row in probes}) == 50
        for user, row in probes:
            order = decode_order(row.value)
            assert order.user_id == user
            assert user.startswith(PROBE)
            assert f"{order.platform}:{order.order_line_id}".encode() == row.key
        assert {user for user, _ in probes}.isdisjoint(
            decode_order(row.value).user_id for row in orders(USERS // 10)
        )


class TestDay:
    """A platform's day."""

    def test_new_facts_change_each_line_once_and_repeats_change_nothing(self) -> None:
        """Versions of a line grow over what was told before; repeats are copies of the day's facts."""
        earlier = Counter(row.key for row in day.before(20))
        rows = list(day.hot(20))
        assert len({row.key for row in rows}) == len(rows) == day.NEW * 20
        for number, row in enumerate(rows):
            assert earlier[row.key] == number % day.NEW  # paid, received and settled take turns
        again = list(day.again(20))
        assert len(again) == day.REPEATS * 20
        assert {(row.key, row.value) for row in again} == {(row.key, row.value) for row in rows}
        assert all(row.raises == (0,) for row in again)

    def test_the_repeats_are_those_of_a_source(self) -> None:
        """A source that reads as scans do, with its own memory, sends as many; each change once in time."""
        sent = rereads.sent_an_order(300, 100)
        assert sum(sent.values()) == pytest.approx(day.NEW + day.REPEATS, rel=0.1)
        assert sent["hot"] == pytest.approx(day.NEW, rel=0.1)

    def test_a_source_that_forgets_nothing_sends_each_change_once_while_it_runs(self) -> None:
        """What is left are nights from before it began, and a row that two readings find at once."""
        sent = rereads.sent_an_order(50, 1_000_000)
        assert sent["day"] + sent["recent"] < 0.1
        assert sent["hot"] == pytest.approx(day.NEW, rel=0.1)

    def test_a_day_is_scaled_from_its_parts(self) -> None:
        """Repeats of no cost leave the new facts, which the sizing table has at 100 µs."""
        found = day.of_a_day(100.0, 0.0, 10_000.0, 1e12)
        assert found["processor_s_a_day"] == pytest.approx(day.ORDERS_A_DAY * 3 * 100e-6)
        assert found["over_sizing"] == pytest.approx(3 / 4.5)
        assert found["busy_s_a_day"] == pytest.approx(90.0, abs=0.1)


class TestToy:
    """The fold that everybody does."""

    def test_the_stages_hold_what_the_feed_promises(self) -> None:
        """After both stages the accounts' sums are those of the rows, and repeats change nothing."""
        rows = list(orders(300, users=10))
        lines, accounts = MemoryStore(), MemoryStore()
        transaction, collector = StateTransaction(lines), RecordCollector()
        processor = ToyLines("orders", "l", "log").processor(transaction, collector)
        for number, row in enumerate([*rows, *rows]):
            processor.take(BenchRecord("orders", 0, number, 1, row.key, row.value))
        processor.finish()
        work = StateTransaction(accounts)
        second = ToyAccounts("log", "a").processor(work, RecordCollector())
        for number, out in enumerate(collector.records):
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


class TestPeers:
    """Contenders that are not ours."""

    @pytest.mark.parametrize("name", ["quix", "bytewax", "pathway"])
    def test_a_peers_requirements_are_pinned_with_hashes(self, name: str) -> None:
        """Each requirement that was asked for has one version, and every one has hashes."""
        wanted = (
            (HERE / name / "requirements.in").read_text(encoding="utf-8").split()[0].replace("[kafka]", "")
        )
        pinned = (HERE / name / "requirements.txt").read_text(encoding="utf-8")
        assert f"{wanted} \\" in pinned
        parts = [
            part for part in pinned.replace("\\\n", "").splitlines() if part and not part.startswith(" ")
        ]
        assert parts
        assert all("--hash=sha256:" in part for part in parts)

    def test_the_documents_name_every_contender(self) -> None:
        """The table of bench/README.md has each of them, and the row of latency only those that there are."""
        page = (HERE / "README.md").read_text(encoding="utf-8")
        for contender in EVERYBODY:
            assert (
                f"`{contender.name.removesuffix('-rocksdb').removesuffix('-life').removesuffix('-paid')}"
                in page
            )
        assert set(PEERS) <= set(BY_NAME)

    def test_what_is_taken_back_is_no_value(self) -> None:
        """The old value of a change may stand behind the new one."""
        old, new = b'{"events":1,"diff":-1}', b'{"events":2,"diff":1}'
        assert latest([(b"u", new), (b"u", old), (b"v", None)]) == {b"u": new}


class TestVerdicts:
    """What is said of figures."""

    def test_latency_is_compared_with_each_commit_interval(self) -> None:
        """Half of the other's is reached, more is not; without the other there is no verdict."""
        figures = {
            name: {"committed": {"p50_ms": ms, "p99_ms": ms}}
            for name, ms in (("ours-toy", 40.0), ("streams-100ms", 80.0), ("streams-10ms", 30.0))
        }
        row = {"p50_ms": 1.0, "p99_ms": 1.0, "peers": figures}
        found = {verdict["says"]: verdict["reached"] for verdict in targets.verdicts({"latency": row})}
        assert found["p50_ms ours over streams-100ms"] is True
        assert found["p99_ms ours over streams-10ms"] is False
        del figures["streams-10ms"]
        assert len(targets.verdicts({"latency": row})) == len(found) - 2

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

    def test_a_figure_has_its_guarantee_beside_it(self) -> None:
        """Who may count twice is told from who may not."""
        page = tables([result(flink=1.0, bytewax=2.0)])
        assert "| flink (`flink`) | exactly once | 1 |" in page
        assert "| bytewax (`bytewax`) | at least once | 2 |" in page

    def test_runs_of_other_contenders_stand_beside_each_other(self) -> None:
        """Both are shown and named, and no ratio is of two runs."""
        page = tables([result(quix=10_000.0), result(ours_toy_rocksdb=50_000.0)])
        assert page.count("throughput (") == 2
        assert "| 10,000 |" in page
        assert "ours-toy-rocksdb over quix" not in page
        assert "ours-toy-rocksdb over quix" in tables([result(quix=10_000.0, ours_toy_rocksdb=50_000.0)])

    def test_a_row_is_of_the_last_run_that_has_it(self) -> None:
        """Rows of several runs stand in one page, each with the run that it is from."""
        first, later = result(quix=123_456.0), result(quix=234_567.0)
        first["rows"]["restore"] = {"memory_per_s": 200_000.0}
        page = tables([first, later])
        assert "234,567" in page
        assert "123,456" not in page
        assert "restore: commit" in page
        assert page.count("throughput (") == 1


def test_what_a_benchmark_keeps_is_never_committed() -> None:
    """Its folder lies below the ignored one, and contenders have the partitions of the job."""
    assert FOLDER.parent.name == ".rebate"
    assert PARTITIONS == 4
