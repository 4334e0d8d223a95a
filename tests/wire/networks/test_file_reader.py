"""Rows of files become facts that HTTP and the topic take as well.

See docs/spec/facts.md#reason-codes and docs/spec/networks.md#rows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rebate_app.domain.facts import Refund, Snapshot
from rebate_app.networks import file_formats
from rebate_app.wire.facts.order import check_order, decode_order, encode_order
from rebate_app.wire.moments import DAY_US, parse_moment
from rebate_app.wire.networks.file_reader import read_facts
from tests.wire.samples import (
    NOW_US,
    claim,
    codes,
    jd_row,
    pdd_row,
    punish,
    read_row,
    read_rows,
    read_text,
    refund,
    refund_row,
    row_refusal,
    snapshot,
    taobao_row,
)

if TYPE_CHECKING:
    from pathlib import Path


class TestNetworks:
    """All networks."""

    def test_names(self) -> None:
        """The formats of the command line are three networks and the canonical one."""
        assert file_formats() == ["taobao", "jd", "pdd", "canonical"]

    @pytest.mark.parametrize(
        ("network", "row"),
        [
            ("taobao", taobao_row()),
            ("taobao", refund_row()),
            ("jd", jd_row()),
            ("pdd", pdd_row()),
            ("canonical", snapshot()),
        ],
    )
    def test_the_topic_takes_it(self, tmp_path: Path, network: str, row: dict[str, Any]) -> None:
        """What is handed out is, once sent, decoded as the fact that was checked."""
        document = read_row(tmp_path, network, row)
        key, value = encode_order(document)
        fact = decode_order(value, key, NOW_US)
        assert fact == check_order(document, NOW_US)
        assert isinstance(fact, Snapshot | Refund)

    @pytest.mark.parametrize(
        ("network", "row", "member"),
        [
            ("taobao", taobao_row(modified_time="2030-01-01 00:00:00"), "seq.modified_at"),
            ("taobao", refund_row(modified_time="2030-01-01 00:00:00"), "modified_at"),
            ("jd", jd_row(modifyTime="2030-01-01 00:00:00"), "seq.modified_at"),
            ("pdd", pdd_row(order_modify_at=1893456000), "seq.modified_at"),
            ("canonical", punish(modified_at="2030-01-01T00:00:00Z"), "modified_at"),
        ],
    )
    def test_implausible(self, tmp_path: Path, network: str, row: dict[str, Any], member: str) -> None:
        """A row more than 24 hours ahead of now is refused."""
        (read,) = read_rows(tmp_path, network, row)
        assert [(fault.code, fault.member) for fault in read.faults] == [("implausible-time", member)]
        now_us = parse_moment("2030-01-01T00:00:00Z") - DAY_US
        (read,) = read_facts(tmp_path / "file.ndjson", network, now_us)
        assert read.document is not None

    def test_order_of_faults(self, tmp_path: Path) -> None:
        """Missing before invalid, then the time; what could not be read is not missing besides."""
        row = taobao_row(
            trade_id=1.5,
            tk_status=[],
            pub_share_pre_fee=...,
            tb_paid_time="x",
            special_id=True,
            trade_parent_id=2.5,
        )
        expected = [
            "invalid-order_line_id",
            "invalid-status",
            "invalid-times.paid",
            "invalid-attribution.special_id",
        ]
        assert row_refusal(tmp_path, "taobao", row) == expected
        row = taobao_row(pub_share_pre_fee=..., special_id=True, modified_time="2030-01-01 00:00:00")
        assert row_refusal(tmp_path, "taobao", row) == [
            "missing-amounts.est_commission",
            "invalid-attribution.special_id",
            "implausible-time",
        ]


class TestCanonical:
    """Facts one a line."""

    def test_as_they_are(self, tmp_path: Path) -> None:
        """A fact is handed out as it is, with all its members and every digit."""
        facts = [snapshot(raw={"n": 2**70, "x": 1.5}, trace_id="c0ffee"), refund(), punish(), claim()]
        reads = read_rows(tmp_path, "canonical", *facts)
        assert [read.document for read in reads] == facts
        assert [read.row for read in reads] == [1, 2, 3, 4]

    def test_refusals(self, tmp_path: Path) -> None:
        """Rows are refused as on the topic, in the order of the contract."""
        rows = [
            {},
            snapshot(schema="x", kind=None, platform=...),
            snapshot(currency="USD"),
            snapshot(amounts__est_commission=1791.0),
        ]
        assert [codes(read.faults) for read in read_rows(tmp_path, "canonical", *rows)] == [
            ["missing-schema", "missing-kind", "missing-platform", "missing-order_line_id"],
            ["unknown-schema", "missing-kind", "missing-platform"],
            ["invalid-currency"],
            ["invalid-amounts.est_commission"],
        ]

    def test_strict(self, tmp_path: Path) -> None:
        """A fact is strict JSON: NaN is none, even where it would decide nothing."""
        text = json.dumps(claim(note=float("nan"))) + "\n" + json.dumps(claim())
        assert [codes(read.faults) for read in read_text(tmp_path, "canonical", text)] == [
            ["undecodable"],
            [],
        ]
