"""The fast path may only answer what the careful reading answers."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rebate_app.domain.facts import OrderFact
from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.wire.moments import parse_moment
from rebate_app.wire.order_check import NO_KEY, check_keyed_order
from rebate_app.wire.order_facts import check_order, decode_order, decode_order_carefully

from .samples import KEY, NOW_US, claim, encoded, punish, refund, snapshot

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**9, 10**9 + 1, 2**63 - 1, 2**63, 2**64, 10**40, 1.0, 0.5, 1e300]),
    st.sampled_from(
        ["", "0", "1", " ", "a b", "a\x00", "\ud800", "é", "\u3000", "x" * 128, "x" * 129, "u_1"]
    ),
    st.sampled_from(["paid", "created", "settled", "open", "frozen", "CNY", "order.claim", "order-event/1"]),
    st.sampled_from(
        ["2026-01-10T03:22:40Z", "2026-06-02T00:00:01Z", "2026-01-10", "2030-01-01T00:00:00+08:00"]
    ),
    st.sampled_from(["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+08:00", "2026-01-10T03:22:40.5-01:00"]),
    st.text(max_size=4),
    st.just([]),
    st.just({}),
    st.just({"a": [1, {"b": "\ud800"}]}),
    st.just(...),
)
PATHS = [
    *("schema", "kind", "platform", "order_line_id", "seq", "status", "currency", "amounts", "times"),
    *("attribution", "suit_id", "refund_status", "net_refund", "modified_at", "punish_status", "user_id"),
    *("claimed_at", "item", "platform_status", "parent_order_id", "status_reason", "whatever"),
    *("seq__modified_at", "seq__fetch_seq", "amounts__est_commission", "amounts__settled_commission"),
    *("amounts__service_fee", "times__paid", "times__settled", "times__expected_settle"),
    *(f"attribution__{name}" for name in ("user_id", "special_id", "sub_union_id", "custom_uid", "pid")),
]
SAMPLES = [snapshot(), snapshot(status="paid"), snapshot(status="created"), refund(), punish(), claim()]


def answer(decode: Any, value: bytes | None, key: bytes | None) -> OrderFact | list[Fault]:
    """Return the fact or the faults that a path answers."""
    try:
        fact: OrderFact = decode(value, key, NOW_US)
    except RefusedError as error:
        assert error.faults  # noqa: PT017 - a refusal is one of two good answers
        return error.faults
    return fact


def spoiled(document: dict[str, Any], members: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with members replaced where their parent still is an object."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    for path, value in members.items():
        parent, _, name = path.rpartition("__")
        home = copy.get(parent) if parent else copy
        if isinstance(home, dict):
            home.pop(name, None)
            if value is not ...:
                home[name] = deepcopy(value)
    return copy


@settings(max_examples=1_500)
@given(st.sampled_from(SAMPLES), st.dictionaries(st.sampled_from(PATHS), ODD, max_size=4), st.booleans())
@example(snapshot(), {"item": {"id": 2**70}, "platform_status": 1.0}, False)
@example(snapshot(), {"item": {"x": "\ud800"}, "platform_status": "3"}, True)
@example(snapshot(), {"item": ["y" * 1021]}, True)
@example(snapshot(), {"item": ["y" * 1020], "status_reason": ["x" * 1020]}, True)
def test_spoiled_members(document: dict[str, Any], members: dict[str, Any], ascii_only: bool) -> None:
    """Whatever stands in the members, decode, check and the careful reading say the same."""
    copy = spoiled(document, members)
    text = json.dumps(copy, ensure_ascii=ascii_only)
    value = text.encode("utf-8", "surrogatepass")
    assert answer(decode_order, value, KEY) == answer(decode_order_carefully, value, KEY)
    assert check_order(copy, NOW_US) == check_keyed_order(copy, NO_KEY, NOW_US)


@settings(max_examples=500)
@given(
    st.sampled_from(SAMPLES),
    st.integers(0),
    st.binary(max_size=3),
    st.integers(0, 8),
    st.none() | st.binary(),
)
def test_spoiled_bytes(document: dict[str, Any], place: int, put: bytes, cut: int, key: bytes | None) -> None:
    """Whatever bytes are put in place of others, and whatever the key is, both paths say the same."""
    value = encoded(document)
    place %= len(value)
    value = value[:place] + put + value[place + cut :]
    assert answer(decode_order, value, KEY) == answer(decode_order_carefully, value, KEY)
    assert answer(decode_order, value, key) == answer(decode_order_carefully, value, key)


def test_numbers_as_text() -> None:
    """Numbers in every spelling of JSON are judged alike by both paths."""
    spellings = [
        "1e2",
        "100.0",
        "-0",
        "1E+2",
        "1e999",
        "-1e999",
        "1" * 5_000,
        "1" * 400,
        "0.0",
        "1e-400",
        "01",
    ]
    for spelling in spellings:
        for member in (
            b'"est_commission": 1791',
            b'"fetch_seq": 918273',
            b'"status": "settled"',
            b'"schema"',
        ):
            name = member.partition(b":")[0]
            put = name + b": " + spelling.encode() + (b', "schema"' if name == b'"schema"' else b"")
            value = encoded(snapshot(item=1)).replace(member, put)
            item = encoded(snapshot(item=[12345])).replace(b"12345", spelling.encode())
            for text in (value, item):
                assert answer(decode_order, text, KEY) == answer(decode_order_carefully, text, KEY)


def test_truncated() -> None:
    """A fact that was cut off anywhere is undecodable by both paths."""
    value = encoded(snapshot(item={"title": "轻量跑鞋"}))
    for length in random.sample(range(len(value)), 100):
        faults = answer(decode_order, value[:length], KEY)
        assert faults == answer(decode_order_carefully, value[:length], KEY)
        assert isinstance(faults, list)
        assert faults[0].code == "undecodable"


def test_moment_of_the_record() -> None:
    """Both paths draw the line of the implausible at the same microsecond."""
    moment = parse_moment("2026-01-10T03:22:40+08:00")
    for record_us in range(moment - 86_400_000_002, moment - 86_399_999_998):
        fast, careful = (_accepts(decode, record_us) for decode in (decode_order, decode_order_carefully))
        assert fast == careful == (record_us >= moment - 86_400_000_000)


def _accepts(decode: Any, record_us: int) -> bool:
    """Return whether a snapshot is taken in a record of that moment."""
    try:
        decode(encoded(snapshot()), KEY, record_us)
    except RefusedError:
        return False
    return True
