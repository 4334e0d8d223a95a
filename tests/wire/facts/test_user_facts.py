"""Profiles and bindings, in and out (docs/spec/facts.md#user-facts and docs/spec/facts.md#reason-codes)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rebate_app.domain.facts import ATTRIBUTION_FIELDS, Bind, Profile, UserFact
from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.wire.facts.unknown_members import FAULTS_MAX
from rebate_app.wire.facts.user import (
    attribution_id_ok,
    check_bind,
    check_profile,
    decode_user,
    encode_bind,
    encode_profile,
    user_id_ok,
)
from rebate_app.wire.moments import parse_moment
from tests.wire.samples import NOW_US, bent, codes, encoded

PROFILE = {
    "schema": "user-fact/1",
    "kind": "user.profile",
    "user_id": "u1",
    "level": "vip",
    "inviter_id": "u2",
    "effective_at": "2026-01-01T00:00:00+08:00",
}
BIND = {
    "schema": "user-fact/1",
    "kind": "attribution.bind",
    "attribution_id": "taobao:special_id:2880001234",
    "user_id": "u1",
}


def decoded(document: Any, key: str | None) -> UserFact:
    """Return the fact of a record."""
    return decode_user(encoded(document), None if key is None else key.encode(), NOW_US)


def refused(value: bytes | None, key: bytes | None = b"u1") -> list[str]:
    """Return the reason codes of a record that is refused."""
    with pytest.raises(RefusedError) as error:
        decode_user(value, key, NOW_US)
    return codes(error.value.faults)


class TestDecode:
    """Records of the user log."""

    def test_profile(self) -> None:
        """A profile has a user, a level, an inviter and a moment."""
        moment = parse_moment("2026-01-01T00:00:00+08:00")
        assert decoded(PROFILE, "u1") == Profile("u1", "vip", "u2", moment)

    @pytest.mark.parametrize("nothing", [None, ...])
    def test_defaults(self, nothing: object) -> None:
        """Without an inviter there is none; without a moment it is that of the record."""
        bare = bent(PROFILE, inviter_id=nothing, effective_at=nothing)
        assert decoded(bare, "u1") == Profile("u1", "vip", None, NOW_US)

    def test_epoch(self) -> None:
        """The moment 0 is a moment, and no default takes its place."""
        assert decoded(bent(PROFILE, effective_at="1970-01-01T00:00:00Z"), "u1") == Profile(
            "u1", "vip", "u2", 0
        )

    def test_self_invite(self) -> None:
        """On the topic a user who invites themselves is applied; the fold pays nobody twice."""
        assert decoded(bent(PROFILE, inviter_id="u1"), "u1") == Profile(
            "u1", "vip", "u1", parse_moment("2026-01-01T00:00:00+08:00")
        )

    def test_no_implausible_time(self) -> None:
        """A profile may begin in the future."""
        assert decoded(bent(PROFILE, effective_at="2999-01-01T00:00:00Z"), "u1")

    @pytest.mark.parametrize("user", ["u1", None, ...])
    def test_bind(self, user: str | None) -> None:
        """A binding names a user; null or nothing unbinds."""
        fact = decoded(bent(BIND, user_id=user), "taobao:special_id:2880001234")
        assert fact == Bind("taobao:special_id:2880001234", "u1" if user == "u1" else None)

    @pytest.mark.parametrize("kind", ["withdrawal.requested", "account.close", "order.snapshot", 5])
    def test_unknown_kind(self, kind: object) -> None:
        """Other kinds are unknown until an issue brings them."""
        assert refused(encoded(bent(PROFILE, kind=kind))) == ["unknown-kind"]

    @pytest.mark.parametrize("value", [None, b"", b"[]", b"null", b'{"a":NaN}', b"\xff", b"{" * 10_000])
    def test_undecodable(self, value: bytes | None) -> None:
        """What is no JSON object in UTF-8 is undecodable."""
        assert refused(value) == ["undecodable"]

    def test_key(self) -> None:
        """The key is the user id or the attribution id, and nothing else."""
        assert refused(encoded(PROFILE), b"\xff") == ["undecodable"]
        assert refused(encoded(PROFILE), None) == refused(encoded(PROFILE), b"u2") == ["key-mismatch"]
        assert refused(encoded(BIND), b"u1") == ["key-mismatch"]
        assert refused(encoded(bent(PROFILE, user_id=5))) == ["invalid-user_id"]

    def test_order(self) -> None:
        """Schema, kind, key, missing, invalid."""
        document = {"schema": "x", "kind": "user.profile", "user_id": "a b", "effective_at": 5}
        expected = [
            "unknown-schema",
            "key-mismatch",
            "missing-level",
            "invalid-user_id",
            "invalid-effective_at",
        ]
        assert refused(encoded(document)) == expected
        assert refused(b"{}") == ["missing-schema", "missing-kind"]
        assert refused(encoded({"schema": "user-fact/1", "kind": "attribution.bind"})) == [
            "missing-attribution_id"
        ]

    @pytest.mark.parametrize("level", ["", "x" * 65, "a\nb", "\ud800", "\x85", 5, []])
    def test_levels(self, level: object) -> None:
        """A level is 1-64 characters without control; a space and any script are fine."""
        assert refused(encoded(bent(PROFILE, level=level))) == ["invalid-level"]
        assert decoded(bent(PROFILE, level="超级 会员"), "u1")

    @pytest.mark.parametrize("inviter", ["", "a b", 5, "用户"])
    def test_inviters(self, inviter: object) -> None:
        """An inviter is a user id or null."""
        assert refused(encoded(bent(PROFILE, inviter_id=inviter))) == ["invalid-inviter_id"]


class TestIds:
    """Well-formed ids."""

    @pytest.mark.parametrize("text", ["u", "A.b_c@d-1", "0", "x" * 128])
    def test_users(self, text: str) -> None:
        """1-128 of A-Za-z0-9._@- are a user id."""
        assert user_id_ok(text)

    @pytest.mark.parametrize("text", ["", "a b", "a:b", "a/b", "x" * 129, "é", "u\n", "\ud800"])
    def test_no_users(self, text: str) -> None:
        """Everything else is none."""
        assert not user_id_ok(text)

    @pytest.mark.parametrize("field", ATTRIBUTION_FIELDS)
    def test_attribution_ids(self, field: str) -> None:
        """platform:field:value with a known field is an attribution id, colons in the value included."""
        for value in ("x", "a:b", "渠道一", "x" * 128):
            assert attribution_id_ok(f"jd:{field}:{value}")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "taobao",
            "taobao:none:",
            "taobao:none:x",
            "TB:none",
            ":none",
            "taobao:user_id:u1",
            "taobao:pid:",
            "taobao:pid:a b",
            "taobao:pid:a\n",
            f"taobao:pid:{'x' * 129}",
            "taobao:none\n",
            "taobao:pid",
            "toolongplatform12:none",
        ],
    )
    def test_no_attribution_ids(self, text: str) -> None:
        """Everything else is none."""
        assert not attribution_id_ok(text)
        assert codes_of(check_bind({"attribution_id": text, "user_id": "u1"})) == ["invalid-attribution_id"]

    def test_none(self) -> None:
        """platform:none is the attribution id of lines without any value."""
        assert attribution_id_ok("pdd:none")


class TestCheck:
    """Values by HTTP and from files."""

    def test_plain(self) -> None:
        """Neither schema nor kind is needed, and what is stated has to be right."""
        moment = parse_moment("2026-01-01T00:00:00+08:00")
        row = {"user_id": "u1", "level": "vip", "inviter_id": None}
        row["effective_at"] = "2026-01-01T00:00:00+08:00"
        assert check_profile(row, levels=None) == Profile("u1", "vip", None, moment)
        assert check_profile(PROFILE, levels={"vip"}) == Profile("u1", "vip", "u2", moment)
        assert codes_of(check_profile(BIND, levels=None)) == [
            "unknown-kind",
            "missing-level",
            "missing-inviter_id",
            "unknown-member",
        ]
        assert codes_of(check_bind({**BIND, "schema": "x"})) == ["unknown-schema"]
        assert check_bind({"attribution_id": "jd:none", "user_id": None}) == Bind("jd:none", None)

    def test_now(self) -> None:
        """An absent moment is the caller's."""
        row = {"user_id": "u1", "level": "a", "inviter_id": None}
        assert check_profile(row, levels=None, now_us=7) == Profile("u1", "a", None, 7)

    def test_rules_of_the_door(self) -> None:
        """By HTTP and from files a level has to be known, and nobody invites themselves."""
        row = {"user_id": "u1", "level": "gold", "inviter_id": "u1"}
        assert codes_of(check_profile(row, levels={"vip"})) == ["unknown-level", "self-invite"]
        assert codes_of(check_profile(row, levels=None)) == ["self-invite"]
        assert codes_of(check_profile({"user_id": "u1"}, levels=set())) == [
            "missing-level",
            "missing-inviter_id",
        ]
        assert codes_of(check_profile({"level": "vip", "inviter_id": ""}, levels=None)) == [
            "missing-user_id",
            "invalid-inviter_id",
        ]

    def test_what_is_left_out_is_not_null(self) -> None:
        """Null is no inviter, or nobody's id; an absent member is a fault."""
        assert codes_of(check_profile({"user_id": "u1", "level": "vip"}, levels=None)) == [
            "missing-inviter_id"
        ]
        assert codes_of(check_bind({"attribution_id": "jd:none"})) == ["missing-user_id"]

    def test_members_that_nothing_reads(self) -> None:
        """Every other member is refused, with the likeliest right name; many are counted."""
        row = {"user_id": "u1", "level": "vip", "inviter_id": None}
        for name, suggestion in (
            ("inviter", "did you mean inviter_id?"),
            ("Level", "did you mean level?"),
            ("effectiveAt", "did you mean effective_at?"),
            ("x" * 5_000, "the members here are "),
            ("\ud800", "the members here are "),
        ):
            (fault,) = refusal_of(check_profile(row | {name: 1}, levels=None))
            assert fault.code == "unknown-member"
            assert suggestion in fault.detail
            assert len(fault.member + fault.detail) < 400
        (fault,) = refusal_of(check_bind({"attribution_id": "jd:none", "user_id": None, "userid": "u1"}))
        assert "did you mean user_id?" in fault.detail
        many = refusal_of(check_profile(row | {f"x{number}": 1 for number in range(10_000)}, levels=None))
        assert len(many) == FAULTS_MAX
        assert f"{10_000 - FAULTS_MAX} more" in many[-1].detail

    def test_on_the_topic_nothing_is_stricter(self) -> None:
        """A profile without an inviter, or with members of its own, is a fact there as it was."""
        document = {"schema": "user-fact/1", "kind": "user.profile", "user_id": "u1", "level": "vip", "x": 1}
        assert decode_user(encoded(document), b"u1", 7) == Profile("u1", "vip", None, 7)

    @pytest.mark.parametrize("document", [None, 5, "x", []])
    def test_no_object(self, document: object) -> None:
        """A value that is no object is undecodable."""
        assert codes_of(check_profile(document, levels=None)) == ["undecodable"]
        assert codes_of(check_bind(document)) == ["undecodable"]


