"""Why a fact on `order_topic` is refused, and in which order the reasons come.

See docs/spec/facts.md#reason-codes.
"""

from __future__ import annotations

from typing import Any

import pytest

from rebate_app.wire.facts.order import check_order, decode_order
from rebate_app.wire.json_values import NESTING_MAX
from tests.wire.samples import (
    KEY,
    NOW_US,
    bent,
    claim,
    codes,
    decoded,
    encoded,
    punish,
    refund,
    refusal,
    refused,
    snapshot,
)


class TestUndecodable:
    """No value, not UTF-8, not a JSON object: no other reason is given."""

    @pytest.mark.parametrize(
        "value",
        [
            None,
            b"",
            b" ",
            b"null",
            b"5",
            b'"text"',
            b"[]",
            b"[{}]",
            b"{",
            b"{}}",
            b'{"a":1,}',
            b"{'a':1}",
            b'{"a":NaN}',
            b'{"a":-Infinity}',
            b'{"a":01}',
            b'{"a":"\x01"}',
            b'{"a":"\\q"}',
            b"\xef\xbb\xbf{}",
            b'{"a":"\xff"}',
            b"\xff",
            "{}".encode("utf-16"),
            b"\x00" * 100,
        ],
    )
    def test_values(self, value: bytes | None) -> None:
        """What is no JSON object in UTF-8 is undecodable."""
        assert refusal(value) == ["undecodable"]

    @pytest.mark.parametrize("broken", [b'"\xff"', b"NaN", b"tru", b'"\xed\xa0\x80"', b"1."])
    def test_skipped_members(self, broken: bytes) -> None:
        """A fact is not taken if a member that decides nothing spoils the JSON or the UTF-8."""
        value = encoded(snapshot())[:-1] + b',"note":' + broken + b"}"
        assert refusal(value) == ["undecodable"]

    def test_key(self) -> None:
        """A key that is not UTF-8 makes the record undecodable."""
        assert refused(snapshot(), b"taobao:\xff") == ["undecodable"]

    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
    def test_nesting(self, opening: str, closing: str) -> None:
        """The limit of nesting is exact, however deep our own stack is."""
        for depth, accepted in ((NESTING_MAX - 1, True), (NESTING_MAX, False), (100_000, False)):
            nested = (opening * depth + "0" + closing * depth).encode()
            value = encoded(snapshot())[:-1] + b',"note":' + nested + b"}"
            if accepted:
                assert decode_order(value, KEY, NOW_US) == decoded(snapshot())
            else:
                assert refusal(value) == ["undecodable"]

    def test_unclosed(self) -> None:
        """Brackets that are never closed are undecodable, in any number."""
        assert refusal(b"[" * 10**6) == refusal(b'{"a":' * 10**5) == ["undecodable"]

    def test_brackets_in_text(self) -> None:
        """Brackets inside of a text are no nesting."""
        fact = decoded(snapshot(note='[{"\\' * 1_000))
        assert fact == decoded(snapshot())

    @pytest.mark.parametrize("document", [None, 5, 1.5, "x", [], [{}], True])
    def test_parsed(self, document: object) -> None:
        """A parsed value that is no object is undecodable as well."""
        verdict = check_order(document, NOW_US)
        assert isinstance(verdict, list)
        assert codes(verdict) == ["undecodable"]


