"""Inputs from gateways that were read wrongly once, to the fen: adapter, fold and oracle agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rebate_app.wire.moments import parse_moment
from rebate_app.wire.networks.file_reader import RowResult, read_facts
from tests.domain.world import World
from tests.oracle import Oracle
from tests.oracle.written import RULES, bind, moment
from tests.wire.samples import bent, codes, pdd_row, read_row

INPUTS = Path(__file__).parent / "inputs"
#: After every moment of the inputs.
NOW_US = parse_moment("2026-11-29T00:00:00+08:00")
BEFORE_RELEASE = "2026-12-20"
RELEASE = "2026-12-21"
BUCKETS = ("estimated", "confirmed", "held", "available")

Money = tuple[int, int, int, int]


def read(name: str, network: str, fetched_at_ms: int | None = None) -> list[RowResult]:
    """Return what an input is read as."""
    return list(read_facts(INPUTS / name, network, NOW_US, fetched_at_ms=fetched_at_ms))


def facts(name: str, network: str, fetched_at_ms: int | None = None) -> list[dict[str, Any]]:
    """Return the facts of an input of which nothing is refused."""
    reads = read(name, network, fetched_at_ms)
    assert [row.faults for row in reads if row.document is None] == []
    return [row.document for row in reads if row.document is not None]


def money(orders: list[dict[str, Any]], special_id: str, at: str) -> Money:
    """Return a member's money by the fold, which the oracle has to confirm."""
    people = [bind(f"taobao:special_id:{special_id}", "mei")]
    world = World([RULES], partitions=2)
    world.know(people)
    world.take(orders, NOW_US)
    found = world.money("mei", moment(at))
    balance = Oracle(orders, people, [RULES]).balance("mei", moment(at))
    assert found == tuple(balance[name] for name in BUCKETS)
    return found


class TestEpochZero:
    """`1970-01-01 08:00:00` is no time."""

    @pytest.mark.parametrize("special_id", ["epoch1", "epoch2"])
    def test_settled(self, special_id: str) -> None:
        """A settlement of 1970 is like `--`: settled at its modification, confirmed until its release."""
        orders = facts("epoch-zero.taobao.jsonl", "taobao")
        assert money(orders, special_id, BEFORE_RELEASE) == (0, 6500, 0, 0)
        assert money(orders, special_id, RELEASE) == (0, 0, 0, 6500)

    @pytest.mark.parametrize("special_id", ["epoch3", "epoch4"])
    def test_paid(self, special_id: str) -> None:
        """A payment of 1970 falls back to the union's, and a deposit of 1970 is none."""
        orders = facts("epoch-zero.taobao.jsonl", "taobao")
        assert money(orders, special_id, BEFORE_RELEASE) == (6500, 0, 0, 0)


