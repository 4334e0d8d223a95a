"""Whatever comes in, the border answers with facts and refusals, never with an exception.

The seed is in the report of a failing test; `REBATE_TEST_SEED` sets another one.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from rebate_app.domain.faults import RefusedError
from rebate_app.networks import file_formats
from rebate_app.wire.facts.order import check_order, decode_order, encode_order
from rebate_app.wire.facts.user import check_bind, check_profile, decode_user
from rebate_app.wire.networks.file_reader import RowResult, read_facts
from tests.conftest import SEED
from tests.wire.networks.test_pages import jd_page, jd_result, pdd_page, taobao_page
from tests.wire.samples import (
    KEY,
    NOW_US,
    claim,
    jd_row,
    pdd_row,
    punish,
    read_text,
    refund,
    refund_row,
    snapshot,
    taobao_row,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MUTANTS = 10_000
CODES = {
    *("undecodable", "unknown-schema", "unknown-kind", "key-mismatch", "implausible-time", "network-error"),
    *("unknown-level", "self-invite", "unknown-member"),
}
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        1.5,
        -0.0,
        1e308,
        2**63,
        2**64,
        10**40,
        -(10**400),
        float("nan"),
        float("inf"),
    ),
    *(
        "",
        "0",
        "--",
        "NaN",
        "1e9",
        "\ud800",
        "\udfff\ud800",
        "\x00",
        " ",
        "１２",
        "x" * 5_000,
        "鞋" * 700,
        "9" * 5_000,
    ),
    *("2026-01-10 03:22:40", "2026-01-10T03:22:40+08:00", "9999-12-31T23:59:59Z", "0000-00-00 00:00:00"),
    *([], {}, [[]], [{}], {"a": {"b": []}}, ["\ud800"], {"\ud800": 1}, {"uid": {"uid": 1}}, [None] * 50),
]
SAMPLES: dict[str, list[Any]] = {
    "taobao": [
        *(taobao_row(), taobao_row(tk_status=3), refund_row(), taobao_page(taobao_row(), taobao_row())),
        {"tbk_order_refund_get_response": {"result": {"data": {"results": [refund_row(), refund_row()]}}}},
        {"error_response": {"code": 27, "msg": "Invalid session", "sub_msg": "x"}},
    ],
    "jd": [
        *(jd_row(), jd_row(validCode=17, payMonth=20260220), jd_page(jd_result(jd_row(), jd_row()))),
        *(jd_page(json.dumps(jd_result(jd_row()))), {"error_response": {"code": "19", "zh_desc": "x"}}),
    ],
    "pdd": [
        *(
            pdd_row(),
            pdd_row(order_status=5),
            pdd_page(pdd_row(), pdd_row()),
            pdd_page(pdd_row(), increment=False),
        ),
        {"error_response": {"error_code": 10019, "error_msg": "x"}},
    ],
    "canonical": [snapshot(item={"title": "鞋"}), refund(), punish(), claim()],
}
PROFILE = {
    "schema": "user-fact/1",
    "kind": "user.profile",
    "user_id": "u1",
    "level": "vip",
    "inviter_id": "u2",
}
BIND = {"schema": "user-fact/1", "kind": "attribution.bind", "attribution_id": "jd:none", "user_id": "u1"}


def mutant(sample: Any) -> Any:
    """Return a copy of a value with one to four places replaced, removed or doubled."""
    value = json.loads(json.dumps(sample))
    for _ in range(random.randint(1, 4)):
        places = list(_places(value))
        if not places:
            return random.choice(ODD)
        home, name = random.choice(places)
        what = random.random()
        if what < 0.7:
            home[name] = json.loads(json.dumps(random.choice(ODD)))
        elif what < 0.85:
            del home[name]
        elif isinstance(home, list):
            home.append(home[name])
        else:
            home[random.choice(["trade_id", "refund_suit_id", "error_response", "data", "x"])] = home[name]
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Return every place of a value: its container and its name there."""
    for name in (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    ):
        yield value, name
        yield from _places(value[name])


