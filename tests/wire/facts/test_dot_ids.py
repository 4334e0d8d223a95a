"""`.` and `..` are no user ids at the borders; on the topics they are, as before.

See docs/spec/facts.md#order-facts and 9.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rebate_app.domain.facts import Attribution, Bind, Claim, Profile, Snapshot
from rebate_app.wire.facts.identifiers import path_segment
from rebate_app.wire.facts.order import check_order
from rebate_app.wire.facts.user import check_bind, check_profile, decode_user
from tests.wire.samples import NOW_US, claim, codes, decoded, jd_row, pdd_row, read_row, read_rows, snapshot

if TYPE_CHECKING:
    from pathlib import Path

DOTS = (".", "..")
LEVELS = {"basic"}
BIND_ID = "taobao:special_id:1"


def order_codes(document: dict[str, Any]) -> list[str]:
    """Return the reason codes of an order fact at a border."""
    verdict = check_order(document, NOW_US)
    return codes(verdict) if isinstance(verdict, list) else []


@pytest.mark.parametrize("dots", DOTS)
class TestBorders:
    """HTTP and files ask `check_order`, `check_profile` and `check_bind`."""

    @pytest.mark.parametrize("member", Attribution.__struct_fields__)
    def test_snapshots(self, tmp_path: Path, dots: str, member: str) -> None:
        """No member names them, since each may hold user ids (REBATE_USER_ID_FIELDS)."""
        document = snapshot(attribution={member: dots})
        assert order_codes(document) == [f"invalid-attribution.{member}"]
        (read,) = read_rows(tmp_path, "canonical", document)
        assert codes(read.faults) == [f"invalid-attribution.{member}"]
        assert order_codes(snapshot(attribution={member: f"...{dots}"})) == []

    def test_with_other_faults(self, dots: str) -> None:
        """They are named beside the other faults of the fact."""
        document = snapshot(attribution={"user_id": dots}, currency=None)
        assert order_codes(document) == ["missing-currency", "invalid-attribution.user_id"]

    def test_claims(self, dots: str) -> None:
        """Nobody claims in their name."""
        assert order_codes(claim(user_id=dots)) == ["invalid-user_id"]

    def test_profiles(self, dots: str) -> None:
        """They are neither members nor inviters."""
        found = check_profile({"user_id": dots, "level": "basic", "inviter_id": None}, levels=LEVELS)
        assert isinstance(found, list)
        assert codes(found) == ["invalid-user_id"]
        found = check_profile({"user_id": "mei", "level": "basic", "inviter_id": dots}, levels=LEVELS)
        assert isinstance(found, list)
        assert codes(found) == ["invalid-inviter_id"]

    def test_bindings(self, dots: str) -> None:
        """No attribution id is bound to them; an attribution id may hold them."""
        found = check_bind({"attribution_id": BIND_ID, "user_id": dots})
        assert isinstance(found, list)
        assert codes(found) == ["invalid-user_id"]
        bind = check_bind({"attribution_id": f"pdd:custom_uid:{dots}", "user_id": "mei"})
        assert bind == Bind(f"pdd:custom_uid:{dots}", "mei")

    def test_adapters(self, tmp_path: Path, dots: str) -> None:
        """A row that names them gets the attribution id of its pid."""
        fact = read_row(tmp_path, "pdd", pdd_row(custom_parameters=json.dumps({"uid": dots})))
        assert fact["attribution"] == {"pid": "8600001_250000001"}
        fact = read_row(tmp_path, "jd", jd_row(subUnionId=dots))
        assert fact["attribution"] == {"pid": "3000000001"}


@pytest.mark.parametrize("dots", DOTS)
class TestTopics:
    """An old log folds as it did."""

    def test_orders(self, dots: str) -> None:
        """Snapshots and claims on the topic name them as before."""
        fact = decoded(snapshot(attribution={"user_id": dots}))
        assert isinstance(fact, Snapshot)
        assert fact.attribution == Attribution(user_id=dots)
        fact = decoded(claim(user_id=dots))
        assert isinstance(fact, Claim)
        assert fact.user_id == dots

    def test_users(self, dots: str) -> None:
        """Profiles and bindings too."""
        profile = {"schema": "user-fact/1", "kind": "user.profile", "user_id": dots, "level": "basic"}
        fact = decode_user(json.dumps(profile).encode(), dots.encode(), 7)
        assert fact == Profile(dots, "basic", None, 7)
        bind = {"schema": "user-fact/1", "kind": "attribution.bind", "attribution_id": BIND_ID}
        value = json.dumps({**bind, "user_id": dots}).encode()
        assert decode_user(value, BIND_ID.encode(), 7) == Bind(BIND_ID, dots)


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("a.b", "a.b"),
        ("a@b", "a%40b"),
        ("张/?#%", "%E5%BC%A0%2F%3F%23%25"),
    ],
)
def test_path_segment(text: str, segment: str) -> None:
    """Whatever an id is, as a segment of a path no client resolves or splits it."""
    assert path_segment(text) == segment