def refusal_of(verdict: object) -> list[Fault]:
    """Return the faults of a refusal."""
    assert isinstance(verdict, list)
    return verdict


def codes_of(verdict: object) -> list[str]:
    """Return the reason codes of a refusal."""
    return codes(refusal_of(verdict))


class TestEncode:
    """What is sent is what was checked."""

    def test_profile(self) -> None:
        """A profile is sent whole, and an absent moment stays absent: the record's counts then."""
        key, value = encode_profile({"user_id": "u1", "level": "会员", "x": 1})
        assert key == b"u1"
        assert json.loads(value) == {
            "schema": "user-fact/1",
            "kind": "user.profile",
            "user_id": "u1",
            "level": "会员",
            "inviter_id": None,
            "effective_at": None,
        }
        assert decode_user(value, key, 7) == Profile("u1", "会员", None, 7)
        key, value = encode_profile(PROFILE)
        assert decode_user(value, key, 7) == decoded(PROFILE, "u1")

    def test_bind(self) -> None:
        """A binding is sent with its user, or null."""
        key, value = encode_bind(BIND)
        assert decode_user(value, key, 7) == Bind("taobao:special_id:2880001234", "u1")
        key, value = encode_bind({"attribution_id": "jd:none"})
        assert (key, decode_user(value, key, 7)) == (b"jd:none", Bind("jd:none", None))
