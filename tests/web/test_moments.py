"""The network's own moment beside ours: ledger entries and the time line (docs/spec/http.md#resources)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.facts import (
    BUYER,
    DISPUTED,
    INVITER,
    LINE,
    LINE_ID,
    REFUNDED,
    bind,
    claim,
    paid,
    profile,
    punish,
    received,
    settled,
    snapshot,
)
from tests.web.worlds import World, walk

pytestmark = pytest.mark.asyncio

PAID, SETTLED = "2026-01-03T20:14:05+08:00", "2026-01-10T03:22:40+08:00"
OPENED, SUCCEEDED, FROZEN = (
    "2026-01-20T16:40:12+08:00",
    "2026-01-23T11:05:03+08:00",
    "2026-01-30T08:00:00.250000+08:00",
)


async def ledger(world: World, user_id: str) -> list[tuple[str, str | None]]:
    """Return (reason, network's moment) of a user's entries, oldest first."""
    entries = await walk(world, f"/v1/users/{user_id}/ledger", 200)
    return [(entry["reason"], entry["modified_at"]) for entry in reversed(entries)]


async def timeline(world: World) -> list[Any]:
    """Return the time line of the line of TB-A."""
    body = await world.read(f"/v1/order-lines/taobao/{LINE_ID}")
    return [(entry["kind"], entry["modified_at"]) for entry in body["timeline"]]


class TestFacts:
    """Entries that a network's fact caused."""

    async def test_each_kind_of_fact(self, world: World) -> None:
        """Snapshots, refunds and punishments bring their `modified_at`, to the inviter as well."""
        world.users(profile(BUYER, INVITER))
        world.orders(paid(), settled(), DISPUTED, REFUNDED, punish("frozen", "2026-01-30T00:00:00.25Z"))
        expected = [
            ("snapshot-paid", PAID),
            ("snapshot-settled", SETTLED),
            ("refund-open", OPENED),
            ("refund-success", SUCCEEDED),
            ("punish-frozen", FROZEN),
        ]
        for user_id in (BUYER, INVITER):
            assert await ledger(world, user_id) == expected
        assert await timeline(world) == [
            ("snapshot", PAID),
            ("snapshot", SETTLED),
            ("refund", OPENED),
            ("refund", SUCCEEDED),
            ("punish", FROZEN),
        ]

    async def test_all_entries_of_one_fact(self, world: World) -> None:
        """What a date will bring, and what is taken back for it later, have the moment of their fact."""
        world.orders(received(settled=1_701, times={"expected_settle": "2026-03-01"}))
        world.orders(snapshot("closed", "2026-01-20T00:00:00+08:00"))
        first, later = "2026-01-09T09:02:11+08:00", "2026-01-20T00:00:00+08:00"
        assert [moment for _, moment in await ledger(world, BUYER)] == [first, first, later, later]

    async def test_a_late_fact_has_its_own_moment(self, world: World) -> None:
        """A late fact has the moment at which the network changed the line, not another fact's."""
        world.orders(settled(), DISPUTED, paid())
        assert await timeline(world) == [("snapshot", SETTLED), ("refund", OPENED), ("snapshot", PAID)]

    async def test_a_line_that_changes_hands(self, world: World) -> None:
        """A snapshot that names somebody else is the cause on both sides."""
        world.orders(paid(), settled(attribution={"user_id": "u9"}))
        assert (await ledger(world, BUYER))[-1] == ("reassigned", SETTLED)
        assert await ledger(world, "u9") == [("snapshot-settled", SETTLED)]

    async def test_over_an_attribution_id(self, world: World) -> None:
        """The moment travels over the id that forwards the line."""
        world.users(bind("taobao:pid:p", BUYER), profile(BUYER, INVITER))
        world.orders(paid(attribution={"pid": "p"}), settled(attribution={"pid": "p"}))
        for user_id in (BUYER, INVITER):
            assert await ledger(world, user_id) == [("binding", PAID), ("snapshot-settled", SETTLED)]


class TestNone:
    """Entries without a network's moment."""

    async def test_bindings_and_claims(self, world: World) -> None:
        """Who binds or claims is no network: null."""
        world.orders(paid(attribution={"pid": "p"}), claim("u8", "2026-01-04T00:00:00Z"))
        world.users(bind("taobao:pid:p", BUYER), bind("taobao:pid:p", None))
        assert await ledger(world, "u8") == [("claim", None), ("reassigned", None), ("claim", None)]
        assert await ledger(world, BUYER) == [("binding", None), ("reassigned", None)]
        assert await timeline(world) == [("snapshot", PAID), ("claim", None)]

    async def test_records_of_before(self, world: World) -> None:
        """What an older version has written is read as having none, and what follows has its own."""
        world.orders(paid())
        partition = world.stream.partition_of(BUYER)
        entry = b'[1769875200000000,null,"%b","buyer","estimate",1047,0,0,"snapshot-paid","2026-01",1]'
        accounts = world.stream.stores["accounts", partition]
        accounts.apply({b"e u1 0": entry % LINE.encode()}, accounts.position + 1)
        lines = world.stream.stores["order-lines", world.stream.partition_of(LINE)]
        state = lines.get(LINE.encode())
        assert state is not None
        older = state.replace(b",1791,0,179,1767442445,null]]", b",1791,0,179]]")
        assert older != state
        lines.apply({LINE.encode(): older}, lines.position + 1)
        assert await ledger(world, BUYER) == [("snapshot-paid", None)]
        assert await timeline(world) == [("snapshot", None)]
        world.orders(settled())
        assert await ledger(world, BUYER) == [("snapshot-paid", None), ("snapshot-settled", SETTLED)]
        assert await timeline(world) == [("snapshot", None), ("snapshot", SETTLED)]
