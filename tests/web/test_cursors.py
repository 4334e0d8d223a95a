"""Forged cursors: every list refuses what it did not give (docs/spec/http.md#resources)."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Iterator

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from agents.accounts import AccountsFold
from rebate_app.streams.task.stage import Record
from rebate_app.web.context import HttpRequest, HttpResponse
from rebate_app.web.cursors import make_cursor
from rebate_app.web.problems import ProblemError, problem_response
from rebate_app.web.request_params import CURSOR
from rebate_app.web.routes.table import ROUTES
from tests.web.facts import paid, profile
from tests.web.worlds import World

#: Lists whose cursors hold a key and no numbers: test_added_reads.py, test_withdrawals.py.
BY_KEY = {"invitees", "all-withdrawals", "all-adjustments", "all-openings"}
LISTS = {
    route.name: route for route in ROUTES if CURSOR in route.parameters_of("GET") and route.name not in BY_KEY
}
BUYERS = ("u1", "u2")
#: The name under which each list makes its cursors: route and subject.
OF_LIST = {
    "lines": "lines u1",
    "ledger": "ledger u1",
    "withdrawals": "withdrawals u1",
    "adjustments": "adjustments u1",
    "users": "users",
    "attributions": "unbound",
    "dead-letters": "dead-letters",
    "parked-keys": "parked-keys",
    "audit-trail": "audit-trail",
}
NUMBERS = {
    "lines": 1,
    "ledger": 1,
    "withdrawals": 1,
    "adjustments": 1,
    "users": 2,
    "attributions": 2,
    "dead-letters": 3,
    "parked-keys": 3,
    "audit-trail": 1,
}
#: Numbers between two of its cursors are places as well: offsets of records that are not selected.
BETWEEN = ("parked-keys", "audit-trail")
WITHOUT_BROKER = (
    "dead-letters",
)  # its places are checked on a real Kafka (tests/streams/failures/test_reasons.py)


class Lists(Struct):
    """A world with something in each list, and all cursors that each list gives."""

    world: World
    runner: asyncio.Runner
    given: dict[str, set[str]] = {}

    def ask(self, name: str, cursor: str | None, limit: int = 1, user_id: str = "u1") -> HttpResponse:
        """Return the answer of a list's handler, problems as they are sent."""

        async def no_body() -> bytes:
            return b""

        query = {"limit": str(limit)} | ({"unbound": "true"} if name == "attributions" else {})
        query |= {} if cursor is None else {"cursor": cursor}
        call = HttpRequest("GET", "/", {"user_id": user_id}, query, {}, "forged", no_body)
        try:
            return self.runner.run(
                _problem_or_response(LISTS[name].methods["GET"].handler(self.world.workers[0].context, call))
            )
        except ProblemError as problem:
            return problem_response(problem, "forged")

    def walk(self, name: str, limit: int, user_id: str = "u1") -> set[str]:
        """Return the cursors that a list gives with pages of that size."""
        cursors: set[str] = set()
        cursor: str | None = None
        while True:
            cursor = orjson.loads(self.ask(name, cursor, limit, user_id).body)["next_cursor"]
            if cursor is None:
                return cursors
            cursors.add(cursor)


async def _problem_or_response(answer: Awaitable[HttpResponse]) -> HttpResponse:
    return await answer


def _fill(world: World, patch: pytest.MonkeyPatch) -> None:
    """Give two users lines, each partition users and unbound ids, and park some of them."""
    users = [f"x{number}" for number in range(24)]
    world.users(*(profile(user_id) for user_id in users))
    for number in range(8):
        world.orders(
            *(paid(line_id=f"{buyer}-{number}", attribution={"user_id": buyer}) for buyer in BUYERS),
            *(paid(line_id=f"p{number}-{n}", attribution={"pid": f"p{number}-{n}"}) for n in range(3)),
        )
    for buyer in BUYERS:
        both = {"schema": "user-fact/1", "user_id": buyer, "actor": "key:x", "amount": 5}
        request = both | {"kind": "withdrawal.request", "channel": "bank", "payee_id": "p"}
        proposal = both | {"kind": "adjustment.propose", "reason_code": "other", "reason": "r"}
        world.users(*(request | {"withdrawal_id": f"w{number}"} for number in range(9)))
        world.users(*(proposal | {"adjustment_id": f"a{number}"} for number in range(9)))
    take = AccountsFold.take

    def raising(self: AccountsFold, record: Record) -> None:
        take(self, record)
        raise ZeroDivisionError

    with patch.context() as parking:
        parking.setattr(AccountsFold, "take", raising)
        world.users(*(profile(user_id, level="vip") for user_id in users[:9]))


