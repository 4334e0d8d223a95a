"""After an update, records of the older version are audited in their own format."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from rebate_app.audit.older_formats import is_older_form
from rebate_app.domain.account.account import Profiles
from rebate_app.domain.money_out.withdrawal import Withdrawal
from rebate_app.domain.order.line import LineState, TimelineEntry
from rebate_app.wire.internal import is_internal, without_moment
from tables.accounts import ENTRY, HEAD, PROFILES
from tables.kinds import is_order_line
from tables.money_out import WITHDRAWAL
from tables.order_lines import LINE as ORDER_LINE
from tests.audit.list_logs import ListLogs, audit, only
from tests.audit.worlds import send_feed
from tests.domain.world import World
from tests.topology_driver import ACCOUNTS, LINES, TOPICS, TopologyDriver

ENTRY_MEMBERS, MOMENT_MEMBERS, TIMELINE = 11, 6, 13  # of version 1; the place of `timeline` in a line
OWN_LINE_MEMBERS = 11
HEAD_MEMBERS = 11  # of format 1: without what is frozen and withdrawn


def age(stream: TopologyDriver) -> None:
    """Rewrite everything as the version before would have written it."""
    for number in range(stream.partitions):
        for record in stream.log(TOPICS.user_log, number):
            if record.value is not None and is_internal(record.value):
                record.value = without_moment(record.value)
        accounts, lines = stream.stores[ACCOUNTS, number], stream.stores[LINES, number]
        entries = {key: older_entry(value) for key, value in accounts.items() if key.startswith(b"e ")}
        heads = {key: older_head(value) for key, value in accounts.items() if key.startswith(b"h ")}
        own_lines = {key: older_own_line(value) for key, value in accounts.items() if key.startswith(b"l ")}
        accounts.apply(entries | heads | own_lines, accounts.position)
        states = {key: older_line(value) for key, value in lines.items() if is_order_line(key)}
        lines.apply(dict(states), lines.position)


def older_entry(value: bytes) -> bytes:
    """Return a ledger entry of format 1."""
    members: list[Any] = msgspec.json.decode(value)[:ENTRY_MEMBERS]
    return msgspec.json.encode([*members[:-1], 1])


def older_head(value: bytes) -> bytes:
    """Return the head of an account in format 1."""
    members: list[Any] = msgspec.json.decode(value)[:HEAD_MEMBERS]
    return msgspec.json.encode([1, *members[1:]])


def older_own_line(value: bytes) -> bytes:
    """Return a line of an account without the member for repricings."""
    return msgspec.json.encode(msgspec.json.decode(value)[:OWN_LINE_MEMBERS])


def older_line(value: bytes) -> bytes:
    """Return a line whose time line has no moments of the network."""
    members: list[Any] = msgspec.json.decode(value)
    members[TIMELINE] = [moment[:MOMENT_MEMBERS] for moment in members[TIMELINE]]
    return msgspec.json.encode(members)


def run_partly(world: World, seed: int) -> None:
    """Process about half of what waits, each step as the version before."""
    rng = random.Random(seed)
    for _ in range(60):
        works = world.stream.waiting()
        if not works:
            return
        work = rng.choice(works)
        world.stream.step(work.stage, work.partition, rng.randint(1, 7))
        age(world.stream)


@pytest.fixture
def updated() -> World:
    """Return a world at rest whose first half was processed by the version before."""
    world = send_feed(11)
    run_partly(world, 11)
    assert world.stream.waiting()
    world.stream.run(random.Random(11))
    return world


@pytest.fixture
def old() -> World:
    """Return a world at rest that the version before processed."""
    world = send_feed(12)
    while world.stream.waiting():
        run_partly(world, 12)
    return world


def records(world: World, stage: str, number: int) -> dict[bytes, bytes]:
    """Return the records of a partition."""
    return dict(world.stream.stores[stage, number].items())


class TestUpdated:
    """Old and new records beside each other."""

    def test_there_is_no_difference(self, updated: World) -> None:
        """Neither old messages nor old records are faults."""
        formats = set()
        for number in range(updated.stream.partitions):
            for key, value in records(updated, ACCOUNTS, number).items():
                if key.startswith(b"e "):
                    formats.add(ENTRY.decode(value, key).format)
        assert formats == {1, 3}
        assert audit(ListLogs(updated.stream)).differences == 0

    def test_a_whole_log_of_the_version_before(self, old: World) -> None:
        """The same where nothing new has come since."""
        assert {old.head(user_id).format for user_id in old.users()} == {1}
        assert audit(ListLogs(old.stream)).differences == 0

    def test_an_old_entry_with_another_amount_is_found(self, updated: World) -> None:
        """Only the moment is left aside: one fen in an old entry is a difference."""
        number, key, value = next(
            (number, key, value)
            for number in range(updated.stream.partitions)
            for key, value in sorted(records(updated, ACCOUNTS, number).items())
            if key.startswith(b"e ") and ENTRY.decode(value, key).format == 1
        )
        entry = msgspec.structs.replace(ENTRY.decode(value, key), estimated=4_711)
        logs = ListLogs(updated.stream)
        damaged = msgspec.json.encode(list(msgspec.structs.astuple(entry))[:ENTRY_MEMBERS])
        logs.damage[TOPICS.accounts.changelog, number] = {key: damaged}
        assert (only(audit(logs)).kind, only(audit(logs)).key) == ("changed-record", key.decode())

    @pytest.mark.parametrize(("member", "value"), [("withdrawn", 1), ("frozen", 1), ("estimated", 4_711)])
    def test_an_old_head_with_another_amount_is_found(self, old: World, member: str, value: int) -> None:
        """An old head has nothing frozen or withdrawn, and all else as the facts make it."""
        user_id = min(old.users())
        head = msgspec.structs.replace(old.head(user_id), **{member: value})
        logs = ListLogs(old.stream)
        number = old.stream.partition_of(user_id)
        logs.damage[TOPICS.accounts.changelog, number] = {HEAD.key(user_id): msgspec.json.encode(head)}
        assert only(audit(logs)).key == f"h {user_id}"

    def test_a_new_entry_without_its_moment_is_found(self, updated: World) -> None:
        """An entry of today's format has to have the moment that the facts make."""
        number, key, value = next(
            (number, key, value)
            for number in range(updated.stream.partitions)
            for key, value in sorted(records(updated, ACCOUNTS, number).items())
            if key.startswith(b"e ") and ENTRY.decode(value, key).modified_at is not None
        )
        logs = ListLogs(updated.stream)
        damaged = msgspec.json.encode(msgspec.structs.replace(ENTRY.decode(value, key), modified_at=None))
        logs.damage[TOPICS.accounts.changelog, number] = {key: damaged}
        assert only(audit(logs)).key == key.decode()

    def test_an_old_line_with_another_state_is_found(self, updated: World) -> None:
        """Everything in an old line is compared, except for moments that it lacks."""
        number, key, value = next(
            (number, key, value)
            for number in range(updated.stream.partitions)
            for key, value in sorted(records(updated, LINES, number).items())
            if is_order_line(key) and len(ORDER_LINE.decode(value, key).timeline) > 1
        )
        state = ORDER_LINE.decode(older_line(value), key)
        for damaged in (
            msgspec.structs.replace(state, sent_offset=4_711),
            msgspec.structs.replace(state, timeline=state.timeline[1:]),
            msgspec.structs.replace(
                state, timeline=[msgspec.structs.replace(each, modified_at=1) for each in state.timeline]
            ),
        ):
            logs = ListLogs(updated.stream)
            logs.damage[TOPICS.order_lines.changelog, number] = {key: msgspec.json.encode(damaged)}
            assert only(audit(logs)).key == key.decode()

    def test_older_profile_facts_do_not_name_their_sender(self) -> None:
        """A sender may be missing, another one is a difference, and so is another fact."""
        expected = Profiles(facts=[(1, "vip", None), (2, "basic", None)], actors={1: "key:a", 2: "key:b"})
        key = PROFILES.key("u1")

        def is_older(**members: Any) -> bool:
            actual = msgspec.json.encode(msgspec.structs.replace(expected, **members))
            return is_older_form("accounts", key, actual, msgspec.json.encode(expected))

        assert is_older(actors={})
        assert is_older(actors={2: "key:b"})
        assert not is_older(actors={1: "key:x"})
        assert not is_older(actors={}, facts=[(1, "vip", None)])

    def test_an_older_moment_does_not_name_its_sender(self) -> None:
        """The same for the timeline of a line."""
        entry = TimelineEntry(1, "claim", "u1", 0, 0, 0, None, "key:a")

        def is_older(actor: str | None) -> bool:
            named = [msgspec.structs.replace(entry, actor=each) for each in (actor, "key:a")]
            actual, expected = (msgspec.json.encode(LineState(timeline=[each])) for each in named)
            return is_older_form("order_lines", b"taobao:1", actual, expected)

        assert is_older(None)
        assert not is_older("key:x")

    def test_older_withdrawals_have_no_moments(self) -> None:
        """Either may be missing, another one is a difference, and so is everything else."""
        whole = Withdrawal(1, "w1", 0, 100, "bank", "p1", "", "user:u1", 1, 2, 3, paid_at=4, returned_at=5)
        key, expected = WITHDRAWAL.key("u1", "w1"), msgspec.json.encode(whole)

        def is_older(**members: Any) -> bool:
            actual = msgspec.json.encode(msgspec.structs.replace(whole, **members))
            return is_older_form("accounts", key, actual, expected)

        shorter = msgspec.json.encode(msgspec.json.decode(expected)[:-2])
        assert is_older_form("accounts", key, shorter, expected)
        assert is_older(paid_at=0)
        assert not is_older(paid_at=3)
        assert not is_older(returned_at=6)
        assert not is_older(paid_at=0, amount=99)

    def test_what_cannot_be_decoded_is_no_older_record(self) -> None:
        """A damaged record is a difference, whatever table it is in."""
        for table, key in (("accounts", b"e u1 0"), ("order_lines", b"taobao:1"), ("accounts", b"h u1")):
            assert not is_older_form(table, key, b"[", b"[]")
