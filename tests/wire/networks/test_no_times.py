"""Times that are none, and settlements before the payment (docs/spec/networks.md#rows)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.wire.samples import (
    NOW_US,
    Document,
    bent,
    jd_row,
    pdd_row,
    read_row,
    read_rows,
    refund_row,
    row_refusal,
    taobao_row,
)

if TYPE_CHECKING:
    from pathlib import Path

NO_TIMES: list[Any] = ["--", "", None, ..., 0, "0", 0.0, "0.0", "1970-01-01 08:00:00", "1970-01-01 00:00:00"]
NOW_MS = NOW_US // 1_000
SETTLED = taobao_row(tk_status=3, tk_earning_time="2026-01-10 03:21:00", modified_time="2026-01-10 03:22:40")
PDD_SETTLED = pdd_row(order_status=5, order_settle_time=1771516800)


@pytest.mark.parametrize("nothing", NO_TIMES)
class TestNone:
    """Every time field with everything that means that there is no time."""

    def test_taobao(self, tmp_path: Path, nothing: Any) -> None:
        """The payment falls back, the settlement is absent, and a deposit of the year 1970 is none."""

        def read(**members: Any) -> Document:
            return read_row(tmp_path, "taobao", bent(SETTLED, **members))

        assert read(tb_paid_time=nothing)["times"]["paid"] == "2026-01-03T20:13:58+08:00"
        bare = read(tb_paid_time=nothing, tk_paid_time=nothing)
        assert bare["times"]["paid"] == "2026-01-03T20:13:40+08:00"
        assert "settled" not in read(tk_earning_time=nothing)["times"]
        deposit = read(tk_status=12, tk_deposit_time=nothing, alipay_total_price="0.00")
        assert deposit["status"] == "paid"
        times = ("tb_paid_time", "tk_paid_time", "tk_create_time")
        row = bent(SETTLED, **dict.fromkeys(times, nothing))
        assert row_refusal(tmp_path, "taobao", row) == ["missing-times.paid"]

    def test_taobao_modified(self, tmp_path: Path, nothing: Any) -> None:
        """Without a modification time the newest of the others is it, and the fetch decides ties."""
        fact = read_row(tmp_path, "taobao", bent(SETTLED, modified_time=nothing))
        assert fact["seq"] == {"modified_at": "2026-01-10T03:21:00+08:00", "fetch_seq": NOW_MS}
        fact = read_row(tmp_path, "taobao", bent(SETTLED, modified_time=nothing, tk_earning_time=nothing))
        assert fact["seq"] == {"modified_at": "2026-01-03T20:13:58+08:00", "fetch_seq": NOW_MS}

    def test_refunds(self, tmp_path: Path, nothing: Any) -> None:
        """A dispute's version is the first of its times that is one."""
        row = refund_row(tk_refund_suit_time="2026-01-23 11:05:00", modified_time=nothing)
        assert read_row(tmp_path, "taobao", row)["modified_at"] == "2026-01-23T11:05:00+08:00"
        row = bent(row, tk_refund_suit_time=nothing)
        assert read_row(tmp_path, "taobao", row)["modified_at"] == "2026-01-20T16:39:55+08:00"
        assert row_refusal(tmp_path, "taobao", bent(row, tk_refund_time=nothing)) == ["missing-modified_at"]

    def test_jd(self, tmp_path: Path, nothing: Any) -> None:
        """JD has one field for each time."""
        assert row_refusal(tmp_path, "jd", jd_row(modifyTime=nothing)) == ["missing-seq.modified_at"]
        assert row_refusal(tmp_path, "jd", jd_row(orderTime=nothing)) == ["missing-times.paid"]

    def test_pdd(self, tmp_path: Path, nothing: Any) -> None:
        """PDD counts in Unix seconds, and its gateways write text."""
        fact = read_row(tmp_path, "pdd", bent(PDD_SETTLED, order_pay_time=nothing))
        assert fact["times"]["paid"] == "2026-01-05T08:00:00+08:00"
        fact = read_row(tmp_path, "pdd", bent(PDD_SETTLED, order_settle_time=nothing))
        assert "settled" not in fact["times"]
        row = pdd_row(order_modify_at=nothing)
        assert row_refusal(tmp_path, "pdd", row) == ["missing-seq.modified_at"]
        row = pdd_row(order_pay_time=nothing, order_create_time=nothing)
        assert row_refusal(tmp_path, "pdd", row) == ["missing-times.paid"]


class TestAlmostNone:
    """What is near the moment 0 and not it."""

    @pytest.mark.parametrize("text", ["1970-01-01 08:00:01", "1970-01-02 00:00:00"])
    def test_another_moment(self, tmp_path: Path, text: str) -> None:
        """Any other time of 1970 is a time, and before the payment."""
        assert row_refusal(tmp_path, "taobao", bent(SETTLED, tk_earning_time=text)) == [
            "invalid-times.settled"
        ]

    @pytest.mark.parametrize("text", ["0000-00-00 00:00:00", "1970-01-01", "null"])
    def test_no_time(self, tmp_path: Path, text: str) -> None:
        """Other texts for nothing are not in the contract, and refused by name."""
        assert row_refusal(tmp_path, "taobao", bent(SETTLED, tb_paid_time=text)) == ["invalid-times.paid"]


class TestSettledBeforePaid:
    """A settlement before the payment."""

    def test_taobao(self, tmp_path: Path) -> None:
        """One second before the payment is refused, the same second is not."""
        row = bent(SETTLED, tk_earning_time="2026-01-03 20:13:50")
        assert row_refusal(tmp_path, "taobao", row) == ["invalid-times.settled"]
        row = bent(SETTLED, tk_earning_time="2026-01-03 20:13:51")
        assert read_row(tmp_path, "taobao", row)["times"]["settled"] == "2026-01-03T20:13:51+08:00"

    def test_whatever_the_payment_is_read_from(self, tmp_path: Path) -> None:
        """The payment that counts is compared, also where it falls back to the creation."""
        row = bent(SETTLED, tb_paid_time="--", tk_paid_time="--", tk_earning_time="2026-01-03 20:13:39")
        assert row_refusal(tmp_path, "taobao", row) == ["invalid-times.settled"]
        row = bent(SETTLED, tk_earning_time="2026-01-01 00:00:00", tk_status=14)
        assert row_refusal(tmp_path, "taobao", row) == ["invalid-times.settled"]

    def test_pdd(self, tmp_path: Path) -> None:
        """PDD settles in Unix seconds."""
        row = bent(PDD_SETTLED, order_settle_time=1767571259)
        assert row_refusal(tmp_path, "pdd", row) == ["invalid-times.settled"]
        assert read_row(tmp_path, "pdd", bent(PDD_SETTLED, order_settle_time=1767571260))

    def test_neighbours(self, tmp_path: Path) -> None:
        """Such a row does not hold up its neighbours, and names its payment."""
        rows: list[Document] = [SETTLED, bent(SETTLED, tk_earning_time="2026-01-01 00:00:00"), SETTLED]
        reads = read_rows(tmp_path, "taobao", *rows)
        assert [read.document is None for read in reads] == [False, True, False]
        assert "2026-01-03T20:13:51+08:00" in reads[1].faults[0].detail
