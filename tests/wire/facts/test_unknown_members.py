"""Members of order facts that nothing reads and that look like one that is read.

See docs/spec/http.md#writes.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from rebate_app.domain.faults import UNKNOWN_MEMBER
from rebate_app.wire.facts.unknown_members import NAMES_COMPARED_MAX, MemberCheck
from rebate_app.wire.networks.file_reader import read_facts
from tests.wire.samples import NOW_US, bent, claim, punish, refund, snapshot

SNAPSHOT: dict[str, Any] = {
    "schema": "order-event/1",
    "event_id": "sha256:5f0c",
    "kind": "order.snapshot",
    "platform": "taobao",
    "order_line_id": "3901000000000000011",
    "parent_order_id": "3901000000000000010",
    "seq": {"modified_at": "2026-01-10T03:22:40+08:00", "status_rank": 3, "fetch_seq": 918273},
    "status": "settled",
    "platform_status": "3",
    "status_reason": "x",
    "attribution": {"special_id": "2880001234", "relation_id": "1", "pid": "p", "claimed_user_id": "u"},
    "currency": "CNY",
    "amounts": {
        "paid": 19900,
        "settled_base": 18900,
        "est_commission": 1791,
        "settled_commission": 1701,
        "service_fee": 170,
        "subsidy": 0,
        "net_commission": 1531,
    },
    "rates": {"commission_ppm": 90000, "service_fee_ppm": 100000},
    "quantity": {"bought": 1, "returned": 0, "in_after_sale": 0},
    "flags": {
        "refund_tag": True,
        "self_buy": False,
        "presale": False,
        "price_compare": False,
        "punish": False,
    },
    "times": {
        "click": "2026-01-03T20:11:02+08:00",
        "created": "2026-01-03T20:13:40+08:00",
        "paid": "2026-01-03T20:13:51+08:00",
        "received": "x",
        "settled": "2026-01-10T03:21:00+08:00",
        "expected_settle": "2026-03-01",
    },
    "item": {"id": "n8XQv0", "title": "轻量跑鞋", "category": "运动鞋", "shop": "示例旗舰店"},
    "source": {"api": "taobao", "query_type": 4, "scene": 3, "batch_id": "tb-7", "fetched_at": "x"},
    "raw": {"tk_status": 3, "user_id": "u1", "times.settle": 1},
    "trace_id": "c0ffee",
}


FACTS = (snapshot(), refund(), punish(), claim())


def warned(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return pointer and suggestion of each warning."""
    found = MemberCheck().warnings(document)
    assert all(each.code == UNKNOWN_MEMBER for each in found)
    return [(each.pointer, each.detail.partition("?")[0].removeprefix("did you mean ")) for each in found]


class TestKnown:
    """What is named is no cause for a warning."""

    def test_the_example_of_the_domain(self) -> None:
        """Every member of docs/spec/facts.md#display-members is known, and `raw` holds anything."""
        assert warned(SNAPSHOT) == []

    @pytest.mark.parametrize("fact", FACTS, ids=lambda fact: str(fact["kind"]))
    def test_the_samples_of_all_kinds(self, fact: dict[str, Any]) -> None:
        """Good facts of every kind have no warnings, with or without display members."""
        assert warned(fact) == []
        more = {name: SNAPSHOT[name] for name in ("event_id", "parent_order_id", "source", "raw", "trace_id")}
        assert warned({**more, **fact}) == []

    @pytest.mark.parametrize(
        "name",
        [
            "note",
            "x",
            "trade_id",
            "pub_id",
            "adzone_id",
            "price",
            "shop_id",
            "版本",
            "",
            "z" * 9_999,
        ],
    )
    def test_members_of_peoples_own(self, name: str) -> None:
        """Names that resemble nothing are theirs."""
        assert warned(SNAPSHOT | {name: 1}) == []
        assert warned(bent(SNAPSHOT, amounts={**SNAPSHOT["amounts"], name: 1})) == []

    def test_null_is_absent(self) -> None:
        """A null member is none."""
        assert warned(SNAPSHOT | {"user_id": None}) == []


