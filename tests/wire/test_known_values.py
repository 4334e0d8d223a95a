"""A refusal of a value out of a few known ones names all of them, and the one that was probably meant."""

from __future__ import annotations

from typing import Any

import pytest

from rebate_app.domain.facts import PUNISH_RANK, REFUND_RANK, STATUS_RANK
from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.wire.facts.order import check_order
from rebate_app.wire.facts.user import check_bind, check_profile, decode_user
from rebate_app.wire.known_values import LISTED_MAX, closest, hint
from tests.wire.samples import NOW_US, encoded, punish, refund, snapshot

PROFILE: dict[str, Any] = {"user_id": "u1", "level": "vip", "inviter_id": None}


def detail(faults: object, code: str) -> str:
    """Return the detail of the only fault with that code."""
    assert isinstance(faults, list)
    (fault,) = [fault for fault in faults if isinstance(fault, Fault) and fault.code == code]
    return fault.detail


class TestFacts:
    """The same sentence for HTTP, commands and dead letters: it is the fault's."""

    @pytest.mark.parametrize(
        ("document", "code", "suggestion", "known"),
        [
            (snapshot(schema="order-event/2"), "unknown-schema", "order-event/1", ["order-event/1"]),
            (snapshot(schema="Order-Event/1"), "unknown-schema", "order-event/1", ["order-event/1"]),
            (
                snapshot(kind="order.snapshots"),
                "unknown-kind",
                "order.snapshot",
                ["order.snapshot", "order.refund", "order.punish", "order.claim"],
            ),
            (snapshot(status="SETTLED"), "invalid-status", "settled", [*STATUS_RANK]),
            (refund(refund_status="sucess"), "invalid-refund_status", "success", [*REFUND_RANK]),
            (punish(punish_status="freezing"), "invalid-punish_status", None, [*PUNISH_RANK]),
            (snapshot(kind=5), "unknown-kind", None, ["order.snapshot", "order.refund"]),
        ],
    )
    def test_order_facts(
        self, document: dict[str, Any], code: str, suggestion: str | None, known: list[str]
    ) -> None:
        """Schema, kind and the statuses of each kind."""
        text = detail(check_order(document, NOW_US), code)
        assert f"known: {', '.join(known)}" in text
        assert ("did you mean" in text) == (suggestion is not None)
        assert suggestion is None or f"did you mean {suggestion}?" in text

    def test_user_facts_of_the_topic(self) -> None:
        """Kinds of the user log are other ones."""
        with pytest.raises(RefusedError) as refused:
            decode_user(encoded({"schema": "user-fact/1", "kind": "user.profil"}), b"u1", NOW_US)
        assert "did you mean user.profile? known: user.profile, attribution.bind" in str(refused.value)

    def test_the_schema_of_the_other_topic(self) -> None:
        """Sent to the wrong topic or command: no spelling would help."""
        text = detail(check_order({**PROFILE, "schema": "user-fact/1"}, NOW_US), "unknown-schema")
        assert text.endswith("it belongs to rebate-user-log; known: order-event/1")
        text = detail(check_bind({"schema": "order-event/1"}), "unknown-schema")
        assert text.endswith("it belongs to order_topic; known: user-fact/1")

    def test_a_level(self) -> None:
        """Levels are those of all loaded versions."""
        faults = check_profile({**PROFILE, "level": "VIP"}, levels={"vip", "basic", "plus"})
        assert detail(faults, "unknown-level").endswith("did you mean vip? known: basic, plus, vip")

    def test_a_field_of_an_attribution_id(self) -> None:
        """The fields are few as well."""
        faults = check_bind({"attribution_id": "taobao:specialid:1", "user_id": "u1"})
        assert "special_id, sub_union_id, custom_uid, relation_id, pid" in detail(
            faults, "invalid-attribution_id"
        )


class TestBounds:
    """A detail stays one readable sentence, and costs little, whatever was sent."""

    def test_long_values_are_not_compared(self) -> None:
        """Nobody misspells a kind with a megabyte."""
        assert closest("order.snapshot" * 100_000, ["order.snapshot"]) is None
        assert closest("", ["order.snapshot"]) is None

    def test_many_known_values_are_counted(self) -> None:
        """As with a rule folder of a hundred levels."""
        names = [f"level-{number:03d}" for number in range(LISTED_MAX + 80)]
        assert hint("x", names).endswith("level-019 and 80 more")
        assert hint("level-099x", names).startswith("did you mean level-099? known: level-000, ")
