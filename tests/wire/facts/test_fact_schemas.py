"""The JSON Schemas of facts accept exactly what the decoders accept (docs/spec/facts.md#schemas)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rebate_app.domain.facts import (
    ATTRIBUTION_FIELDS,
    PUNISH_RANK,
    REFUND_RANK,
    STATUS_RANK,
    Profile,
    UserFact,
)
from rebate_app.domain.faults import RefusedError
from rebate_app.wire import large_values
from rebate_app.wire.facts import order_check, unknown_members, user
from rebate_app.wire.facts.identifiers import DOT_IDS, match_level, match_value
from rebate_app.wire.facts.money import MONEY_MEMBERS
from rebate_app.wire.facts.order import decode_order
from rebate_app.wire.facts.order_check import dot_members
from rebate_app.wire.facts.schemas import SCHEMAS, order_event_schema, page, user_fact_schema
from rebate_app.wire.facts.text_types import DEFINITIONS
from rebate_app.wire.facts.user import decode_user
from rebate_app.wire.moments import parse_date, parse_moment
from tests.wire.facts.odd_values import ODD, PATHS, SAMPLES, spoiled
from tests.wire.samples import NOW_US, bent, claim, encoded, refund, snapshot

CHECKOUT = Path(__file__).parents[3]
ORDERS = Draft202012Validator(order_event_schema())
USERS = Draft202012Validator(user_fact_schema())
#: After every moment that a fact may have, so that no time is implausible.
END_US = parse_moment("9999-12-31T23:59:59Z")

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
REPRICE = {
    "schema": "user-fact/1",
    "kind": "account.reprice",
    "user_id": "u1",
    "lines": ["taobao:1"],
    "paid_from": "2026-01-01T00:00:00+08:00",
    "released": True,
    "reason": "late",
}
REPRICE_PATHS = ["user_id", "lines", "paid_from", "released", "reason", "note"]
LINES_ODD = st.sampled_from(
    [[], ["taobao:1", "jd:a.b"], ["taobao:"], [1], [None], ["taobao:1\n"], "taobao:1"]
)
USER_PATHS = ["schema", "kind", "user_id", "level", "inviter_id", "effective_at", "attribution_id", "note"]
USER_ODD = st.one_of(
    ODD,
    st.sampled_from(["vip", "x" * 64, "x" * 65, "a\nb", "vip\n", "u1\n", ".", "..", "\u7528\u6237", "a b"]),
    st.sampled_from(
        ["taobao:none", "jd:pid:1", "jd:pid:", "JD:none", "taobao:user_id:u1", "jd:pid:a b", "x:none\n"]
    ),
)

MONEY = [json.loads((CHECKOUT / f"examples/canonical/{kind}.ndjson").read_text()) for kind in MONEY_MEMBERS]
MONEY_PATHS = [*dict.fromkeys(name for fact in MONEY for name in fact), "note"]
PARTS_ODD = [
    [{"on": "2026-03-01", "amount": 1}],
    [{"on": "2026-02-30", "amount": 1}],
    [{"on": "2026-03-01"}],
    [1],
]
TEXTS_ODD = ["paid", "failed", "other", *("x" * count for count in (64, 65, 200, 201)), "a.b_c-d", "a\n"]
MONEY_ODD = st.sampled_from([*TEXTS_ODD, 0, -5, -(10**9), *PARTS_ODD])

AMOUNTS = st.none() | st.integers(-(10**9), 10**9) | st.integers()
MOMENTS = st.none() | st.datetimes().map(lambda moment: f"{moment.isoformat()}+08:00") | st.text(max_size=3)
DAYS = (
    st.none()
    | st.dates().map(str)
    | st.sampled_from(["2026-02-29", "2024-02-29", "2026-04-31", "0000-01-01"])
)
VALUES = st.none() | st.sampled_from(["", "0", ".", "u_10086", "mm_1_2_3"]) | st.text(max_size=5)
#: Snapshots of every status with members present, null and absent, most of them well-formed.
SNAPSHOTS = st.fixed_dictionaries(
    {
        "schema": st.just("order-event/1"),
        "kind": st.just("order.snapshot"),
        "platform": st.sampled_from(["taobao", "jd", "pdd", "vip7"]),
        "order_line_id": st.sampled_from(["3901000000000000011", "a.b_c-d"]),
        "seq": st.fixed_dictionaries(
            {"modified_at": MOMENTS}, optional={"fetch_seq": st.none() | st.integers()}
        ),
        "status": st.sampled_from([*STATUS_RANK, "verified"]),
        "currency": st.just("CNY"),
    },
    optional={
        "amounts": st.none()
        | st.dictionaries(st.sampled_from(["est_commission", "settled_commission", "service_fee"]), AMOUNTS),
        "times": st.none()
        | st.fixed_dictionaries({}, optional={"paid": MOMENTS, "settled": MOMENTS, "expected_settle": DAYS}),
        "attribution": st.none()
        | st.dictionaries(st.sampled_from(["user_id", *ATTRIBUTION_FIELDS, "claimed_user_id"]), VALUES),
    },
)


def text_of(document: Any) -> str:
    """Return the ASCII JSON text of a document."""
    return json.dumps(document)


def is_declared(document: Any) -> bool:
    """Return whether a schema may accept what the decoder refuses, as docs/spec/facts.md#schemas declares."""
    if isinstance(document, dict):
        return any(map(is_declared, document.values()))
    if isinstance(document, float):
        return document.is_integer()
    if isinstance(document, str):
        half_a_pair = any("\ud800" <= character <= "\udfff" for character in document)
        return half_a_pair or document.startswith(("0001-01-01", "9999-12-31"))
    return False


