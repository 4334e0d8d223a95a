"""Rows of PDD (docs/spec/networks.md#rows; docs/spec/networks.md#pdd)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire.samples import pdd_row, read_row, row_refusal

if TYPE_CHECKING:
    from pathlib import Path

NAMED = {-1: "created", 0: "paid", 1: "paid", 2: "received", 3: "received", 5: "settled", 4: "closed"}
#: No pid: half of one, and parts that are none.
PARTS = (
    "8600001",
    8600001,
    -8600001,
    "1_2_0",
    "1_2_",
    "0_1_2",
    "a_0",
    "null",
    "1_--",
    "--_1",
    "--_--",
    "1_nil",
    "1_n/a",
    "1_00",
    "1__2",
)
NAMED |= {8: "closed", 10: "punished"}


class TestRows:
    """Order rows."""

    def test_whole_row(self, tmp_path: Path) -> None:
        """A row becomes exactly this fact: fen are fen, and Unix seconds are Beijing time."""
        assert read_row(tmp_path, "pdd", pdd_row()) == {
            "schema": "order-event/1",
            "kind": "order.snapshot",
            "platform": "pdd",
            "order_line_id": "260105-000000000001",
            "seq": {"modified_at": "2026-01-05T08:01:02+08:00", "fetch_seq": 1},
            "status": "paid",
            "platform_status": "0",
            "currency": "CNY",
            "amounts": {"est_commission": 698, "settled_commission": 0, "service_fee": 0},
            "times": {"paid": "2026-01-05T08:01:00+08:00"},
            "attribution": {"custom_uid": "10086", "pid": "8600001_250000001"},
            "item": {"id": "E9_demo", "title": "抽纸 24 包"},
        }

    @pytest.mark.parametrize("code", range(-2, 13))
    def test_statuses(self, tmp_path: Path, code: int) -> None:
        """Every code from -2 to 12; what nobody named is unknown."""
        for value in (code, str(code)):
            fact = read_row(tmp_path, "pdd", pdd_row(order_status=value))
            assert (fact["status"], fact["platform_status"]) == (NAMED.get(code, "unknown"), str(code))

    @pytest.mark.parametrize("code", [-1, 0, 1, 2, 3, 4, 5, 8, 10, 7])
    def test_promotion(self, tmp_path: Path, code: int) -> None:
        """`promotion_amount` is the estimate in every status, and the settled commission in 5 alone."""
        amounts = read_row(tmp_path, "pdd", pdd_row(order_status=code))["amounts"]
        assert amounts == {
            "est_commission": 698,
            "settled_commission": 698 if code == 5 else 0,
            "service_fee": 0,
        }

    @pytest.mark.parametrize(
        ("fee", "fen"), [(4, 4), ("4", 4), (0, 0), (None, 0), (..., 0), (698, 698), (700, 700)]
    )
    def test_service_fee(self, tmp_path: Path, fee: object, fen: int) -> None:
        """The software service fee is part of `promotion_amount` and goes off it; absent, it is 0."""
        for code in (0, 5):
            fact = read_row(tmp_path, "pdd", pdd_row(order_status=code, duo_id_service_fee=fee))
            assert fact["amounts"]["service_fee"] == fen

    @pytest.mark.parametrize("fee", ["", "--", "x", -1, True, 10**10])
    def test_bad_service_fee(self, tmp_path: Path, fee: object) -> None:
        """A fee that cannot be read is refused, and not 0."""
        row = pdd_row(duo_id_service_fee=fee)
        assert row_refusal(tmp_path, "pdd", row) == ["invalid-amounts.service_fee"]

    def test_times(self, tmp_path: Path) -> None:
        """Paid is when it was paid, else when it was created; settled is PDD's own time."""
        fact = read_row(
            tmp_path, "pdd", pdd_row(order_pay_time=0, order_settle_time=1771516800, order_status=5)
        )
        assert fact["times"] == {"paid": "2026-01-05T08:00:00+08:00", "settled": "2026-02-20T00:00:00+08:00"}
        bare = pdd_row(order_pay_time=None, order_create_time="", order_modify_at="--")
        assert row_refusal(tmp_path, "pdd", bare) == ["missing-seq.modified_at", "missing-times.paid"]
        for value in (1767571262000, 1.5e12, -5, "soon"):
            row = pdd_row(order_modify_at=value)
            assert row_refusal(tmp_path, "pdd", row) == ["invalid-seq.modified_at"]

    def test_needs(self, tmp_path: Path) -> None:
        """Without a promotion amount nothing that is paid can be priced."""
        assert row_refusal(tmp_path, "pdd", pdd_row(promotion_amount=...)) == [
            "missing-amounts.est_commission"
        ]
        assert row_refusal(tmp_path, "pdd", pdd_row(promotion_amount=None, order_status=5)) == [
            "missing-amounts.est_commission",
            "missing-amounts.settled_commission",
        ]
        assert row_refusal(tmp_path, "pdd", pdd_row(promotion_amount="x", order_status=5)) == [
            "invalid-amounts.est_commission",
            "invalid-amounts.settled_commission",
        ]
        assert row_refusal(tmp_path, "pdd", pdd_row(order_sn=260105.5)) == ["invalid-order_line_id"]

    def test_reason(self, tmp_path: Path) -> None:
        """Why PDD closed an order is kept for people."""
        fact = read_row(
            tmp_path, "pdd", pdd_row(order_status=4, fail_reason="用户退款", goods_sign=..., goods_id=7)
        )
        assert (fact["status_reason"], fact["item"]["id"]) == ("用户退款", "7")


