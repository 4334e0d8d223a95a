"""Rows of disputes of taobao (docs/spec/networks.md#rows; docs/spec/networks.md#taobao-refunds)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.wire.samples import read_row, read_rows, read_text, refund_row, row_refusal, taobao_row

if TYPE_CHECKING:
    from pathlib import Path


class TestRefunds:
    """Rows of disputes (维权)."""

    def test_whole_row(self, tmp_path: Path) -> None:
        """A row becomes exactly this fact."""
        assert read_row(tmp_path, "taobao", refund_row()) == {
            "schema": "order-event/1",
            "kind": "order.refund",
            "platform": "taobao",
            "order_line_id": "3901000000000000011",
            "parent_order_id": "3901000000000000010",
            "suit_id": "90000000001",
            "refund_status": "open",
            "platform_status": "4",
            "net_refund": 510,
            "modified_at": "2026-01-20T16:40:12+08:00",
        }

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            *((4, "open"), (11, "open"), (12, "open"), (14, "open")),
            *((2, "success"), (13, "success"), (3, "failed"), (15, "restored")),
        ],
    )
    def test_statuses(self, tmp_path: Path, code: int, status: str) -> None:
        """Every code of the network, as a number and as text."""
        for value in (code, str(code)):
            assert read_row(tmp_path, "taobao", refund_row(refund_status=value))["refund_status"] == status

    @pytest.mark.parametrize("code", [0, 1, 5, 16, 99, "x", 4.5])
    def test_new_codes(self, tmp_path: Path, code: object) -> None:
        """A new code of a dispute is refused: it may be money in either direction."""
        assert row_refusal(tmp_path, "taobao", refund_row(refund_status=code)) == ["invalid-refund_status"]

    @pytest.mark.parametrize(
        ("absent", "moment"),
        [
            (("modified_time",), "2026-01-23T11:05:00+08:00"),
            (("modified_time", "tk_refund_suit_time"), "2026-01-20T16:39:55+08:00"),
        ],
    )
    def test_moments(self, tmp_path: Path, absent: tuple[str, ...], moment: str) -> None:
        """Without `modified_time`, the end of the dispute, else its beginning, is the version."""
        for nothing in ("--", "", 0, None, ...):
            row = refund_row(
                **{"tk_refund_suit_time": "2026-01-23 11:05:00", **dict.fromkeys(absent, nothing)}
            )
            assert read_row(tmp_path, "taobao", row)["modified_at"] == moment

    @pytest.mark.parametrize(
        ("commission", "subsidy", "fen"),
        [("5.10", "0.00", 510), ("5.10", "1.15", 625), (0.29, 1, 129), ("5.10", None, 510), ("0", ..., 0)],
    )
    def test_amounts(self, tmp_path: Path, commission: object, subsidy: object, fen: int) -> None:
        """What is given back is commission plus subsidy, never the figures with service fees in them."""
        row = refund_row(tk_commission_fee_refund=commission, tk_subsidy_fee_refund=subsidy)
        assert read_row(tmp_path, "taobao", row)["net_refund"] == fen

    @pytest.mark.parametrize(
        ("commission", "subsidy", "fen"),
        [("0.004", "0.001", 1), ("1.005", "1.005", 201), (0.004, 0.004, 1), ("0.005", None, 1)],
    )
    def test_rounded_once(self, tmp_path: Path, commission: object, subsidy: object, fen: int) -> None:
        """The sum is exact, and rounded after the addition."""
        row = refund_row(tk_commission_fee_refund=commission, tk_subsidy_fee_refund=subsidy)
        assert read_row(tmp_path, "taobao", row)["net_refund"] == fen

    def test_sum_out_of_range(self, tmp_path: Path) -> None:
        """A sum beyond the limit is refused, although each part is within it."""
        row = refund_row(tk_commission_fee_refund="9999999", tk_subsidy_fee_refund="9999999")
        assert row_refusal(tmp_path, "taobao", row) == ["invalid-net_refund"]

    @pytest.mark.parametrize("nothing", [None, "", "--", "0", 0])
    def test_order_row(self, tmp_path: Path, nothing: object) -> None:
        """An order row whose `refund_suit_id` is none is an order row."""
        fact = read_row(tmp_path, "taobao", taobao_row(refund_suit_id=nothing))
        assert fact["kind"] == "order.snapshot"

    @pytest.mark.parametrize("nested", [[refund_row()], refund_row(), {"list": [{"x": [refund_row()]}]}])
    def test_within_orders(self, tmp_path: Path, nested: Any) -> None:
        """Refund rows within an order row are read after it, wherever the order row is."""
        order = taobao_row(refunds=nested)
        page = {"tbk_order_details_get_response": {"data": {"results": {"publisher_order_dto": [order]}}}}
        for document in (order, [order], page):
            reads = read_text(tmp_path, "taobao", json.dumps(document))
            kinds = [read.document["kind"] for read in reads if read.document is not None]
            assert kinds == ["order.snapshot", "order.refund"]

    def test_refusals(self, tmp_path: Path) -> None:
        """A refund needs the same members as on the topic."""
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({"tk_commission_fee_refund": ...}, ["missing-net_refund"]),
            ({"tk_commission_fee_refund": "x"}, ["invalid-net_refund"]),
            ({"tk_subsidy_fee_refund": "x"}, ["invalid-net_refund"]),
            ({"tk_commission_fee_refund": "-1"}, ["invalid-net_refund"]),
            ({"refund_suit_id": None}, ["missing-suit_id"]),
            ({"refund_suit_id": ...}, ["missing-suit_id"]),
            ({"refund_suit_id": 9e10}, ["invalid-suit_id"]),
            ({"tb_trade_id": ...}, ["missing-order_line_id"]),
            ({"refund_status": ...}, ["missing-refund_status"]),
            ({"modified_time": "", "tk_refund_time": ""}, ["missing-modified_at"]),
            ({"modified_time": "x", "refund_status": None}, ["missing-refund_status", "invalid-modified_at"]),
        ]
        for members, expected in cases:
            assert row_refusal(tmp_path, "taobao", refund_row(**members)) == expected

    def test_mixed(self, tmp_path: Path) -> None:
        """Orders and refunds may lie in one file: each row is read as what it is."""
        reads = read_rows(tmp_path, "taobao", taobao_row(), refund_row(), taobao_row())
        kinds = [read.document["kind"] for read in reads if read.document is not None]
        assert kinds == ["order.snapshot", "order.refund", "order.snapshot"]