def text_mutant(sample: Any) -> bytes:
    """Return the JSON of a mutant, and every third time with bytes cut out or put in."""
    text = json.dumps(mutant(sample), ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    if random.random() < 0.33:
        place = random.randrange(len(text))
        put = random.choice(
            [b"", b"\xff", b"\x00", b"{", b"]", b'"', b"\\", b"1e999", b"\\ud800", b",", b"NaN"]
        )
        text = text[:place] + put + text[place + random.randrange(4) :]
    return text.replace(b"\n", b" ")


def assert_honest(read: RowResult) -> None:
    """Say that a row is a fact that can be sent, or has at least one reason from the contract."""
    assert (read.document is None) == bool(read.faults)
    for fault in read.faults:
        assert fault.code in CODES or fault.code == f"{fault.code.partition('-')[0]}-{fault.member}"
        assert fault.code in CODES or fault.code.startswith(("missing-", "invalid-"))
        fault.detail.encode()
    if read.document is not None:
        key, value = encode_order(read.document)
        assert decode_order(value, key, NOW_US) == check_order(read.document, NOW_US)


@pytest.mark.slow
@pytest.mark.parametrize("network", file_formats())
def test_lines(tmp_path: Path, network: str) -> None:
    """10,000 mutants, one a line: each is a fact or a refusal, and none is lost."""
    print(f"REBATE_TEST_SEED={SEED}")
    path = tmp_path / "mutants.ndjson"
    good = json.dumps(SAMPLES[network][0]).encode()
    mutants = [good, *(text_mutant(random.choice(SAMPLES[network])) for _ in range(MUTANTS))]
    path.write_bytes(b"\n".join(mutants))
    reads = list(read_facts(path, network, NOW_US))
    for read in reads:
        assert_honest(read)
    accepted = sum(read.document is not None for read in reads)
    assert accepted > MUTANTS / 50
    assert len(reads) - accepted > MUTANTS / 10
    rows = {read.row for read in reads}
    silent = [mutants[n] for n in range(len(mutants)) if n + 1 not in rows and mutants[n].strip()]
    assert [text for text in silent if not _is_page(text)] == []


def _is_page(text: bytes) -> bool:
    """Return whether a text may be a page without rows, which alone may say nothing."""
    return text.startswith(b"[") or b"response" in text or b"responce" in text


@pytest.mark.parametrize("network", file_formats())
def test_documents(tmp_path: Path, network: str) -> None:
    """Mutants as files of their own, printed or not: facts and refusals only."""
    print(f"REBATE_TEST_SEED={SEED}")
    for _ in range(300):
        text = text_mutant([random.choice(SAMPLES[network]) for _ in range(3)])
        if random.random() < 0.3:
            text = text.replace(b", ", b",\n")
        for read in read_text(tmp_path, network, text, random.choice(["x.json", "x.json", "x.gz"])):
            assert_honest(read)


@pytest.mark.slow
@pytest.mark.parametrize("decode", [decode_order, decode_user])
def test_records(decode: Callable[[bytes | None, bytes | None, int], object]) -> None:
    """10,000 mutants as records of a topic: a fact, or a refusal with at least one reason."""
    print(f"REBATE_TEST_SEED={SEED}")
    samples = SAMPLES["canonical"] if decode is decode_order else [PROFILE, BIND]
    facts = 0
    for _ in range(MUTANTS):
        key = random.choice([KEY, KEY, b"u1", b"jd:none", None, b"\xff", b""])
        try:
            decode(text_mutant(random.choice(samples)), key, random.choice([NOW_US, 0, -1000]))
            facts += 1
        except RefusedError as error:
            assert error.faults  # noqa: PT017 - a refusal is one of two good answers
    assert 0 < facts < MUTANTS


def test_values() -> None:
    """Mutants as parsed values: a fact, or at least one reason."""
    print(f"REBATE_TEST_SEED={SEED}")
    for _ in range(3_000):
        document = mutant(random.choice([*SAMPLES["canonical"], PROFILE, BIND]))
        for verdict in (
            check_order(document, NOW_US),
            check_profile(document, levels={"vip"}),
            check_bind(document),
        ):
            assert verdict != []


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 10_000_000,
        b'{"a":' * 2_000_000,
        b'{"trade_id":"' + b"x" * 10_000_000 + b'"}',
        b'{"trade_id":' + b"9" * 10_000_000 + b"}",
        b'{"estimateFee":0.' + b"9" * 10_000_000 + b',"promotion_amount":1e' + b"9" * 1_000 + b"}",
        b'{"order_sn":"' + b"\\ud800" * 1_500_000 + b'"}',
        json.dumps(snapshot(note="x" * 10_000_000)).encode(),
        json.dumps({"publisher_order_dto": [{"trade_id": 1, "x": "x" * 1_000}] * 10_000}).encode(),
        b'"' * 9_999_999,
        b" " * 10_000_000 + b"{",
    ],
    ids=lambda line: repr(line[:16]),
)
def test_ten_megabytes(tmp_path: Path, line: bytes) -> None:
    """A line of 10 MB, deep, long or endless, is a fact or a refusal like any other."""
    for network in file_formats():
        reads = read_text(tmp_path, network, line)
        assert reads
        assert len(reads) in (1, 10_000)
        assert_honest(reads[-1])
    with pytest.raises(RefusedError):
        decode_order(line, KEY if b"note" not in line[:1_000] else b"", NOW_US)
    with pytest.raises(RefusedError):
        decode_user(line, KEY, NOW_US)
