"""Stories of a few lines through the real stages, written by hand: the worked example and its figures."""

from __future__ import annotations

from collections.abc import Iterable

from tests.domain.world import NOW_US, World, book_of
from tests.oracle import UserRecord
from tests.oracle.written import (
    INVITED,
    RULES,
    TWO_LEVELS,
    Document,
    bind,
    claim,
    moment,
    profile,
    punish,
    refund,
    snapshot,
)

__all__ = [
    "INVITED",
    "PAID",
    "RECEIVED",
    "RULES",
    "SETTLED",
    "TWO_LEVELS",
    "bind",
    "book",
    "claim",
    "know",
    "money",
    "profile",
    "punish",
    "refund",
    "rerule",
    "snapshot",
    "world_of",
]

#: The line TB-A of docs/spec/money.md#worked-example; its user u1 is invited by boss (65 % and 10 %).
PAID = snapshot("paid", "2026-01-03 20:14:05", 1791, 0, 179)
RECEIVED = snapshot("received", "2026-01-09 09:02:11", 1791, 0, 179)
SETTLED = snapshot("settled", "2026-01-10 03:22:40", 1791, 1701, 170, settled_at="2026-01-10 03:21:00")


def world_of(
    *orders: Document, people: Iterable[UserRecord] = INVITED, rules: str = RULES, partitions: int = 2
) -> World:
    """Return the world after people and then order facts, each processed before the next is sent."""
    world = World([rules], partitions)
    world.know(people)
    for order in orders:
        world.take([order])
    return world


def money(world: World, user_id: str, at: str) -> tuple[int, int, int, int]:
    """Return estimated, confirmed, held, available of a user."""
    return world.money(user_id, moment(at))


def book(world: World, user_id: str) -> list[tuple[str, str, int, int, int]]:
    """Return role, kind, estimated, settled, held of every entry of a user, oldest first."""
    return [(e.role, e.kind, e.estimated, e.settled, e.held) for e in world.entries(user_id)]


def rerule(world: World, *texts: str) -> None:
    """Publish those of the rule files that are not published yet."""
    for version in book_of(texts).versions:
        if world.stream.catalogue.get(version.version) is None:
            world.stream.catalogue.add(version)


def know(world: World, *users: UserRecord) -> None:
    """Send user facts now."""
    world.know([(document, NOW_US) for document, _ in users])
