"""Rows of taobao (docs/spec/networks.md#rows; docs/spec/networks.md#taobao)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire.samples import NOW_US, bent, read_row, row_refusal, taobao_row

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = NOW_US // 1_000


class TestOrders:
    """Order rows."""

    def test_whole_row(self, tmp_path: Path) -> None:
        """A row becomes exactly this fact."""
        assert read_row(tmp_path, "taobao", taobao_row()) == {
            "schema": "order-event/1",
            "kind": "order.snapshot",
            "platform": "taobao",
            "order_line_id": "3901000000000000011",
            "parent_order_id": "3901000000000000010",
            "seq": {"modified_at": "2026-01-03T20:14:05+08:00", "fetch_seq": 1},
            "status": "paid",
            "platform_status": "12",
            "currency": "CNY",
            "amounts": {"est_commission": 1791, "settled_commission": 0, "service_fee": 179},
            "times": {"paid": "2026-01-03T20:13:51+08:00"},
            "attribution": {"special_id": "2880001234", "pid": "mm_118800001_2200000001_1110000000001"},
            "item": {"id": "n8XQv0-abc123", "title": "轻量跑鞋 男款", "shop": "示例旗舰店"},
        }

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            (12, "paid"),
            (14, "received"),
            (3, "settled"),
            (13, "closed"),
            (1, "unknown"),
            (99, "unknown"),
            (0, "unknown"),
        ],
    )
    def test_statuses(self, tmp_path: Path, code: int, status: str) -> None:
        """Every code of the network, as a number and as text; what is new is unknown, never closed."""
        for value in (code, str(code)):
            fact = read_row(tmp_path, "taobao", taobao_row(tk_status=value))
            assert (fact["status"], fact["platform_status"]) == (status, str(code))

    @pytest.mark.parametrize("value", [True, [], {}, "x" * 65])
    def test_no_status(self, tmp_path: Path, value: object) -> None:
        """What cannot be a code is refused; so is none at all."""
        assert row_refusal(tmp_path, "taobao", taobao_row(tk_status=value)) == ["invalid-status"]
        for nothing in (None, "", "--", ...):
            assert row_refusal(tmp_path, "taobao", taobao_row(tk_status=nothing)) == ["missing-status"]

    @pytest.mark.parametrize(
        ("deposit", "price", "status"),
        [
            ("2026-01-02 10:00:00", "0.00", "created"),
            ("2026-01-02 10:00:00", 0, "created"),
            ("2026-01-02 10:00:00", "199.00", "paid"),
            ("2026-01-02 10:00:00", None, "paid"),
            ("--", "0.00", "paid"),
            ("", "0.00", "paid"),
            (None, "0.00", "paid"),
        ],
    )
    def test_deposit(self, tmp_path: Path, deposit: object, price: object, status: str) -> None:
        """A deposit whose balance is not paid yet is only created."""
        row = taobao_row(tk_deposit_time=deposit, alipay_total_price=price)
        assert read_row(tmp_path, "taobao", row)["status"] == status

    def test_deposit_garbage(self, tmp_path: Path) -> None:
        """What would decide the status has to be readable."""
        row = taobao_row(tk_deposit_time="yesterday")
        assert row_refusal(tmp_path, "taobao", row) == ["invalid-tk_deposit_time"]
        row = taobao_row(tk_deposit_time="2026-01-02 10:00:00", alipay_total_price="nothing")
        assert row_refusal(tmp_path, "taobao", row) == ["invalid-alipay_total_price"]
        assert read_row(tmp_path, "taobao", bent(row, tk_status=14))["status"] == "received"

    def test_settled(self, tmp_path: Path) -> None:
        """Settled money is `pub_share_fee`, neither the gross commission nor the estimate."""
        row = taobao_row(
            tk_status=3,
            tk_earning_time="2026-01-10 03:21:00",
            pub_share_fee="17.01",
            alimama_share_fee="1.70",
        )
        fact = read_row(tmp_path, "taobao", row)
        assert fact["amounts"] == {"est_commission": 1791, "settled_commission": 1701, "service_fee": 170}
        assert fact["times"]["settled"] == "2026-01-10T03:21:00+08:00"

    def test_modified(self, tmp_path: Path) -> None:
        """Without `modified_time` the newest of the known times is the version, then the fetch."""
        row = taobao_row(
            modified_time=..., tk_earning_time="2026-01-10 03:21:00", tk_status=3, pub_share_fee="1"
        )
        assert read_row(tmp_path, "taobao", row)["seq"] == {
            "modified_at": "2026-01-10T03:21:00+08:00",
            "fetch_seq": NOW_MS,
        }
        row = bent(row, modified_time="--", tk_earning_time="--")
        assert read_row(tmp_path, "taobao", row)["seq"] == {
            "modified_at": "2026-01-03T20:13:58+08:00",
            "fetch_seq": NOW_MS,
        }
        none = bent(row, tk_create_time="", tb_paid_time=None, tk_paid_time=0)
        assert row_refusal(tmp_path, "taobao", none) == ["missing-seq.modified_at", "missing-times.paid"]

    @pytest.mark.parametrize(
        ("absent", "paid"),
        [
            ((), "2026-01-03T20:13:51+08:00"),
            (("tb_paid_time",), "2026-01-03T20:13:58+08:00"),
            (("tb_paid_time", "tk_paid_time"), "2026-01-03T20:13:40+08:00"),
        ],
    )
    def test_paid(self, tmp_path: Path, absent: tuple[str, ...], paid: str) -> None:
        """Paid is taobao's time, else the union's, else that of the creation."""
        for nothing in ("--", "", 0, "0", None, ...):
            row = taobao_row(**dict.fromkeys(absent, nothing))
            assert read_row(tmp_path, "taobao", row)["times"]["paid"] == paid

    @pytest.mark.parametrize(
        ("field", "member"),
        [
            ("modified_time", "seq.modified_at"),
            ("tb_paid_time", "times.paid"),
            ("tk_earning_time", "times.settled"),
        ],
    )
    @pytest.mark.parametrize(
        "value",
        [
            "2026-01-03",
            "2026-01-03T20:14:05",
            "2026-02-30 00:00:00",
            -1,
            1.5,
            1767571200000,
            True,
            [],
            "9" * 30,
        ],
    )
    def test_bad_times(self, tmp_path: Path, field: str, member: str, value: object) -> None:
        """A time that cannot be read is refused; milliseconds are no seconds."""
        assert row_refusal(tmp_path, "taobao", taobao_row(**{field: value})) == [f"invalid-{member}"]

    def test_unix_seconds(self, tmp_path: Path) -> None:
        """Unix seconds are understood here too, as a number or as text."""
        for value in (1767442445, "1767442445"):
            fact = read_row(tmp_path, "taobao", taobao_row(modified_time=value))
            assert fact["seq"] == {"modified_at": "2026-01-03T20:14:05+08:00", "fetch_seq": 1}

    @pytest.mark.parametrize(
        ("field", "member"),
        [
            ("pub_share_pre_fee", "amounts.est_commission"),
            ("pub_share_fee", "amounts.settled_commission"),
            ("alimama_share_fee", "amounts.service_fee"),
        ],
    )
    @pytest.mark.parametrize(
        "value", ["", "--", "1e3", "１.0", "12,34", True, [], "99999999999", float("inf")]
    )
    def test_bad_amounts(self, tmp_path: Path, field: str, member: str, value: object) -> None:
        """An amount that cannot be read is refused, and not missing besides."""
        row = taobao_row(tk_status=3, **{field: value})
        assert row_refusal(tmp_path, "taobao", row) == [f"invalid-{member}"]

    def test_needs(self, tmp_path: Path) -> None:
        """The status needs the same members as on the topic, and the service fee besides."""
        assert row_refusal(tmp_path, "taobao", taobao_row(pub_share_pre_fee=...)) == [
            "missing-amounts.est_commission"
        ]
        assert row_refusal(tmp_path, "taobao", taobao_row(tk_status=3, pub_share_fee=None)) == [
            "missing-amounts.settled_commission"
        ]
        bare = {"trade_id": "1", "tk_status": 13, "modified_time": "2026-01-03 20:14:05"}
        assert read_row(tmp_path, "taobao", bare)["amounts"] == {}
        assert row_refusal(tmp_path, "taobao", taobao_row(alimama_share_fee="-1")) == [
            "invalid-amounts.service_fee"
        ]

    @pytest.mark.parametrize("nothing", [None, ...])
    def test_service_fee(self, tmp_path: Path, nothing: object) -> None:
        """Without `alimama_share_fee` too much would be paid: it is needed where a share is taken of it."""
        for code in (12, 14, 3):
            row = taobao_row(tk_status=code, alimama_share_fee=nothing)
            assert row_refusal(tmp_path, "taobao", row) == ["missing-amounts.service_fee"]
        deposit = {"tk_deposit_time": "2026-01-02 10:00:00", "alipay_total_price": "0.00"}
        for members in ({"tk_status": 13}, {"tk_status": 99}, deposit):
            fact = read_row(tmp_path, "taobao", taobao_row(alimama_share_fee=nothing, **members))
            assert "service_fee" not in fact["amounts"]
        fact = read_row(tmp_path, "taobao", taobao_row(alimama_share_fee="0.00"))
        assert fact["amounts"]["service_fee"] == 0

    def test_fees_beside_other_faults(self, tmp_path: Path) -> None:
        """What is missing comes in the order of the contract, before what is invalid."""
        row = taobao_row(
            tk_status=3, alimama_share_fee=..., pub_share_fee=..., tk_earning_time="x", trade_id=1.5
        )
        assert row_refusal(tmp_path, "taobao", row) == [
            "missing-amounts.settled_commission",
            "missing-amounts.service_fee",
            "invalid-order_line_id",
            "invalid-times.settled",
        ]


class TestIds:
    """Ids of orders."""

    def test_numbers(self, tmp_path: Path) -> None:
        """A 19-digit id as a number keeps every digit."""
        row = taobao_row(
            trade_id=3901000000000000011, trade_parent_id=3901000000000000010, relation_id=2**63 + 1
        )
        fact = read_row(tmp_path, "taobao", row)
        assert (fact["order_line_id"], fact["parent_order_id"]) == (
            "3901000000000000011",
            "3901000000000000010",
        )
        assert fact["attribution"]["relation_id"] == "9223372036854775809"

    @pytest.mark.parametrize(
        ("field", "member"),
        [
            ("trade_id", "order_line_id"),
            ("special_id", "attribution.special_id"),
            ("relation_id", "attribution.relation_id"),
            ("site_id", "attribution.pid"),
        ],
    )
    @pytest.mark.parametrize("value", [True, [], {"a": 1}])
    def test_other_types(self, tmp_path: Path, field: str, member: str, value: object) -> None:
        """What is neither text nor a number is no id, and is refused."""
        assert row_refusal(tmp_path, "taobao", taobao_row(**{field: value})) == [f"invalid-{member}"]

    @pytest.mark.parametrize("nothing", ["", "--", "0", 0, None, ...])
    def test_none(self, tmp_path: Path, nothing: object) -> None:
        """None of `--`, nothing and 0 is an id, and a pid needs all its parts."""
        assert row_refusal(tmp_path, "taobao", taobao_row(trade_id=nothing)) == ["missing-order_line_id"]
        for part in ("pub_id", "site_id", "adzone_id"):
            row = taobao_row(special_id=nothing, **{part: nothing})
            assert "attribution" not in read_row(tmp_path, "taobao", row)

    def test_odd_texts(self, tmp_path: Path) -> None:
        """An id that the contract does not allow is refused; an odd title is not."""
        assert row_refusal(tmp_path, "taobao", taobao_row(trade_id="a b")) == ["invalid-order_line_id"]
        assert row_refusal(tmp_path, "taobao", taobao_row(special_id="a b")) == [
            "invalid-attribution.special_id"
        ]
        fact = read_row(
            tmp_path, "taobao", taobao_row(item_title="x" * 2_000, item_id=1.5, seller_shop_title="\ud800")
        )
        assert fact["item"] == {"shop": "\ud800"}
