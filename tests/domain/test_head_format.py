"""The head of an account in its formats: an old head is read, and stays old until it changes."""

from __future__ import annotations

import msgspec

from rebate_app.domain.account.account import HEAD_FORMAT, Head
from tables.accounts import HEAD
from tests.domain.story import PAID, SETTLED, profile, world_of
from tests.domain.world import NOW_US, World
from tests.oracle.written import reprice
from tests.topology_driver import ACCOUNTS, TOPICS

FORMAT_1_MEMBERS = 11
USER = "u1"


def stored(world: World) -> bytes:
    """Return the bytes of the user's head."""
    value = world.stream.stores[ACCOUNTS, world.stream.partition_of(USER)].get(HEAD.key(USER))
    assert value is not None
    return value


def with_old_head() -> tuple[World, bytes]:
    """Return a world with a paid line, whose buyer's head is in format 1, and that head's bytes."""
    world = world_of(PAID)
    store = world.stream.stores[ACCOUNTS, world.stream.partition_of(USER)]
    members = msgspec.json.decode(stored(world))[1:FORMAT_1_MEMBERS]
    old = msgspec.json.encode([1, *members])
    store.apply({HEAD.key(USER): old}, store.position)
    return world, old


def repeat_targets(world: World) -> None:
    """Send every message of the user log again."""
    partition = world.stream.partition_of(USER)
    for record in list(world.stream.log(TOPICS.user_log, partition)):
        world.stream.log(TOPICS.user_log, partition).append(record)
    world.stream.run(lambda works: (works[0], works[0].waiting))


def test_a_head_of_format_1_has_nothing_frozen_or_withdrawn() -> None:
    """Members that the old format does not have are 0."""
    world, _ = with_old_head()
    head = world.head(USER)
    assert (head.format, head.frozen, head.withdrawn, head.estimated) == (1, 0, 0, 1_047)


def test_a_record_that_changes_nothing_leaves_an_old_head_as_it_is() -> None:
    """A repeated target and a repeated profile write no head."""
    world, old = with_old_head()
    repeat_targets(world)
    assert stored(world) == old


def test_a_target_that_changes_the_account_writes_the_head_in_todays_format() -> None:
    """The rest of the head is as if it had never been old."""
    world, _ = with_old_head()
    world.take([SETTLED])
    assert world.head(USER).format == HEAD_FORMAT
    assert stored(world) == stored(world_of(PAID, SETTLED))


def test_a_new_profile_writes_the_head_in_todays_format() -> None:
    """A profile fact changes the version, and with it the format."""
    world, _ = with_old_head()
    document, _ = profile(USER, "vip", None, "2026-02-01")
    world.know([(document, NOW_US)])
    assert world.head(USER).format == HEAD_FORMAT


def test_a_new_head_is_in_todays_format() -> None:
    """`frozen` and `withdrawn` come last, so that an older reader finds the members that it knows."""
    members = msgspec.json.decode(msgspec.json.encode(Head()))
    assert members[0] == HEAD_FORMAT
    assert Head.__struct_fields__[FORMAT_1_MEMBERS:] == ("frozen", "withdrawn")


def test_a_repricing_writes_the_head_in_todays_format() -> None:
    """With terms that differ from those that were pinned."""
    world, _ = with_old_head()
    world.know([profile(USER, "vip", None, "2025-12-01")])
    store = world.stream.stores[ACCOUNTS, world.stream.partition_of(USER)]
    members = msgspec.json.decode(stored(world))[1:FORMAT_1_MEMBERS]
    store.apply({HEAD.key(USER): msgspec.json.encode([1, *members])}, store.position)
    assert world.head(USER).format == 1
    world.know([reprice(USER)])
    assert world.head(USER).format == HEAD_FORMAT