def order_is_accepted(document: dict[str, Any]) -> bool:
    """Return whether the decoder takes the fact, under the key that it has; `.` and `..` are no user ids."""
    key = f"{document.get('platform')}:{document.get('order_line_id')}"
    try:
        fact = decode_order(encoded(document), key.encode("utf-8", "surrogatepass"), END_US)
    except RefusedError:
        return False
    return not dot_members(fact)


def user_is_accepted(document: dict[str, Any]) -> bool:
    """Return whether the decoder takes the fact, under the key that it has; `.` and `..` are no user ids."""
    key = document.get("attribution_id" if document.get("kind") == "attribution.bind" else "user_id")
    try:
        fact: UserFact = decode_user(encoded(document), str(key).encode("utf-8", "surrogatepass"), NOW_US)
    except RefusedError:
        return False
    users = {fact.user_id, fact.inviter_id} if isinstance(fact, Profile) else {fact.user_id}
    return not users & DOT_IDS


class TestAgreement:
    """Random facts, valid and spoiled."""

    @settings(max_examples=600)
    @given(st.sampled_from(SAMPLES), st.dictionaries(st.sampled_from(PATHS), ODD, max_size=3))
    @example(snapshot(status="created"), {"amounts": None, "times__paid": None})
    @example(snapshot(), {"times__settled": "2026-02-29T00:00:00Z"})
    @example(snapshot(), {"seq__modified_at": "2026-01-10T03:22:40+08:00\n"})
    @example(claim(), {"user_id": ".."})
    @example(refund(), {"suit_id": "a\n"})
    def test_spoiled_order_facts(self, document: dict[str, Any], members: dict[str, Any]) -> None:
        """Whatever stands in the members, schema and decoder give one verdict."""
        fact = spoiled(document, members)
        if not is_declared(fact):
            assert ORDERS.is_valid(fact) == order_is_accepted(fact), text_of(fact)

    @settings(max_examples=600)
    @given(SNAPSHOTS)
    def test_snapshots_of_every_status(self, fact: dict[str, Any]) -> None:
        """What a status needs is needed by both."""
        if not is_declared(fact):
            assert ORDERS.is_valid(fact) == order_is_accepted(fact), text_of(fact)

    @settings(max_examples=400)
    @given(
        st.sampled_from([PROFILE, BIND]), st.dictionaries(st.sampled_from(USER_PATHS), USER_ODD, max_size=3)
    )
    def test_spoiled_user_facts(self, document: dict[str, Any], members: dict[str, Any]) -> None:
        """Profiles and bindings, too."""
        fact = spoiled(document, members)
        if not is_declared(fact):
            assert USERS.is_valid(fact) == user_is_accepted(fact), text_of(fact)

    @settings(max_examples=200)
    @given(st.dictionaries(st.sampled_from(REPRICE_PATHS), USER_ODD | LINES_ODD | st.booleans(), max_size=3))
    def test_spoiled_repricings(self, members: dict[str, Any]) -> None:
        """Repricings, too; whether `paid_to` is after `paid_from` is declared."""
        fact = spoiled(REPRICE, members)
        if not is_declared(fact):
            assert USERS.is_valid(fact) == user_is_accepted(fact), text_of(fact)

    @settings(max_examples=600)
    @given(
        st.sampled_from(MONEY),
        st.dictionaries(st.sampled_from(MONEY_PATHS), USER_ODD | MONEY_ODD, max_size=3),
    )
    def test_spoiled_facts_about_money_out(self, document: dict[str, Any], members: dict[str, Any]) -> None:
        """And all that is about money out."""
        fact = spoiled(document, members)
        if not is_declared(fact):
            assert USERS.is_valid(fact) == user_is_accepted(fact), text_of(fact)

    def test_both_verdicts_are_frequent(self) -> None:
        """A property about facts that are all refused would prove nothing."""
        verdicts = [ORDERS.is_valid(bent(snapshot(), status=status)) for status in [*STATUS_RANK, "lost"]]
        assert (verdicts.count(True), verdicts.count(False)) == (len(STATUS_RANK), 1)
        assert all(map(ORDERS.is_valid, SAMPLES))
        assert all(map(USERS.is_valid, [PROFILE, BIND, REPRICE, *MONEY]))