class TestLookalikes:
    """What looks like a named member is named, with what was probably meant."""

    @pytest.mark.parametrize(
        ("name", "suggestion"),
        [
            ("user_id", "attribution.user_id"),
            ("userid", "attribution.user_id"),
            ("userId", "attribution.user_id"),
            ("user", "attribution.user_id"),
            ("special_id", "attribution.special_id"),
            ("modified_at", "seq.modified_at"),
            ("fetch_seq", "seq.fetch_seq"),
            ("est_commission", "amounts.est_commission"),
            ("est_comission", "amounts.est_commission"),
            ("paid", "times.paid"),
            ("settled_at", "times.settled"),
            ("expected_settle", "times.expected_settle"),
            ("title", "item.title"),
            ("amount", "amounts"),
            ("time", "times"),
            ("attributon", "attribution"),
            ("Status", "status"),
            ("suit_id", "suit_id of order.refund"),
            ("net_refund", "net_refund of order.refund"),
            ("claimed_at", "claimed_at of order.claim"),
            ("uid", "attribution.user_id"),
            ("attrib", "attribution"),
            ("modifyTime", "seq.modified_at"),
        ],
    )
    def test_at_the_top(self, name: str, suggestion: str) -> None:
        """Other spellings, right names in the wrong place, and members of other kinds."""
        assert warned(SNAPSHOT | {name: 1}) == [(f"/{name}", suggestion)]

    @pytest.mark.parametrize(
        ("parent", "name", "suggestion"),
        [
            ("times", "settle", "times.settled"),
            ("times", "expected_settlement", "times.expected_settle"),
            ("times", "modified_at", "seq.modified_at"),
            ("amounts", "est_comission", "amounts.est_commission"),
            ("amounts", "commission", "amounts.est_commission"),
            ("amounts", "currency", "currency"),
            ("amounts", "serviceFee", "amounts.service_fee"),
            ("amounts", "fee", "amounts.service_fee"),
            ("amounts", "actual_fee", "amounts.settled_commission"),
            ("amounts", "estimateFee", "amounts.est_commission"),
            ("amounts", "alimama_share_fee", "amounts.service_fee"),
            ("seq", "fetched_at", "seq.fetch_seq"),
            ("seq", "modified_time", "seq.modified_at"),
            ("attribution", "uid", "attribution.user_id"),
            ("attribution", "userid", "attribution.user_id"),
            ("attribution", "relationId", "attribution.relation_id"),
            ("seq", "fetchseq", "seq.fetch_seq"),
            ("item", "titel", "item.title"),
        ],
    )
    def test_inside_an_object(self, parent: str, name: str, suggestion: str) -> None:
        """The same one level down."""
        assert warned(SNAPSHOT | {parent: {**SNAPSHOT[parent], name: 1}}) == [
            (f"/{parent}/{name}", suggestion)
        ]

    def test_of_other_kinds(self) -> None:
        """A refund, punishment or claim is looked at in the same way."""
        for kind, name, suggestion in (
            ("order.refund", "suitid", "suit_id"),
            ("order.refund", "user_id", "user_id of order.claim"),
            ("order.punish", "punishStatus", "punish_status"),
            ("order.claim", "userid", "user_id"),
            ("order.claim", "uid", "user_id"),
            ("order.refund", "modified_time", "modified_at"),
        ):
            fact = next(each for each in FACTS if each["kind"] == kind)
            assert warned(fact | {name: 1}) == [(f"/{name}", suggestion)]

    def test_names_are_escaped_and_printable(self) -> None:
        """A pointer is one of RFC 6901, and text that can be sent, whatever the name."""
        body = {"events": [], "user/~id": 1, "\ud800events": 1}
        found = [each.pointer for each in MemberCheck().envelope_warnings(body)]
        assert found == ["/user~1~0id", "/\\ud800events"]
        assert warned(SNAPSHOT | {"user/id": 1}) == [("/user~1id", "attribution.user_id")]


class TestEnvelope:
    """Members beside `events`."""

    @pytest.mark.parametrize(
        ("name", "suggestion"),
        [
            ("Events", "events"),
            ("event", "events"),
            ("status", "status of each fact"),
            ("user_id", "attribution.user_id of each fact"),
            ("uid", "attribution.user_id of each fact"),
            ("suit_id", "suit_id of each fact"),
        ],
    )
    def test_lookalikes(self, name: str, suggestion: str) -> None:
        """Another spelling of `events`, and members that belong inside the facts."""
        (found,) = MemberCheck().envelope_warnings({"events": [], name: 1})
        assert (found.pointer, found.code) == (f"/{name}", UNKNOWN_MEMBER)
        assert found.detail.startswith(f"did you mean {suggestion}? ")

    @pytest.mark.parametrize("name", ["schema", "note", "batch", "count", "next_cursor", "版本", ""])
    def test_others(self, name: str) -> None:
        """`schema` is harmless, and other members resemble nothing."""
        assert MemberCheck().envelope_warnings({"events": [], name: 1, "status": None}) == []


class TestBounds:
    """A fact with ever so many members costs no time."""

    def test_many_names_are_not_compared_with_all(self) -> None:
        """Only so many names are compared letter by letter; the right name in the wrong place is found."""
        fact = SNAPSHOT | {f"zz{number}": 1 for number in range(100_000)} | {"user_id": 1, "userids": 1}
        check, began = MemberCheck(), time.monotonic()
        assert [each.pointer for each in check.warnings(fact)] == ["/user_id"]
        assert time.monotonic() - began < 5  # a tenth of a second on an idle machine
        assert len(check._compared) == NAMES_COMPARED_MAX

    def test_a_name_is_compared_once(self) -> None:
        """The same warning for every fact that has the member."""
        check = MemberCheck()
        for _ in range(3):
            (found,) = check.warnings(SNAPSHOT | {"userids": 1})
            assert found.pointer == "/userids"
        assert len(check._compared) == 1


class TestFiles:
    """Imports of canonical facts."""

    def test_rows_that_are_sent_bear_warnings(self, tmp_path: Path) -> None:
        """A row is sent as it is, with its warnings; one that is refused has faults only."""
        path = tmp_path / "facts.ndjson"
        facts = [SNAPSHOT, SNAPSHOT | {"user_id": "u1"}, SNAPSHOT | {"user_id": "u1", "status": "x"}]
        path.write_text("\n".join(map(json.dumps, facts)))
        rows = list(read_facts(path, "canonical", NOW_US))
        assert [[each.pointer for each in row.warnings] for row in rows] == [[], ["/user_id"], []]
        assert [row.document is None for row in rows] == [False, False, True]
