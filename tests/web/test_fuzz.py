"""Ten thousand mutated bodies through `POST /v1/orders`: accepted rightly or refused with a reason."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from rebate_app.web.context import Handler, HttpRequest, HttpResponse
from rebate_app.web.problems import PROBLEM_TYPE, ProblemError, problem_response
from rebate_app.web.resources.writes import post_orders, put_attribution, put_profile
from tests.conftest import SEED
from tests.web.facts import DISPUTED, Document, claim, paid, punish, received, settled
from tests.web.worlds import World

pytestmark = pytest.mark.asyncio

BODIES = 10_000
CHUNK = 500
SECONDS_MAX = 60.0  # a few seconds on an idle machine

FACTS: list[Callable[[], Document]] = [
    paid,
    settled,
    lambda: received(settled=1, times={"expected_settle": "2026-03-01"}),
    lambda: paid(attribution={"pid": "mm_1_2_3", "special_id": "7"}, item={"title": "鞋"}),
    lambda: dict(DISPUTED),
    lambda: punish("frozen", "2026-01-30T00:00:00Z"),
    lambda: claim("u9", "2026-01-04T00:00:00Z"),
]
DEEP = ("[" * 450 + "]" * 450, '{"a":' * 300 + "1" + "}" * 300)
STRINGS = ('"\\ud800"', '"\\u0000"', '"\\uD83D\\uDE00"', '"1791"')
NUMBERS = ("NaN", "1e999", "-Infinity", "1" * 5_000, "-0", "1.0", "1e2", "0x1", "01", str(2**63), "1791.0")
RAW = (*DEEP, *STRINGS, *NUMBERS, "tru")
MOMENTS = ("2026-01-01", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59")
TEXTS = ("", " ", "0", "x" * 129, "\x00", "a b", "用户", "\U0001f600", "../..", "u1", "taobao", "--")
INTEGERS = (0, -1, 1, 2**31, 2**53, 2**63, 10**9, 10**9 + 1, -(10**9) - 1)
SHAPES: tuple[Any, ...] = (None, True, False, 1.5, [], {}, [[]], {"": {}}, [None] * 50)
VALUES: tuple[Any, ...] = (*MOMENTS, "2026-02-30T00:00:00Z", *TEXTS, *INTEGERS, *SHAPES)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every place below a value."""
    if isinstance(value, dict):
        below = list(value.items())
    elif isinstance(value, list):
        below = list(enumerate(value))
    else:
        return []
    return [(value, key) for key, _ in below] + [place for _, child in below for place in places(child)]