class TestTexts:
    """The regular expressions of the schemas beside the checks of the decoders."""

    @pytest.mark.parametrize(
        ("name", "accepts"), [("AttributionValue", match_value), ("LevelId", match_level)]
    )
    def test_every_character(self, name: str, accepts: Any) -> None:
        """Of all code points that are characters the same ones are taken."""
        found = re.compile(DEFINITIONS[name]["pattern"]).search
        line_break = re.compile(DEFINITIONS[name]["not"].get("pattern", "\n")).search
        characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
        taken = [each for each in characters if found(each) and not line_break(each)]
        assert taken == [each for each in characters if accepts(each)]

    def test_every_day(self) -> None:
        """The lengths of months, and leap years."""
        valid = Draft202012Validator(DEFINITIONS["Day"]).is_valid
        for year in (0, 1, 4, 100, 400, 1900, 1996, 2000, 2023, 2024, 2100, 9996, 9999):
            for month in range(14):
                for day in range(33):
                    text = f"{year:04d}-{month:02d}-{day:02d}"
                    assert valid(text) == _parses(parse_date, text), text

    @pytest.mark.parametrize(
        "text",
        [
            *("2026-01-10T03:22:40Z", "2026-01-10t03:22:40.123456789z", "2026-01-10T03:22:40-23:59"),
            *("2026-01-10T24:00:00Z", "2026-01-10T03:22:60Z", "2026-01-10T03:22:40", "2026-01-10 03:22:40Z"),
            *("2026-01-10T03:22:40.Z", "2026-01-10T03:22:40+0800", "2026-01-10T03:22:40+24:00", "\u0662026"),
        ],
    )
    def test_spellings_of_moments(self, text: str) -> None:
        """The same spellings are moments."""
        assert Draft202012Validator(DEFINITIONS["Moment"]).is_valid(text) == _parses(parse_moment, text)