@pytest.fixture(scope="module")
def lists() -> Iterator[Lists]:
    """All lists of a world of one worker."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:

        async def begin() -> World:
            world = World()
            _fill(world, patch)
            trail = world.workers[0].trail
            for number in range(9):
                await trail.write([trail.request().record(number)])
            return world

        found = Lists(runner.run(begin()), runner)
        for name in LISTS.keys() - WITHOUT_BROKER:
            found.given[name] = set().union(*(found.walk(name, limit) for limit in (1, 2, 7)))
            assert len(found.given[name]) > 3, name
        found.given["dead-letters"] = {make_cursor("dead-letters", 0, 1, 7)}
        yield found

        async def end() -> None:
            for worker in found.world.workers:
                await worker.stop()

        runner.run(end())


def judge(lists: Lists, name: str, cursor: str) -> None:
    """Assert that a list takes its own cursors, and refuses everything else as `invalid-cursor`."""
    answer = lists.ask(name, cursor)
    body = orjson.loads(answer.body)
    if cursor in lists.given[name]:
        assert answer.status == (503 if name in WITHOUT_BROKER else 200)
    elif name in BETWEEN and answer.status == 200:
        topics = lists.world.stream.topics
        if name == "audit-trail":
            assert _numbers(cursor)[0] <= len(lists.world.workers[0].trail.records)
            return
        table, partition, offset = _numbers(cursor)
        assert offset <= len(lists.world.stream.log((topics.orders, topics.user_log)[table], partition))
    elif name in WITHOUT_BROKER and answer.status == 503:
        assert make_cursor(OF_LIST[name], *_numbers(cursor)) == cursor
    else:
        assert (answer.status, body["code"]) == (400, "invalid-cursor"), (name, cursor, body)


def _numbers(cursor: str) -> tuple[int, ...]:
    data = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return tuple(map(int, data[6:].split(b".")))


NAMES = st.sampled_from(sorted(LISTS))


def test_every_list_is_here() -> None:
    """A list that is added without a forged cursor in this test fails here."""
    assert LISTS.keys() == OF_LIST.keys() == NUMBERS.keys()
    for route in LISTS.values():
        assert CURSOR in route.parameters_of("GET")


def test_each_list_refuses_the_cursors_of_all_others(lists: Lists) -> None:
    """Other lists' and other users' cursors are refused, its own are taken."""
    for name in LISTS:
        for other in LISTS:
            for cursor in lists.given[other]:
                judge(lists, name, cursor)
    for name in ("lines", "ledger"):
        others = lists.walk(name, 1, user_id="u2")
        assert others
        for cursor in others:
            judge(lists, name, cursor)


@given(name=NAMES, text=st.text(max_size=200))
def test_any_text(lists: Lists, name: str, text: str) -> None:
    """Any text whatever is refused."""
    judge(lists, name, text)


@given(
    name=NAMES,
    data=st.data(),
    at=st.integers(0, 60),
    kind=st.sampled_from(["flip", "cut", "add", "pad", "case"]),
)
def test_an_altered_cursor(lists: Lists, name: str, data: st.DataObject, at: int, kind: str) -> None:
    """A cursor with other bytes, or the same bytes spelled in another way, is refused."""
    cursor = data.draw(st.sampled_from(sorted(lists.given[name])))
    at %= len(cursor)
    letter = data.draw(st.sampled_from("ABab01-_=+/ \n!é\x00"))
    altered = {
        "flip": cursor[:at] + letter + cursor[at + 1 :],
        "cut": cursor[:at] + cursor[at + 1 :],
        "add": cursor[:at] + letter + cursor[at:],
        "pad": cursor + letter * data.draw(st.integers(1, 200)),
        "case": cursor.swapcase(),
    }[kind]
    judge(lists, name, altered)


NUMBER = st.integers(0, 4) | st.integers(0, 40) | st.integers(10**17, 10**19) | st.integers(-3, 2**70)


@settings(max_examples=600)
@given(name=NAMES, data=st.data())
def test_a_computed_cursor(lists: Lists, name: str, data: st.DataObject) -> None:
    """Who computes a cursor with our own code is refused as well, unless the list gives that very one."""
    count = NUMBERS[name]
    numbers = data.draw(st.lists(NUMBER, min_size=count, max_size=count))
    judge(lists, name, make_cursor(OF_LIST[name], *numbers))


@given(
    name=NAMES,
    of_list=st.sampled_from(["", *OF_LIST.values(), "lines u2", "ledger u2"]),
    numbers=st.lists(NUMBER, max_size=4),
)
def test_a_computed_cursor_of_any_list(lists: Lists, name: str, of_list: str, numbers: list[int]) -> None:
    """The same for another list's name, and for more or fewer numbers."""
    judge(lists, name, make_cursor(of_list, *numbers))


@given(
    name=NAMES,
    raw=st.binary(max_size=60) | st.sampled_from([b"1_0", b"01", b" 1", b"+1", b"1.", b"1e3", b"\xd9\xa1"]),
)
def test_a_cursor_whose_parts_are_no_numbers(lists: Lists, name: str, raw: bytes) -> None:
    """What bears the check of the list and no numbers is refused: nothing is read from it."""
    checked = urlsafe_b64decode(make_cursor(OF_LIST[name], 1) + "==")[:6]
    judge(lists, name, urlsafe_b64encode(checked + raw).decode().rstrip("="))
