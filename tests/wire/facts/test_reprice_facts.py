"""`account.reprice`, in and out (docs/spec/rules.md#repricing and docs/spec/facts.md#reason-codes)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from rebate_app.domain.facts import REPRICE_LINES_MAX, Reprice
from rebate_app.domain.faults import RefusedError
from rebate_app.wire.facts.user import check_reprice, decode_user, encode_reprice
from rebate_app.wire.moments import parse_moment
from tests.wire.samples import NOW_US, bent, codes, encoded

FROM, TO = "2026-01-01T00:00:00+08:00", "2026-02-01T00:00:00+08:00"
REPRICE = {
    "schema": "user-fact/1",
    "kind": "account.reprice",
    "user_id": "u1",
    "lines": ["taobao:1", "jd:a.b-_"],
    "paid_from": FROM,
    "paid_to": TO,
    "released": True,
    "reason": "资料导入得太晚",
}
WHOLE = Reprice("u1", ("taobao:1", "jd:a.b-_"), parse_moment(FROM), parse_moment(TO), True, "资料导入得太晚")


def refused(document: Any, key: bytes | None = b"u1") -> list[str]:
    """Return the reason codes of a record that is refused."""
    with pytest.raises(RefusedError) as error:
        decode_user(encoded(document), key, NOW_US)
    return codes(error.value.faults)


def checked(document: Any) -> list[str]:
    """Return the reason codes of a document at the border."""
    verdict = check_reprice(document)
    return codes(verdict) if isinstance(verdict, list) else []


class TestDecode:
    """Records of the user log."""

    def test_all_members(self) -> None:
        """Every member is read."""
        assert decode_user(encoded(REPRICE), b"u1", NOW_US) == WHOLE

    @pytest.mark.parametrize("nothing", [None, ...])
    def test_defaults(self, nothing: object) -> None:
        """Absent: all lines, no bounds, not the released ones."""
        bare = bent(REPRICE, lines=nothing, paid_from=nothing, paid_to=nothing, released=nothing)
        assert decode_user(encoded(bare), b"u1", NOW_US) == Reprice(
            "u1", None, None, None, False, WHOLE.reason
        )

    def test_equal_lines_count_once(self) -> None:
        """A line that is named twice is priced once."""
        fact = decode_user(encoded(bent(REPRICE, lines=["taobao:1", "taobao:1"])), b"u1", NOW_US)
        assert isinstance(fact, Reprice)
        assert fact.lines == ("taobao:1",)

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"user_id": ...}, ["missing-user_id"]),
            ({"user_id": "a b"}, ["key-mismatch", "invalid-user_id"]),
            ({"lines": []}, ["invalid-lines"]),
            ({"lines": "taobao:1"}, ["invalid-lines"]),
            ({"lines": ["taobao"]}, ["invalid-lines"]),
            ({"lines": ["taobao:1", 2]}, ["invalid-lines"]),
            ({"lines": [None]}, ["invalid-lines"]),
            ({"lines": {"taobao:1": 1}}, ["invalid-lines"]),
            ({"lines": [f"taobao:{n}" for n in range(REPRICE_LINES_MAX + 1)]}, ["limit-lines"]),
            ({"paid_from": "2026-01-01"}, ["invalid-paid_from"]),
            ({"paid_to": 5}, ["invalid-paid_to"]),
            ({"paid_to": FROM}, ["invalid-paid_to"]),
            ({"released": 1}, ["invalid-released"]),
            ({"released": "true"}, ["invalid-released"]),
            ({"reason": ...}, ["missing-reason"]),
            ({"reason": ""}, ["invalid-reason"]),
            ({"reason": "a\nb"}, ["invalid-reason"]),
            ({"reason": "x" * 257}, ["invalid-reason"]),
            (
                {"reason": 1, "lines": 1, "user_id": ...},
                ["missing-user_id", "invalid-lines", "invalid-reason"],
            ),
        ],
    )
    def test_refusals(self, changes: dict[str, Any], expected: list[str]) -> None:
        """Each bad member has its code, missing ones first."""
        assert refused(bent(REPRICE, **changes)) == expected

    def test_the_key_is_the_user(self) -> None:
        """A record under another key is refused."""
        assert refused(REPRICE, b"u2") == ["key-mismatch"]

    def test_as_many_lines_as_allowed(self) -> None:
        """The limit itself is accepted."""
        lines = [f"taobao:{n}" for n in range(REPRICE_LINES_MAX)]
        fact = decode_user(encoded(bent(REPRICE, lines=lines)), b"u1", NOW_US)
        assert isinstance(fact, Reprice)
        assert fact.lines == tuple(lines)


class TestBorder:
    """What HTTP and the command take."""

    def test_only_the_user_and_a_reason_are_needed(self) -> None:
        """The rest has defaults."""
        assert check_reprice({"user_id": "u1", "reason": "x"}) == Reprice("u1", None, None, None, False, "x")

    def test_unknown_members(self) -> None:
        """A typing error would widen the repricing unnoticed; the actor is the server's, whatever is sent."""
        assert checked({"user_id": "u1", "reason": "x", "paid_form": FROM}) == ["unknown-member"]
        assert checked({"user_id": "u1", "reason": "x", "actor": "cli:me"}) == []
        key, value = encode_reprice({"user_id": "u1", "reason": "x", "actor": "cli:me"}, "key:crm", "r1")
        assert (key, orjson.loads(value)["actor"]) == (b"u1", "key:crm")

    def test_dots_are_no_users(self) -> None:
        """Nor is anything that is no object a repricing."""
        assert checked({"user_id": "..", "reason": "x"}) == ["invalid-user_id"]
        assert checked([]) == ["undecodable"]
        assert checked({"user_id": "u1", "reason": "x", "kind": "user.profile"}) == ["unknown-kind"]

    def test_out_and_in(self) -> None:
        """What is sent is what is read, and who asked is in the value."""
        key, value = encode_reprice(REPRICE, "cli:lin")
        assert decode_user(value, key, NOW_US) == WHOLE
        assert b'"actor":"cli:lin"' in value
        assert b"actor" not in encode_reprice(REPRICE)[1]
