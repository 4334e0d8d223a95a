"""The fast path may only answer what the careful reading answers."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rebate_app.domain.facts import OrderFact
from rebate_app.domain.faults import Fault, RefusedError
from rebate_app.wire.facts.order import check_order, decode_order, decode_order_by_reference
from rebate_app.wire.facts.order_check import NO_KEY, check_keyed_order
from rebate_app.wire.moments import parse_moment
from tests.wire.facts.odd_values import ODD, PATHS, SAMPLES, spoiled
from tests.wire.samples import KEY, NOW_US, encoded, snapshot


def answer(decode: Any, value: bytes | None, key: bytes | None) -> OrderFact | list[Fault]:
    """Return the fact or the faults that a path answers."""
    try:
        fact: OrderFact = decode(value, key, NOW_US)
    except RefusedError as error:
        assert error.faults  # noqa: PT017 - a refusal is one of two good answers
        return error.faults
    return fact


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
    assert answer(decode_order, value, KEY) == answer(decode_order_by_reference, value, KEY)
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
    assert answer(decode_order, value, KEY) == answer(decode_order_by_reference, value, KEY)
    assert answer(decode_order, value, key) == answer(decode_order_by_reference, value, key)


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
                assert answer(decode_order, text, KEY) == answer(decode_order_by_reference, text, KEY)


def test_truncated() -> None:
    """A fact that was cut off anywhere is undecodable by both paths."""
    value = encoded(snapshot(item={"title": "轻量跑鞋"}))
    for length in random.sample(range(len(value)), 100):
        faults = answer(decode_order, value[:length], KEY)
        assert faults == answer(decode_order_by_reference, value[:length], KEY)
        assert isinstance(faults, list)
        assert faults[0].code == "undecodable"


def test_moment_of_the_record() -> None:
    """Both paths draw the line of the implausible at the same microsecond."""
    moment = parse_moment("2026-01-10T03:22:40+08:00")
    for record_us in range(moment - 86_400_000_002, moment - 86_399_999_998):
        fast, careful = (_accepts(decode, record_us) for decode in (decode_order, decode_order_by_reference))
        assert fast == careful == (record_us >= moment - 86_400_000_000)


def _accepts(decode: Any, record_us: int) -> bool:
    """Return whether a snapshot is taken in a record of that moment."""
    try:
        decode(encoded(snapshot()), KEY, record_us)
    except RefusedError:
        return False
    return True
