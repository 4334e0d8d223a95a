"""Large values: the same verdict as the careful reading, in bounded time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rebate_app.domain.faults import RefusedError
from rebate_app.wire import large_values
from rebate_app.wire.facts.order import decode_order
from rebate_app.wire.facts.user import decode_user
from tests.streams.failures.poison import Poison, on_orders, on_user_log, order, profile, raw

NOW_US = 1_900_000_000_000_000
PAD = 3 * 1_048_576
LINE, USER = "taobao:1", "u1"


def with_pad(value: bytes, at: str = "") -> bytes:
    """Return a JSON object with a large member that decides nothing, at the top or within a member."""
    document = json.loads(value)
    (document[at] if at else document)["pad"] = {"list": [1, {"text": "中" * (PAD // 3)}]}
    return json.dumps(document, ensure_ascii=False).encode()


def verdict(poison: Poison) -> Any:
    """Return the fact, or the reasons."""
    decode = decode_order if poison.source == "orders" else decode_user
    try:
        return decode(poison.value, poison.key, NOW_US)
    except RefusedError as error:
        return [fault.code for fault in error.faults]


def objects() -> Iterator[Poison]:
    """Yield records whose value is a JSON object: good ones, and bad ones of every kind."""
    yield Poison("orders", "", LINE.encode(), raw(order(LINE)))
    yield Poison("orders", "", LINE.encode(), raw(order(LINE, item={"title": "x" * 2_000, "id": 1})))
    yield Poison("user_log", "", USER.encode(), raw(profile(USER)))
    for poison in (*on_orders(LINE), *on_user_log(USER)):
        if poison.value is not None and poison.value.endswith(b"}"):
            yield poison


@pytest.mark.parametrize("poison", list(objects()), ids=lambda poison: poison.reason or "good")
def test_what_decides_nothing_changes_no_verdict(poison: Poison) -> None:
    """A padded record is what it is without its padding."""
    value = poison.value or b""
    padded = Poison(poison.source, poison.reason, poison.key, with_pad(value))
    assert len(padded.value or b"") > large_values.WHOLE_BYTES_MAX
    assert verdict(padded) == verdict(poison)


def test_padding_within_a_member_changes_no_verdict() -> None:
    """The members of a member are read one by one as well."""
    good = Poison("orders", "", LINE.encode(), raw(order(LINE)))
    for member in ("seq", "amounts", "times", "attribution"):
        assert verdict(Poison("orders", "", good.key, with_pad(good.value or b"", member))) == verdict(good)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"status": "l" * PAD}, "invalid-status"),
        ({"schema": ["x" * PAD]}, "unknown-schema"),
        ({"kind": {"x": "y" * PAD}}, "unknown-kind"),
        ({"seq": {"modified_at": "2" * PAD}}, "invalid-seq.modified_at"),
        ({"seq": ["x" * PAD]}, "invalid-seq"),
        ({"amounts": {"est_commission": {"x": "1" * PAD}}}, "invalid-amounts.est_commission"),
        ({"attribution": {"user_id": "u" * PAD}}, "invalid-attribution.user_id"),
        ({"order_line_id": "1" * PAD}, "key-mismatch"),
    ],
)
def test_a_deciding_member_of_that_size_is_refused_as_what_it_is(members: dict[str, Any], code: str) -> None:
    """The first reason is that of the contract's order."""
    value = json.dumps(order(LINE) | members).encode()
    assert verdict(Poison("orders", code, LINE.encode(), value))[0] == code


@pytest.mark.parametrize(
    "value",
    [
        b"x" * PAD,
        b'{"a":"' + b"x" * PAD + b'\xff"}',
        b"[" + b"1," * PAD + b"1]",
        b'"' + b"x" * PAD + b'"',
        b"[" * PAD,
        b'{"pad":' + b"[" * PAD,
        b'{"schema":"order-event/1","pad":"' + b"x" * PAD,
    ],
    ids=["text", "not utf-8", "list", "string", "deep", "deep within", "broken off"],
)
def test_what_is_no_object_is_undecodable(value: bytes) -> None:
    """Whatever its size."""
    assert verdict(Poison("orders", "undecodable", LINE.encode(), value)) == ["undecodable"]


@pytest.mark.slow
def test_twenty_megabytes_of_small_values_do_not_become_objects() -> None:
    """They are skipped: reading them takes a fraction of what parsing takes."""
    item = b",".join([b'{"a":[1,"b"]}'] * 1_500_000)
    value = raw(order(LINE))[:-1] + b',"item":[' + item + b"]}"
    began = time.process_time()
    json.loads(value)
    parsing = time.process_time() - began
    began = time.process_time()
    fact = decode_order(value, LINE.encode(), NOW_US)
    assert time.process_time() - began < parsing / 3
    assert fact == decode_order(raw(order(LINE)), LINE.encode(), NOW_US)
