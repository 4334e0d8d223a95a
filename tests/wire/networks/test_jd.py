"""Rows of JD (docs/spec/networks.md#rows; docs/spec/networks.md#jd)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire.samples import bent, jd_row, read_row, read_text, row_refusal

if TYPE_CHECKING:
    from pathlib import Path

CLOSED = (3, 4, 5, 6, 7, 8, 9, 11, 14, 19, 20, 21, 22, 23, 29, 30, 31, 34, 35)
PUNISHED = (13, 25, 26, 27, 28, 36)
NAMED = {15: "created", 24: "created", 16: "paid", 17: "received", 18: "settled", 2: "superseded"}


class TestRows:
    """Order rows."""

    def test_whole_row(self, tmp_path: Path) -> None:
        """A row becomes exactly this fact."""
        assert read_row(tmp_path, "jd", jd_row()) == {
            "schema": "order-event/1",
            "kind": "order.snapshot",
            "platform": "jd",
            "order_line_id": "JDROW000000001",
            "parent_order_id": "310000000001",
            "order_id": "310000000001",
            "seq": {"modified_at": "2026-01-05T10:00:30+08:00", "fetch_seq": 1},
            "status": "paid",
            "platform_status": "16",
            "currency": "CNY",
            "amounts": {"est_commission": 1256, "settled_commission": 0, "service_fee": 0},
            "times": {"paid": "2026-01-05T10:00:01+08:00"},
            "attribution": {"sub_union_id": "u_10086", "pid": "3000000001"},
            "item": {"id": "100012345678", "title": "空气炸锅"},
        }

    @pytest.mark.parametrize("code", range(-1, 40))
    def test_statuses(self, tmp_path: Path, code: int) -> None:
        """Every code from -1 to 39; what nobody named is unknown, and destroys no rebate."""
        expected = NAMED.get(code, "unknown")
        expected = "closed" if code in CLOSED else "punished" if code in PUNISHED else expected
        for value in (code, str(code)):
            fact = read_row(tmp_path, "jd", jd_row(validCode=value))
            assert (fact["status"], fact["platform_status"]) == (expected, str(code))

    @pytest.mark.parametrize("day", ["20200101", "20991231", 20260220])
    def test_received_whatever_the_clock_says(self, tmp_path: Path, day: object) -> None:
        """17 is received, be its settlement date past or future: the date goes along."""
        fact = read_row(tmp_path, "jd", jd_row(validCode=17, payMonth=day, actualFee=12.56))
        text = str(day)
        assert fact["status"] == "received"
        assert fact["times"]["expected_settle"] == f"{text[:4]}-{text[4:6]}-{text[6:]}"
        assert fact["amounts"]["settled_commission"] == 1256

    @pytest.mark.parametrize(
        "nothing", [0, "0", "", "--", None, -1, 0.0, -1.5, ..., "-1", "00000000", 19700101, "19700101"]
    )
    def test_no_day(self, tmp_path: Path, nothing: object) -> None:
        """A `payMonth` that is not greater than 0 is none, and so is the day 0."""
        assert "expected_settle" not in read_row(tmp_path, "jd", jd_row(payMonth=nothing))["times"]

    @pytest.mark.parametrize(
        "day", [20260230, 202602, "2026-02-20", "abcdefgh", 20260220.5, float("inf"), True, [], 9**9]
    )
    def test_bad_day(self, tmp_path: Path, day: object) -> None:
        """A `payMonth` that is no date is refused."""
        row = jd_row(validCode=17, payMonth=day)
        assert row_refusal(tmp_path, "jd", row) == ["invalid-times.expected_settle"]

    @pytest.mark.parametrize(
        ("literal", "fen"),
        [
            ("0.29", 29),
            ("1.15", 115),
            ("19.99", 1999),
            ("12", 1200),
            ("1.005", 101),
            ("-0.5", -50),
            ('"12.56"', 1256),
        ],
    )
    def test_doubles(self, tmp_path: Path, literal: str, fen: int) -> None:
        """Doubles of yuan are read by their shortest text: 0.29 yuan are 29 fen."""
        text = (
            f'{{"id":"1","validCode":16,"orderTime":"2026-01-05 10:00:01","modifyTime":"2026-01-05 10:00:30",'
            f'"estimateFee":{literal}}}'
        )
        (read,) = read_text(tmp_path, "jd", text)
        assert read.document is not None
        assert read.document["amounts"]["est_commission"] == fen

    def test_not_finite(self, tmp_path: Path) -> None:
        """A number that is not finite costs its own row only."""
        rows = [jd_row(estimateFee=number) for number in (float("nan"), float("inf"), 1.0)]
        for row, accepted in zip(rows, (False, False, True), strict=True):
            if accepted:
                assert read_row(tmp_path, "jd", row)
            else:
                assert row_refusal(tmp_path, "jd", row) == ["invalid-amounts.est_commission"]

    def test_ids(self, tmp_path: Path) -> None:
        """Ids may be numbers of any length, and a split row names its parent beside its own order."""
        fact = read_row(
            tmp_path, "jd", jd_row(id=2**63 + 5, parentId=310000000009, positionId=0, subUnionId="")
        )
        assert fact["order_line_id"] == "9223372036854775813"
        assert (fact["parent_order_id"], fact["order_id"]) == ("310000000009", "310000000001")
        assert "attribution" not in fact
        assert row_refusal(tmp_path, "jd", jd_row(positionId=True)) == ["invalid-attribution.pid"]
        assert row_refusal(tmp_path, "jd", jd_row(subUnionId="a b")) == ["invalid-attribution.sub_union_id"]

    def test_needs(self, tmp_path: Path) -> None:
        """Missing members are reported together."""
        row = jd_row(id="", modifyTime="", orderTime=None, estimateFee=..., actualFee=..., payMonth=20260220)
        assert row_refusal(tmp_path, "jd", row) == [
            "missing-order_line_id",
            "missing-seq.modified_at",
            "missing-amounts.est_commission",
            "missing-times.paid",
            "missing-amounts.settled_commission",
        ]
        assert read_row(tmp_path, "jd", bent(jd_row(), actualFee=...))["amounts"] == {
            "est_commission": 1256,
            "service_fee": 0,
        }
        old = jd_row(validCode=18, actualFee=...)
        assert row_refusal(tmp_path, "jd", old) == ["missing-amounts.settled_commission"]
