"""What a fact on `order_topic` becomes (docs/spec/facts.md#order-facts)."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from rebate_app.domain.facts import (
    PUNISH_RANK,
    REFUND_RANK,
    STATUS_RANK,
    Attribution,
    Claim,
    Punish,
    Refund,
    Snapshot,
)
from rebate_app.wire.facts import order as order_facts
from rebate_app.wire.facts.order import check_order, decode_order, decode_order_by_reference, encode_order
from rebate_app.wire.moments import parse_date, parse_moment
from tests.wire.samples import KEY, NOW_US, claim, decoded, encoded, punish, refund, snapshot


def decoded_snapshot(**members: Any) -> Snapshot:
    """Return the fact of a bent snapshot."""
    fact = decoded(snapshot(**members))
    assert isinstance(fact, Snapshot)
    return fact


class TestSnapshot:
    """`order.snapshot`."""

    def test_every_member(self) -> None:
        """Every member of the contract arrives, moments as microseconds and dates as days."""
        assert decoded(snapshot()) == Snapshot(
            line="taobao:3901000000000000011",
            modified_at=parse_moment("2026-01-10T03:22:40+08:00"),
            fetch_seq=918273,
            status="settled",
            est_commission=1791,
            settled_commission=1701,
            service_fee=170,
            paid_at=parse_moment("2026-01-03T20:13:51+08:00"),
            settled_at=parse_moment("2026-01-10T03:21:00+08:00"),
            expected_settle=parse_date("2026-02-20"),
            attribution=Attribution(special_id="2880001234", pid="mm_118800001_2200000001_1110000000001"),
        )

    @pytest.mark.parametrize("status", ["created", "closed", "superseded", "unknown"])
    def test_least(self, status: str) -> None:
        """A status that is worth nothing needs neither amounts nor times nor an attribution."""
        fact = decoded_snapshot(status=status, amounts=..., times=..., attribution=..., seq__fetch_seq=...)
        assert (fact.est_commission, fact.settled_commission, fact.service_fee) == (None, 0, 0)
        assert (fact.paid_at, fact.settled_at, fact.expected_settle) == (None, None, None)
        assert fact.attribution is None
        assert fact.fetch_seq == 0

    def test_null_is_absent(self) -> None:
        """Null is the same as an absent member, for members and for their parents."""
        nulls = decoded_snapshot(
            status="created", amounts=None, times=None, attribution=None, seq__fetch_seq=None, item=None
        )
        gone = decoded_snapshot(status="created", amounts=..., times=..., attribution=..., seq__fetch_seq=...)
        assert nulls == gone
        inner = {"special_id": None, "pid": None}
        assert decoded_snapshot(attribution=inner).attribution == Attribution()

    @pytest.mark.parametrize("amount", [-(10**9), 0, 10**9])
    def test_bounds_of_amounts(self, amount: int) -> None:
        """Amounts reach from -10⁹ to 10⁹ fen."""
        fact = decoded_snapshot(amounts__est_commission=amount, amounts__settled_commission=amount)
        assert (fact.est_commission, fact.settled_commission) == (amount, amount)

    def test_bounds_of_fetch_seq(self) -> None:
        """The greatest fetch number is that of a signed 64-bit integer."""
        assert decoded_snapshot(seq__fetch_seq=2**63 - 1).fetch_seq == 2**63 - 1

    @pytest.mark.parametrize("platform", ["a", "vip", "platform16chars0", "0"])
    def test_any_platform(self, platform: str) -> None:
        """A platform is any 1-16 of a-z0-9, known or not."""
        document = snapshot(platform=platform)
        assert decoded(document, f"{platform}:3901000000000000011".encode()).line.startswith(platform)

    @pytest.mark.parametrize("line", ["1", "A.b_c-9", "x" * 64])
    def test_any_line(self, line: str) -> None:
        """A line id is any 1-64 of A-Za-z0-9._-."""
        assert decoded(snapshot(order_line_id=line), f"taobao:{line}".encode()).line == f"taobao:{line}"

    def test_unknown_members(self) -> None:
        """Members that the contract does not name never refuse a fact, whatever they hold."""
        strange = {"user_id": 5, "net_refund": "x", "claimed_at": [], "x": {"y": [10**40, "\ud800"]}}
        assert decoded(snapshot(**strange)) == decoded(snapshot())
        far = encoded(snapshot())[:-1] + b', "far": 1e999}'
        assert decode_order(far, KEY, NOW_US) == decoded(snapshot())
        assert decoded_snapshot(attribution__claimed_user_id=7) == decoded(snapshot())

    def test_duplicate_members(self) -> None:
        """Of a member that is there twice the last one holds, on both paths."""
        value = encoded(snapshot()).replace(b'"status":', b'"status": 5, "status":')
        assert decode_order(value, KEY, NOW_US) == decoded(snapshot())


class TestAttribution:
    """Values of an attribution."""

    @pytest.mark.parametrize("nothing", ["", "0", None, ...])
    @pytest.mark.parametrize("field", Attribution.__struct_fields__)
    def test_no_values(self, field: str, nothing: object) -> None:
        """Empty text and "0" are no values, whichever member holds them."""
        fact = decoded_snapshot(attribution={"pid": "p"}, **{f"attribution__{field}": nothing})
        assert fact.attribution is not None
        assert getattr(fact.attribution, field) is None

    @pytest.mark.parametrize("value", ["x", "00", "x" * 128, "a:b/c?d#e", "渠道一", "é", "-", "\U0001f600"])
    @pytest.mark.parametrize("field", Attribution.__struct_fields__[1:])
    def test_values(self, field: str, value: str) -> None:
        """1 to 128 characters of any script, without space and control, are a value."""
        fact = decoded_snapshot(attribution={field: value})
        assert fact.attribution == Attribution(**{field: value})

    def test_user(self) -> None:
        """A well-formed user id names the user."""
        fact = decoded_snapshot(attribution={"user_id": "A.b_c@d-1", "pid": "mm_1"})
        assert fact.attribution == Attribution(user_id="A.b_c@d-1", pid="mm_1")


class TestOtherKinds:
    """`order.refund`, `order.punish`, `order.claim`."""

    @pytest.mark.parametrize("status", REFUND_RANK)
    def test_refund(self, status: str) -> None:
        """A refund fact has a suit, a status, an amount and a moment."""
        moment = parse_moment("2026-01-23T11:05:03+08:00")
        expected = Refund(KEY.decode(), "90000000001", status, 510, moment)
        assert decoded(refund(refund_status=status)) == expected

    @pytest.mark.parametrize("status", PUNISH_RANK)
    def test_punish(self, status: str) -> None:
        """A punish fact has a status and a moment."""
        moment = parse_moment("2026-01-23T11:05:03+08:00")
        assert decoded(punish(punish_status=status)) == Punish(KEY.decode(), status, moment)

    def test_claim(self) -> None:
        """A claim has a user and a moment, and no moment is too far ahead for it."""
        assert decoded(claim(claimed_at="9999-01-01T00:00:00Z")) == Claim(
            KEY.decode(), "u1", parse_moment("9999-01-01T00:00:00Z")
        )


class TestEnumerations:
    """The typed decode and the domain know the same words."""

    def test_statuses(self) -> None:
        """No status of the domain takes the slow path by accident."""
        hints = order_facts._WireSnapshot.__annotations__, order_facts._Status
        assert get_args(hints[1]) == tuple(STATUS_RANK)

    @pytest.mark.parametrize(
        "document",
        [
            *(snapshot(status=status) for status in STATUS_RANK),
            *(refund(refund_status=status) for status in REFUND_RANK),
            *(punish(punish_status=status) for status in PUNISH_RANK),
            claim(),
            snapshot(status="created", amounts=..., times=...),
            snapshot(attribution={"user_id": "u1", "pid": "mm_1"}),
            snapshot(item={"title": "轻量跑鞋"}),
        ],
    )
    def test_fast(self, document: dict[str, Any]) -> None:
        """Well-formed facts of every kind and status are beyond doubt: the fast path answers for them."""
        value = json.dumps(document, ensure_ascii=False).encode()
        fact = order_facts._fast(value, KEY, NOW_US)
        assert fact is not None
        assert fact == decode_order_by_reference(value, KEY, NOW_US)


class TestEncode:
    """What is sent is what was checked."""

    @pytest.mark.parametrize("document", [snapshot(item={"title": "跑鞋"}), refund(), punish(), claim()])
    def test_round_trip(self, document: dict[str, Any]) -> None:
        """A fact that was checked is decoded as the same fact from what was sent."""
        key, value = encode_order(document)
        assert decode_order(value, key, NOW_US) == check_order(document, NOW_US)
        assert json.loads(value) == document

    def test_compact(self) -> None:
        """The value is compact UTF-8 JSON, the key is platform:order_line_id."""
        key, value = encode_order(refund(note="跑鞋"))
        assert key == KEY
        assert value.startswith(b'{"schema":"order-event/1","kind":"order.refund",')
        assert value.endswith('"note":"跑鞋"}'.encode())

    def test_odd_members(self) -> None:
        """What no fast encoder can say is sent all the same: it decides nothing."""
        odd = {"big": 10**40, "half": "\ud800", "far": [1e999, {"x": -1e999}], "id": 2**63}
        key, value = encode_order(snapshot(**odd))
        assert decode_order(value, key, NOW_US) == decoded(snapshot())
        sent = json.loads(value)
        assert (sent["big"], sent["id"], sent["half"]) == (10**40, 2**63, "\ud800")
        assert sent["far"] == [None, {"x": None}]
