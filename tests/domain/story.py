"""Stories of a few lines, told through the real stages: the worked example and what to ask of it.

Separate from world.py, because there any feed is lived, and here facts are written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tests.list_lane import ACCOUNTS
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

from .world import NOW_US, World, book_of

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
    "told",
]

#: The line TB-A of domain.md 1.1; its user u1 is invited by boss (65 % and 10 %).
PAID = snapshot("paid", "2026-01-03 20:14:05", 1791, 0, 179)
RECEIVED = snapshot("received", "2026-01-09 09:02:11", 1791, 0, 179)
SETTLED = snapshot("settled", "2026-01-10 03:22:40", 1791, 1701, 170, settled_at="2026-01-10 03:21:00")


def told(
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
    """Restart the workers with these rule files."""
    stage = world.lane.stages[ACCOUNTS]
    world.lane.stages[ACCOUNTS] = msgspec.structs.replace(stage, rules=book_of(texts))


def know(world: World, *users: UserRecord) -> None:
    """Send user facts now."""
    world.know([(document, NOW_US) for document, _ in users])