class TestEnvelope:
    """Schema, kind, key."""

    @pytest.mark.parametrize("value", ["order-event/2", "", 1, [], {}, True])
    def test_unknown_schema(self, value: object) -> None:
        """A schema other than ours is unknown, whatever its type."""
        assert refused(snapshot(schema=value)) == ["unknown-schema"]

    @pytest.mark.parametrize("value", ["bill.row", "order.bind", "", 1, [], {}])
    def test_unknown_kind(self, value: object) -> None:
        """A kind that the contract does not name is unknown, whatever its type."""
        assert refused(snapshot(kind=value)) == ["unknown-kind"]

    @pytest.mark.parametrize("value", [None, ...])
    def test_missing(self, value: object) -> None:
        """An absent schema or kind is missing."""
        assert refused(snapshot(schema=value)) == ["missing-schema"]
        assert refused(snapshot(kind=value)) == ["missing-kind"]
        assert refused(snapshot(schema=value, kind=value)) == ["missing-schema", "missing-kind"]

    @pytest.mark.parametrize(
        "key", [None, b"", b"taobao", b"taobao:1", b"jd:3901000000000000011", KEY + b" ", b" " + KEY]
    )
    def test_key_mismatch(self, key: bytes | None) -> None:
        """The key has to be that of the fact."""
        for document in (snapshot(), refund(), punish(), claim()):
            assert refused(document, key) == ["key-mismatch"]

    @pytest.mark.parametrize(("value", "code"), [(None, "missing"), (..., "missing"), (5, "invalid")])
    @pytest.mark.parametrize("member", ["platform", "order_line_id"])
    def test_no_key_to_compare(self, member: str, value: object, code: str) -> None:
        """A fact that does not say its key has the fault of the member, not of the key."""
        assert refused(snapshot(**{member: value})) == [f"{code}-{member}"]
        assert refused(snapshot(**{member: value}), None) == [f"{code}-{member}"]

    def test_ill_formed_key(self) -> None:
        """An ill-formed platform or line is a fault, even if the key has the same."""
        assert refused(snapshot(platform="Taobao"), b"Taobao:3901000000000000011") == ["invalid-platform"]
        assert refused(snapshot(platform="a:b"), b"a:b:3901000000000000011") == ["invalid-platform"]
        assert refused(snapshot(platform="x" * 17)) == ["key-mismatch", "invalid-platform"]
        for line in ("", "a b", "x" * 65, "a:b", "单", "\n1", "1\n"):
            document = snapshot(order_line_id=line)
            assert refused(document, f"taobao:{line}".encode()) == ["invalid-order_line_id"]

    def test_half_a_pair(self) -> None:
        """Half of a surrogate pair in an id is a fault of the id."""
        assert refused(snapshot(order_line_id="\ud800")) == ["key-mismatch", "invalid-order_line_id"]


#: Members of each kind in the order of docs/spec/facts.md#order-facts, with values that cannot be used.
INVALID: list[tuple[dict[str, Any], str, list[Any]]] = [
    (snapshot(), "seq", ["x", 5, [], True]),
    (
        snapshot(),
        "seq.modified_at",
        ["", "2026-01-10", "2026-01-10 03:22:40+08:00", 5, {}, "2026-01-10T03:22:40"],
    ),
    (snapshot(), "seq.fetch_seq", [-1, 1.0, True, "1", 2**63, 10**40, []]),
    (snapshot(), "currency", ["USD", "cny", "", 1]),
    (snapshot(), "amounts", ["x", 5, []]),
    (snapshot(), "amounts.est_commission", [1791.0, 1e3, "1791", True, 10**9 + 1, -(10**9) - 1, 10**40]),
    (snapshot(), "times", ["x", 5, []]),
    (snapshot(), "times.paid", ["--", "", 1767442431, "2026-01-03", "2026-02-30T00:00:00Z"]),
    (snapshot(), "amounts.settled_commission", [1701.5, "x", 10**9 + 1]),
    (snapshot(), "amounts.service_fee", [-1, 10**9 + 1, 0.5]),
    (snapshot(), "times.settled", ["--", 0, False]),
    (snapshot(), "times.expected_settle", ["2026-02-20T00:00:00+08:00", "20260220", 20260220, "2026-02-30"]),
    (snapshot(), "attribution", ["x", 5, []]),
    (snapshot(), "attribution.user_id", ["a b", "u/1", "x" * 129, "用户", 5, "u\n"]),
    (snapshot(), "attribution.special_id", [2880001234, 0, " ", "a b", "a\tb", "x" * 129, []]),
    (snapshot(), "attribution.sub_union_id", ["a\x00", "a\x7f", "a\x85", "a\u3000b", "a\u00a0b"]),
    (snapshot(), "attribution.custom_uid", ["a\n", "\ud800", "\u2028"]),
    (snapshot(), "attribution.relation_id", [1.5, True, {}]),
    (snapshot(), "attribution.pid", ["mm_1_2_3 ", 123]),
    (refund(), "suit_id", ["", "a b", "x" * 65, 90000000001, "单"]),
    (refund(), "refund_status", ["OPEN", "", "settled", 4]),
    (refund(), "net_refund", [-1, 5.10, "510", 10**9 + 1, True]),
    (refund(), "modified_at", ["", "2026-01-23", 5]),
    (punish(), "punish_status", ["", "open", 2]),
    (punish(), "modified_at", ["x", None.__class__.__name__, []]),
    (claim(), "user_id", ["", "a b", 5, "x" * 129]),
    (claim(), "claimed_at", ["", 5, "2026-01-23T11:05:03"]),
]
INVALID_CASES = [(document, member, value) for document, member, values in INVALID for value in values]