def mutate_value(rng: random.Random, document: Any) -> None:
    """Change, drop, move or add members, at any depth."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        found = places(document)
        if not found:
            return
        container, key = rng.choice(found)
        what = rng.random()
        if what < 0.6:
            container[key] = deepcopy(rng.choice(VALUES))
        elif what < 0.8:
            del container[key]
        elif isinstance(container, dict):
            container[rng.choice(("events", "kind", "x", "user_id", "\x00", "seq"))] = deepcopy(
                rng.choice(VALUES)
            )
        else:
            container.append(deepcopy(rng.choice(VALUES)))


def mutate_bytes(rng: random.Random, body: bytes) -> bytes:
    """Cut, flip, repeat or replace bytes."""
    text = bytearray(body)
    for _ in range(rng.choice((1, 1, 3, 20))):
        at = rng.randrange(len(text) + 1)
        what = rng.random()
        if what < 0.3 and at < len(text):
            text[at] = rng.randrange(256)
        elif what < 0.5:
            del text[at : at + rng.randint(1, 30)]
        elif what < 0.7:
            text[at:at] = text[at : at + rng.randint(1, 30)]
        elif what < 0.9:
            text[at:at] = rng.choice((b"{", b"}", b"[", b'"', b"\\", b",", b"\xff", b"\xed\xa0\x80", b"\x00"))
        else:
            text[at:at] = rng.choice(RAW).encode()
    return bytes(text)


def make_body(rng: random.Random) -> bytes:
    """Return one mutated body: a fact or a batch, spoilt as a value, as text, or both."""
    facts: Any = [rng.choice(FACTS)() for _ in range(rng.choice((1, 1, 2, 5)))]
    for fact in facts:
        fact["order_line_id"] = str(rng.randrange(50))
    document: Any = {"events": facts} if rng.random() < 0.6 else facts[0]
    holder = [document]
    if rng.random() < 0.8:
        mutate_value(rng, holder)
    body = orjson.dumps(holder[0] if holder else None)
    if rng.random() < 0.2 and b":" in body:
        body = body.replace(b":17", b":" + rng.choice(RAW).encode(), 1)
    return mutate_bytes(rng, body) if rng.random() < 0.4 else body


def call_with(body: bytes, **params: str) -> HttpRequest:
    """Return the request that brings the body."""

    async def read() -> bytes:
        return body

    headers = {"Content-Type": "application/json"}
    return HttpRequest("POST", "/", params, {}, headers, "fuzz", read)


async def answer_of(world: World, handler: Handler, body: bytes, **params: str) -> HttpResponse:
    """Return the answer; only a problem of ours may be raised, which the server would send."""
    try:
        worker = world.workers[0]
        request = replace(call_with(body, **params), trail=worker.trail.request())
        return await handler(worker.context, request)
    except ProblemError as problem:
        return problem_response(problem, "fuzz")


def judge(answer: HttpResponse, sent: int) -> None:
    """Assert that an answer is a right one: all sent, or nothing sent and every reason said."""
    members = orjson.loads(answer.body)
    if answer.status == 202:
        assert members["accepted"] == sent
        return
    assert sent == 0
    assert answer.headers["Content-Type"] == PROBLEM_TYPE
    assert answer.status in (400, 413, 422), members
    assert "Traceback" not in members["detail"]
    if answer.status == 422:
        assert members["errors"]
        for error in members["errors"]:
            assert error.keys() == {"pointer", "code", "detail"}
            assert error["code"].isascii()
            assert len(error["detail"]) < 500


async def test_ten_thousand_mutated_bodies(world: World) -> None:
    """No exception, bounded time; what is accepted is what the line's agent accepts too, to the last fact."""
    rng = random.Random(f"{SEED} orders")
    sender = world.workers[0].sender
    sender.processes = False
    statuses: dict[int, int] = {}
    began = time.monotonic()
    for number in range(BODIES):
        body = make_body(rng)
        before = sender.sent
        answer = await answer_of(world, post_orders, body)
        judge(answer, sender.sent - before)
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        if number % CHUNK == 0:
            world.stream.run(rng)
    world.stream.run(rng)
    assert time.monotonic() - began < SECONDS_MAX
    assert [letter.headers for letter in world.stream.dead_letters] == []
    print(statuses)
    assert min(statuses[202], statuses[400], statuses[422]) > BODIES // 20


@pytest.mark.parametrize(
    ("handler", "params", "good"),
    [
        (
            put_profile,
            {"user_id": "u1"},
            {"level": "vip", "inviter_id": "u2", "effective_at": MOMENTS[1]},
        ),
        (put_attribution, {"attribution_id": "taobao:pid:p"}, {"user_id": "u1"}),
    ],
)
async def test_mutated_profiles_and_bindings(
    world: World, handler: Handler, params: dict[str, str], good: Document
) -> None:
    """The other writes: a thousand mutated bodies each."""
    rng = random.Random(f"{SEED} {sorted(params)}")
    sender = world.workers[0].sender
    for _ in range(1_000):
        document = dict(good)
        mutate_value(rng, document)
        body = orjson.dumps(document)
        body = mutate_bytes(rng, body) if rng.random() < 0.4 else body
        before = sender.sent
        judge(await answer_of(world, handler, body, **params), sender.sent - before)
    assert world.stream.dead_letters == []


async def test_ten_megabytes_are_refused_at_once(world: World) -> None:
    """A line of ten megabytes, nested or not, is refused in no time."""
    for body in (
        b" " * 10**7,
        b"[" * 10**7,
        b'{"events":[' + b"{}," * (10**6) + b"{}]}",
        b'"' + b"x" * 10**7 + b'"',
    ):
        began = time.monotonic()
        reply = await world.ask("POST", "/v1/orders", headers={"Content-Type": "application/json"}, body=body)
        assert reply.status == 413
        assert time.monotonic() - began < 5