class TestNoModifiedTime:
    """The same line three times without `modified_time`: 17.01, lowered to 5.00, raised to 20.00."""

    FILES = (
        ("no-modified-time.1-settled-17.01.taobao.json", 1701),
        ("no-modified-time.2-lowered-to-5.00.taobao.json", 500),
        ("no-modified-time.3-raised-to-20.00.taobao.json", 2000),
    )

    def test_the_fetch_orders_them(self) -> None:
        """What was fetched last counts, also where it is less."""
        orders: list[dict[str, Any]] = []
        for number, (name, net) in enumerate(self.FILES, start=1):
            orders += facts(name, "taobao", fetched_at_ms=number)
            assert money(orders, "nomod", BEFORE_RELEASE) == (0, net * 65 // 100, 0, 0)

    def test_whatever_order_they_arrive_in(self) -> None:
        """Arrival decides nothing: the second one fetched last is the one that counts."""
        fetched = (2, 3, 1)
        orders = [
            fact
            for (name, _), at in zip(self.FILES, fetched, strict=True)
            for fact in facts(name, "taobao", fetched_at_ms=at)
        ]
        assert money(orders, "nomod", BEFORE_RELEASE) == (0, 500 * 65 // 100, 0, 0)
        assert money(orders[::-1], "nomod", BEFORE_RELEASE) == (0, 500 * 65 // 100, 0, 0)


class TestRefused:
    """What is no order."""

    def test_ids_as_doubles(self) -> None:
        """Three orders whose ids were doubles are three refusals, and never one line."""
        reads = read("ids-as-doubles.taobao.jsonl", "taobao")
        assert [codes(row.faults) for row in reads] == [["invalid-order_line_id"]] * 3

    @pytest.mark.parametrize(
        ("name", "network", "detail"),
        [
            ("refund-business-error.taobao.json", "taobao", "500: fail (101: 开始时间不能为空)"),
            ("success-false.pdd.json", "pdd", "no code: 限流"),
        ],
    )
    def test_errors(self, name: str, network: str, detail: str) -> None:
        """One refusal with the network's code and message, and no empty page."""
        (row,) = read(name, network)
        assert (codes(row.faults), row.faults[0].detail) == (["network-error"], detail)


class TestDots:
    """Ids that clients resolve in URLs."""

    def test_attribution(self) -> None:
        """The rows of `..` and `.` belong to their pid, all others to what they name."""
        rows = facts("dots.pdd.json", "pdd")
        uids = [row["attribution"].get("custom_uid") for row in rows]
        assert uids == [None, None, "a/b", "张三", "50%", "?x=1#y", "dotline", "dotline"]
        assert {row["attribution"]["pid"] for row in rows} == {"1_2"}
        world = World([RULES], partitions=2)
        world.take(rows, NOW_US)
        judge = Oracle(rows, [], [RULES])
        assert judge.users() == {"dotline"}
        assert world.id_head("pdd:pid:1_2").lines == 2
        assert world.money("dotline", moment(BEFORE_RELEASE)) == (2 * (104 * 65 // 100), 0, 0, 0)


class TestServiceFees:
    """What the network keeps of the commission."""

    def test_pdd(self, tmp_path: Path) -> None:
        """`promotion_amount` includes the software service fee: 65 % of 104 - 4 fen is 65, not 67."""
        text = (INPUTS / "dots.pdd.json").read_text(encoding="utf-8")
        path = tmp_path / "page.json"
        path.write_text(text.replace('"promotion_rate"', '"duo_id_service_fee": 4, "promotion_rate"'))
        rows = [row.document for row in read_facts(path, "pdd", NOW_US) if row.document is not None]
        world = World([RULES], partitions=2)
        world.take(rows, NOW_US)
        assert world.money("dotline", moment(BEFORE_RELEASE)) == (2 * 65, 0, 0, 0)


class TestImportedAgain:
    """Facts of the version before, which knew neither fees of PDD nor times of fetches."""

    def test_a_fee_takes_back_what_was_released(self, tmp_path: Path) -> None:
        """The same row again has `fetch_seq` 1 and its fee: the shares of it leave the released money."""
        row = pdd_row(order_status=5, order_settle_time=1771516800, duo_id_service_fee=98)
        new = read_row(tmp_path, "pdd", row)
        old = bent(new, seq__fetch_seq=..., amounts__service_fee=0)
        for orders in ([old], [old, new], [new, old], [old, new, old]):
            world = World([RULES], partitions=2)
            world.take(orders, NOW_US)
            net = 698 if orders == [old] else 600
            assert world.money("10086", moment(BEFORE_RELEASE)) == (0, 0, 0, net * 65 // 100)

    def test_a_settlement_of_1970_is_corrected(self) -> None:
        """The row that once settled in 1970 settles at its modification, in whatever order both arrive."""
        new = facts("epoch-zero.taobao.jsonl", "taobao")[0]
        old = bent(new, seq__fetch_seq=..., times__settled="1970-01-01T08:00:00+08:00")
        assert money([old], "epoch1", BEFORE_RELEASE) == (0, 0, 0, 6500)
        for orders in ([old, new], [new, old]):
            assert money(orders, "epoch1", BEFORE_RELEASE) == (0, 6500, 0, 0)