class TestMembers:
    """Needed and ill-formed members."""

    @pytest.mark.parametrize(("document", "member", "value"), INVALID_CASES)
    def test_invalid(self, document: dict[str, Any], member: str, value: object) -> None:
        """A member that cannot be used is named, alone."""
        assert refused(bent(document, **{member.replace(".", "__"): value})) == [f"invalid-{member}"]

    @pytest.mark.parametrize("value", ["SETTLED", "", "paid ", 12, [], {}])
    def test_invalid_status(self, value: object) -> None:
        """A status that is none of ours is named; what it would need is not checked."""
        assert refused(snapshot(status=value)) == ["invalid-status"]

    @pytest.mark.parametrize(
        ("document", "member"),
        [
            (snapshot(), "seq.modified_at"),
            (snapshot(), "status"),
            (snapshot(), "currency"),
            (refund(), "suit_id"),
            (refund(), "refund_status"),
            (refund(), "net_refund"),
            (refund(), "modified_at"),
            (punish(), "punish_status"),
            (punish(), "modified_at"),
            (claim(), "user_id"),
            (claim(), "claimed_at"),
        ],
    )
    @pytest.mark.parametrize("value", [None, ...])
    def test_missing(self, document: dict[str, Any], member: str, value: object) -> None:
        """A needed member that is absent or null is named."""
        assert refused(bent(document, **{member.replace(".", "__"): value})) == [f"missing-{member}"]

    @pytest.mark.parametrize("status", ["paid", "received", "settled", "punished"])
    def test_needs_of_priced(self, status: str) -> None:
        """What is to be priced needs an estimate and a paid time."""
        bare = snapshot(status=status, times__expected_settle=...)
        assert refused(bent(bare, amounts__est_commission=...)) == ["missing-amounts.est_commission"]
        assert refused(bent(bare, times__paid=None)) == ["missing-times.paid"]

    def test_needs_of_settled(self) -> None:
        """What is settled needs the settled commission, though 0 is its default elsewhere."""
        settled = snapshot(times__expected_settle=..., amounts__settled_commission=...)
        assert refused(settled) == ["missing-amounts.settled_commission"]
        assert decoded(bent(settled, status="received"))

    @pytest.mark.parametrize("status", ["created", "paid", "received", "closed", "unknown"])
    def test_needs_of_a_date(self, status: str) -> None:
        """Where there is an expected date the settled commission is needed, whatever the status."""
        document = snapshot(status=status, amounts__settled_commission=...)
        assert refused(document) == ["missing-amounts.settled_commission"]

    def test_absent_parents(self) -> None:
        """An absent parent is its missing children, in the order of the contract."""
        assert refused(snapshot(seq=..., amounts=None, times=...)) == [
            "missing-seq.modified_at",
            "missing-amounts.est_commission",
            "missing-times.paid",
            "missing-amounts.settled_commission",
        ]
