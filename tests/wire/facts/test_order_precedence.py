"""Which fault of a fact on `order_topic` comes first, and when its time is implausible.

See docs/spec/facts.md#reason-codes.
"""

from __future__ import annotations

from typing import Any

import pytest

from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.wire.facts.order import check_order, decode_order
from rebate_app.wire.moments import DAY_US, format_moment, parse_moment
from tests.wire.samples import KEY, NOW_US, decoded, encoded, punish, refund, refused, snapshot


class TestOrder:
    """Where several faults apply."""

    def test_everything_wrong(self) -> None:
        """Schema, kind, key, missing, invalid: each group in the order of the contract."""
        document = {
            "schema": "x",
            "kind": "order.snapshot",
            "platform": "TB",
            "order_line_id": "1",
            "seq": {"modified_at": 5, "fetch_seq": -1},
            "status": "settled",
            "amounts": {"service_fee": "x"},
            "times": {"settled": "x", "expected_settle": "x"},
            "attribution": {"pid": 5, "user_id": "a b"},
        }
        assert refused(document, b"other") == [
            "unknown-schema",
            "key-mismatch",
            "missing-currency",
            "missing-amounts.est_commission",
            "missing-times.paid",
            "missing-amounts.settled_commission",
            "invalid-platform",
            "invalid-seq.modified_at",
            "invalid-seq.fetch_seq",
            "invalid-amounts.service_fee",
            "invalid-times.settled",
            "invalid-times.expected_settle",
            "invalid-attribution.user_id",
            "invalid-attribution.pid",
        ]

    def test_time_is_last(self) -> None:
        """A moment too far ahead comes after everything else."""
        document = refund(modified_at="2030-01-01T00:00:00Z", net_refund=-1, suit_id=...)
        assert refused(document) == ["missing-suit_id", "invalid-net_refund", "implausible-time"]

    def test_details(self) -> None:
        """Each fault names its member and has one printable sentence, however odd the value."""
        with pytest.raises(RefusedError, match=r"invalid-attribution\.pid") as refusal_error:
            decode_order(encoded(snapshot(attribution={"pid": "\ud800" * 10_000})), KEY, NOW_US)
        (fault,) = refusal_error.value.faults
        assert fault.member == "attribution.pid"
        assert fault.detail.isascii()
        assert len(fault.detail) < 200


class TestTime:
    """A `modified_at` more than 24 hours after the record's own timestamp is refused."""

    @pytest.mark.parametrize(
        ("make", "member"),
        [(snapshot, "seq__modified_at"), (refund, "modified_at"), (punish, "modified_at")],
    )
    def test_bound(self, make: Any, member: str) -> None:
        """Exactly 24 hours are taken, a microsecond more is not."""
        last = make(**{member: format_moment(NOW_US + DAY_US)})
        late = make(**{member: format_moment(NOW_US + DAY_US + 1)})
        decoded(last)
        assert refused(late) == ["implausible-time"]
        assert not isinstance(check_order(last, NOW_US), list)
        verdict = check_order(late, NOW_US)
        assert verdict == [
            Fault(
                "implausible-time",
                member.replace("__", "."),
                f"{member.replace('__', '.')} is more than 24 h ahead",
            )
        ]

    def test_record_decides(self) -> None:
        """The same fact is refused in an early record and taken in a later one: a copy counts."""
        moment = parse_moment("2026-01-10T03:22:40+08:00")
        assert refused(snapshot(), record_us=moment - DAY_US - 1) == ["implausible-time"]
        assert decoded(snapshot(), record_us=moment - DAY_US)
