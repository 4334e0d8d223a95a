"""A fault planted in tables or logs is found, named and counted, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.json import decode, encode
from msgspec.structs import replace

from rebate_app.audit.findings import FINDING_KINDS, Finding
from rebate_app.domain.account.ledger import Entry
from rebate_app.streams.state.store import WATERMARK_KEY, Watermark, encode_watermark
from tables.accounts import HEAD, LINE
from tables.order_lines import LINE as ORDER_LINE
from tests.audit.list_logs import ListLogs, audit, only
from tests.audit.worlds import user_of
from tests.domain.world import World
from tests.topology_driver import ACCOUNTS, LINES, TOPICS


class TestRecords:
    """The two sets of records are compared byte by byte."""

    def test_a_changed_head(self, world: World) -> None:
        """One fen more in somebody's head is found, and shown on both sides."""
        user_id, partition = user_of(world)
        logs = ListLogs(world.stream)
        key, head = HEAD.key(user_id), world.head(user_id)
        head.estimated += 1
        logs.damage[TOPICS.accounts.changelog, partition] = {key: encode(head)}
        finding = only(audit(logs))
        assert (finding.kind, finding.where, finding.key) == (
            "changed-record",
            f"accounts/{partition}",
            f"h {user_id}",
        )
        assert finding.table["estimated"] == finding.fold["estimated"] + 1

    def test_a_missing_record(self, world: World) -> None:
        """A line that the table has lost is found."""
        user_id, record = world.contributions()[0]
        partition = world.stream.partition_of(user_id)
        logs = ListLogs(world.stream)
        logs.damage[TOPICS.accounts.changelog, partition] = {LINE.key(user_id, record.line): None}
        finding = only(audit(logs))
        assert (finding.kind, finding.key) == ("missing-record", f"l {user_id} {record.line}")
        assert finding.table is None
        assert finding.fold["line"] == record.line

    def test_an_extra_record(self, world: World) -> None:
        """A ledger entry that no fact makes is found."""
        user_id, partition = user_of(world)
        entry = encode(Entry(0, None, "taobao:L1", "buyer", "settle", 0, 1, 0, "", ""))
        logs = ListLogs(world.stream)
        logs.damage[TOPICS.accounts.changelog, partition] = {f"e {user_id} 99999".encode(): entry}
        finding = only(audit(logs))
        assert (finding.kind, finding.key) == ("extra-record", f"e {user_id} 99999")
        assert (finding.table["settled"], finding.fold) == (1, None)

    def test_a_changed_line(self, world: World) -> None:
        """An order line of stage 1 that its facts do not make is found."""
        partition, store = next((p, s) for (name, p), s in world.stream.stores.items() if name == LINES)
        key, _ = max(store.items())
        changed = ORDER_LINE.read(store, key)
        assert changed is not None
        changed.sent_offset += 1
        logs = ListLogs(world.stream)
        logs.damage[TOPICS.order_lines.changelog, partition] = {key: encode(changed)}
        finding = only(audit(logs))
        assert (finding.kind, finding.where) == ("changed-record", f"order_lines/{partition}")
        assert finding.table["sent_offset"] == finding.fold["sent_offset"] + 1

    def test_a_record_of_garbage(self, world: World) -> None:
        """A record that cannot be decoded is shown as text."""
        user_id, partition = user_of(world)
        logs = ListLogs(world.stream)
        logs.damage[TOPICS.accounts.changelog, partition] = {
            HEAD.key(user_id): b"{\xff",
            b"what is this": b"x",
        }
        report = audit(logs)
        assert [finding.table for finding in report.items] == ["{\\xff", "x"]

    def test_all_are_counted_and_some_listed(self, world: World) -> None:
        """The list is limited, the count is not."""
        logs = ListLogs(world.stream)
        logs.damage[TOPICS.accounts.changelog, 0] = {f"e nobody {n}".encode(): b"[]" for n in range(50)}
        report = audit(logs, limit=3)
        assert (report.differences, len(report.items)) == (50, 3)
        assert audit(logs, limit=0).differences == 50


class TestWatermarks:
    """A table whose watermark does not belong to its source cannot be compared; that is a finding."""

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (lambda mark: encode_watermark(replace(mark, offset=99_999)), "holds up to 99999"),
            (lambda mark: encode_watermark(replace(mark, partitions=9)), "with 9 partitions"),
            (lambda mark: encode_watermark(replace(mark, topic="another")), "made from another"),
            (lambda _mark: b"what", "cannot be read"),
        ],
    )
    def test_a_watermark_of_something_else(
        self, world: World, change: Callable[[Watermark], bytes], expected: str
    ) -> None:
        """Beyond the end of its source, of another topic, of another number of partitions, or damaged."""
        mark = world.stream.stores[ACCOUNTS, 1].watermark
        assert mark is not None
        logs = ListLogs(world.stream)
        logs.damage[TOPICS.accounts.changelog, 1] = {WATERMARK_KEY: change(mark)}
        found = [finding for finding in audit(logs).items if finding.kind == "wrong-watermark"]
        assert [finding.where for finding in found] == ["accounts/1"]
        assert expected in found[0].summary

    def test_an_older_watermark_than_its_records(self, world: World) -> None:
        """State without its position is state that the facts up to there do not make."""
        mark = world.stream.stores[ACCOUNTS, 1].watermark
        assert mark is not None
        logs = ListLogs(world.stream)
        logs.damage[TOPICS.accounts.changelog, 1] = {WATERMARK_KEY: encode_watermark(replace(mark, offset=3))}
        assert audit(logs).differences > 0


class TestLogsWithoutABeginning:
    """What retention has cut cannot be audited from the beginning, and that is a difference."""

    @pytest.mark.parametrize("topic", [TOPICS.orders, TOPICS.user_log, TOPICS.order_lines.dead_letter])
    def test_a_log_that_begins_later(self, world: World, topic: str) -> None:
        """One difference, and no others that only follow from it."""
        logs = ListLogs(world.stream)
        logs.begins[topic, 1] = 5
        finding = only(audit(logs))
        assert (finding.kind, finding.where) == ("unauditable", f"{topic}/1")
        assert "cannot be audited from the beginning" in finding.summary


class TestBugs:
    """A fold that fails is a finding, not an end of the audit."""

    def test_a_record_on_which_the_fold_fails(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The record is named; the other partitions are audited."""

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("agents.accounts.fold_profile", fail)
        report = audit(ListLogs(world.stream))
        assert {finding.kind for finding in report.items} == {"fold-failed"}
        assert "ZeroDivisionError" in report.items[0].summary
        assert report.lines

    def test_the_report_as_json(self) -> None:
        """The sentence of a finding is the member `says`; members that are empty are left out."""
        finding = Finding("fold-failed", "accounts/1", "a sentence")
        assert decode(encode(finding)) == {"kind": "fold-failed", "where": "accounts/1", "says": "a sentence"}


class TestCatalogue:
    """The kinds of differences are one table."""

    def test_the_documentation_names_every_kind(self) -> None:
        """docs/audit.md explains each of them."""
        text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
        for kind, about in FINDING_KINDS.items():
            assert f"| `{kind}` | {about} |" in text
