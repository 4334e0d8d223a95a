"""Order, completeness and repetition of webhooks, against a model with failures and crashes anywhere."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rebate_app.webhooks.delivery import DELIVERED, REFUSED, RETRY
from tests.webhooks.model import EVENTS, RETRIES, World

USERS = [b"ann", b"bob", b"eve"]
Step = tuple[str, int, list[bool]]
ACTIONS = [
    *["happen"] * 4,
    *["read"] * 8,
    *["deliver"] * 3,
    *["fail"] * 3,
    "refuse",
    *["acknowledge"] * 5,
    *["wait"] * 2,
    *["commit"] * 2,
    "crash",
    "late",
    *["outage"] * 3,
    *["fall"] * 2,
    *["recover"] * 2,
]
steps = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS), st.integers(0, 1_000), st.lists(st.booleans(), min_size=0, max_size=6)
    ),
    min_size=1,
    max_size=60,
)


def take(world: World, step: Step) -> None:
    """Let one thing happen, if it can."""
    name, number, flags = step
    session = world.session
    if name == "happen":
        world.happen(USERS[number % len(USERS)])
    elif name == "read":
        world.read((EVENTS, EVENTS, *RETRIES)[number % 5])
    elif name in ("deliver", "fail", "refuse") and session.attempts:
        world.answer(number, {"deliver": DELIVERED, "fail": RETRY, "refuse": REFUSED}[name])
    elif name == "acknowledge" and session.copies:
        world.acknowledge(number)
    elif name == "wait":
        world.now += number * 1_000
    elif name == "commit":
        world.commit()
    elif name == "crash":
        world.crash(flags)
    elif name == "late":
        world.arrive_late()
    elif name == "outage":
        outage(world, number, flags)
    elif name == "fall":
        fall(world, number, flags)
    elif name == "recover":
        recover(world, number, flags)


def fall(world: World, number: int, flags: list[bool]) -> None:
    """Let what is due fail once more and fall into the next topic, and nobody commit that."""
    world.now += 60_000
    for topic in RETRIES[: 1 + number % 3]:
        while world.read(topic):
            pass
    while world.session.attempts:
        world.answer(0, RETRY)
    while world.session.copies and (number % 4 or len(world.session.copies) > 1):
        world.acknowledge(0)
    world.crash(flags)


def recover(world: World, number: int, flags: list[bool]) -> None:
    """Let some of what waits be delivered out of memory, the next of it fail again, and the worker die."""
    while world.session.copies:
        world.acknowledge(0)
    world.now += 600_000
    while world.read(EVENTS):
        pass
    for topic in RETRIES:  # the oldest copies only: what waits behind them is not read, but in memory
        world.read(topic)
    for _ in range(1 + number % 3):
        if world.session.attempts:
            world.answer(-1, DELIVERED)
    while world.session.attempts:
        world.answer(0, RETRY)
    while world.session.copies:
        world.acknowledge(0)
    if number % 2:
        world.commit()
    world.crash(flags)


def outage(world: World, number: int, flags: list[bool]) -> None:
    """Let events of one user fail, some copies be acknowledged in any order, and the worker die."""
    for _ in range(2 + number % 3):
        world.happen(USERS[number % 2])
    while world.read(EVENTS):
        pass
    while world.session.attempts:
        world.answer(number, RETRY)
    for count, flag in enumerate(flags):
        if flag and world.session.copies:
            world.acknowledge(number + count)
    if number % 3:
        world.commit()
    if number % 5:
        world.crash(flags[::-1])
    if number % 7 > 3:
        world.now += 10_000


class TestOrder:
    """Whatever happens in between, in the end every event has arrived, in order per user."""

    @settings(max_examples=400)
    @given(steps)
    def test_every_event_arrives_and_first_arrivals_are_in_order(self, happened: list[Step]) -> None:
        """No gap, no order turned round, whatever fails and whenever the worker dies."""
        world = World()
        for step in happened:
            take(world, step)
        world.drain()
        world.check()

    @settings(max_examples=150)
    @given(steps)
    def test_it_does_not_depend_on_bodies_in_memory(self, happened: list[Step]) -> None:
        """With no room to keep bodies, the events come from the retry topics, and the law is the same."""
        world = World(kept_bytes_max=0)
        for step in happened:
            take(world, step)
        world.drain()
        world.check()

    @settings(max_examples=150)
    @given(steps)
    def test_without_a_crash_nothing_is_sent_twice(self, happened: list[Step]) -> None:
        """Only a crash makes a duplicate: attempts that were answered are not repeated."""
        world = World()
        for step in happened:
            if step[0] not in ("crash", "outage", "fall", "recover"):
                take(world, step)
        world.drain()
        assert len(world.received) == len(set(world.received))