class TestAttribution:
    """Whose order it is."""

    @pytest.mark.parametrize(
        ("parameters", "uid"),
        [
            ('{"uid":"10086","sid":"s1"}', "10086"),
            ({"uid": "10086"}, "10086"),
            ('{"uid":9223372036854775813}', "9223372036854775813"),
            ({"uid": 10086}, "10086"),
            ('{"uid":"a@b"}', "a@b"),
        ],
    )
    def test_uid(self, tmp_path: Path, parameters: object, uid: str) -> None:
        """`uid` is text or an integer, in an object or in its JSON text."""
        fact = read_row(tmp_path, "pdd", pdd_row(custom_parameters=parameters))
        assert fact["attribution"]["custom_uid"] == uid

    @pytest.mark.parametrize(
        "parameters",
        [
            *("", "--", "null", "5", "[]", "{", "uid=10086", '{"sid":"s1"}', '{"uid":1.5}', '{"uid":null}'),
            *(
                '{"uid":true}',
                '{"uid":["x"]}',
                "[" * 100_000,
                '{"uid":NaN}',
                None,
                5,
                [],
                {},
                {"uid": 1.5},
                ...,
            ),
        ],
    )
    def test_no_uid(self, tmp_path: Path, parameters: object) -> None:
        """Everything else names nobody, and never refuses the row."""
        fact = read_row(tmp_path, "pdd", pdd_row(custom_parameters=parameters))
        assert fact["attribution"] == {"pid": "8600001_250000001"}

    @pytest.mark.parametrize("uid", ["", "0", 0, "--", ".", ".."])
    def test_no_value(self, tmp_path: Path, uid: object) -> None:
        """A uid that is no value, or that clients resolve in a URL, leaves the line to its pid."""
        fact = read_row(tmp_path, "pdd", pdd_row(custom_parameters={"uid": uid}))
        assert fact["attribution"] == {"pid": "8600001_250000001"}

    def test_bad_uid(self, tmp_path: Path) -> None:
        """A uid that cannot be a value is refused by name."""
        row = pdd_row(custom_parameters='{"uid":"a b"}')
        assert row_refusal(tmp_path, "pdd", row) == ["invalid-attribution.custom_uid"]

    @pytest.mark.parametrize("pid", ["8600001_250000001", "1_2_3", "a", "p8600001", "a_b", "1_2_3_x", "a-1"])
    def test_pid(self, tmp_path: Path, pid: str) -> None:
        """Any number of parts, as they are; one is enough if it is not the number of an account alone."""
        fact = read_row(tmp_path, "pdd", pdd_row(p_id=pid, custom_parameters=None))
        assert fact["attribution"] == {"pid": pid}

    @pytest.mark.parametrize(
        "pid",
        [
            "",
            "0",
            "--",
            None,
            0,
            "8600001_0",
            "_1",
            "8600001_",
            ...,
            "00_1",
            "1_null",
            "1.0_2",
            8.6e6,
            *PARTS,
        ],
    )
    def test_no_pid(self, tmp_path: Path, pid: object) -> None:
        """A pid with a missing or zero part is none."""
        assert "pid" not in read_row(tmp_path, "pdd", pdd_row(p_id=pid))["attribution"]