class TestDeclared:
    """What a schema accepts and the decoder refuses: each exception is real, and documented."""

    @pytest.mark.parametrize(
        "fact",
        [
            snapshot(amounts__service_fee=170.0),
            snapshot(attribution__pid="a\ud800"),
            snapshot(seq__modified_at="0001-01-01T00:00:00+08:00"),
            snapshot(times__paid="9999-12-31T23:59:59-08:00"),
        ],
    )
    def test_order_facts(self, fact: dict[str, Any]) -> None:
        """1.0 as an integer, half a surrogate pair, the ends of the calendar."""
        assert is_declared(fact)
        assert ORDERS.is_valid(fact)
        assert not order_is_accepted(fact)

    def test_dots_are_users_on_the_topics_only(self) -> None:
        """Old logs have them; a schema is for those who write new facts."""
        fact = claim(user_id=".")
        assert not ORDERS.is_valid(fact)
        assert decode_order(encoded(fact), b"taobao:3901000000000000011", NOW_US)

    def test_a_time_ahead_is_not_the_business_of_a_schema(self) -> None:
        """It depends on the record's own timestamp."""
        fact = snapshot(seq__modified_at="2027-01-01T00:00:00Z")
        assert ORDERS.is_valid(fact)
        with pytest.raises(RefusedError, match="implausible-time"):
            decode_order(encoded(fact), b"taobao:3901000000000000011", NOW_US)


class TestFiles:
    """docs/schemas."""

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_they_are_fresh(self, name: str) -> None:
        """Else `python -m rebate_app.wire.facts.schemas docs/schemas`."""
        path = CHECKOUT / "docs" / "schemas" / f"{name}.json"
        assert path.read_text(encoding="utf-8") == page(name)
        assert path.read_bytes().isascii()

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_they_are_schemas(self, name: str) -> None:
        """By the rules of JSON Schema 2020-12; every definition is used, none is missing."""
        schema = SCHEMAS[name]()
        Draft202012Validator.check_schema(schema)
        text = json.dumps(schema)
        referred = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text))
        assert referred == schema.get("$defs", {}).keys()
        assert "_Wire" not in text

    @pytest.mark.parametrize(
        ("schema", "kinds"), [(order_event_schema(), order_check.KINDS), (user_fact_schema(), user.KINDS)]
    )
    def test_every_kind_is_there(self, schema: dict[str, Any], kinds: tuple[str, ...]) -> None:
        """A kind that the decoder learns has to be in its schema."""
        assert sorted(schema["discriminator"]["mapping"]) == sorted(kinds)

    def test_the_enumerations_are_those_of_the_domain(self) -> None:
        """Statuses of lines, refunds and punishments."""
        kinds = order_event_schema()["$defs"]
        for kind, member, ranks in (
            ("Snapshot", "status", STATUS_RANK),
            ("Refund", "refund_status", REFUND_RANK),
            ("Punish", "punish_status", PUNISH_RANK),
        ):
            assert sorted(kinds[kind]["properties"][member]["enum"]) == sorted(ranks)

    def test_the_members_are_those_of_the_other_tables(self) -> None:
        """What large values keep and what is known when a member is looked for."""
        order, users = order_event_schema()["$defs"], user_fact_schema()["$defs"]
        kinds = ("Snapshot", "Refund", "Punish", "Claim", "Profile", "Bind")
        members = {name for kind in kinds for name in ({**order, **users})[kind]["properties"]}
        assert members == set(large_values._MEMBERS)
        for parent, names in large_values._NESTED.items():
            assert set(names) == order[parent.title()]["properties"].keys()
            assert unknown_members._READ[parent] == set(names)
        for kind, name in order_event_schema()["discriminator"]["mapping"].items():
            own = order[name.rpartition("/")[2]]["properties"].keys()
            assert own <= unknown_members._SHARED | unknown_members._OF_KIND[kind] | {"status_reason"}


def _parses(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
