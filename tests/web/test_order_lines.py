"""`GET /v1/order-lines/{platform}/{order_line_id}` (docs/spec/http.md#order-line)."""

from __future__ import annotations

from typing import Any

import pytest

from rebate_app.web.enumerations import PUNISHMENTS, TIMELINE_KINDS
from tests.web.facts import (
    BUYER,
    DISPUTED,
    INVITER,
    LINE_ID,
    REFUNDED,
    claim,
    paid,
    profile,
    punish,
    received,
    settled,
    snapshot,
)
from tests.web.worlds import NOW, World, problem

pytestmark = pytest.mark.asyncio

PATH = f"/v1/order-lines/taobao/{LINE_ID}"


def amounts(body: Any) -> list[tuple[str, int, int, int, int, int]]:
    """Return (user, depth, estimated, confirmed, available, held) of each share."""
    return [
        (s["user_id"], s["depth"], s["estimated"], s["confirmed"], s["available"], s["held"])
        for s in body["shares"]
    ]


class TestWorkedExample:
    """TB-A, with the shares and what the platform keeps."""

    async def test_every_step_adds_up_and_says_why(self, world: World) -> None:
        """At each step shares and the platform's part are the contract's, and sum to the net."""
        world.users(profile(BUYER, INVITER))
        steps: list[tuple[Any, int, tuple[int, ...], tuple[int, ...], int, str]] = [
            (paid(), 1_612, (1_047, 0, 0, 0), (161, 0, 0, 0), 404, "commission 16.12 × 65 % = 10.47"),
            (received(), 1_612, (1_047, 0, 0, 0), (161, 0, 0, 0), 404, "commission 16.12 × 10 % = 1.61"),
            (settled(), 1_531, (0, 995, 0, 0), (0, 153, 0, 0), 383, "commission 15.31 × 65 % = 9.95"),
            (DISPUTED, 1_531, (0, 663, 0, 332), (0, 102, 0, 51), 383, "3.32 held while a dispute is open"),
            (REFUNDED, 1_021, (0, 663, 0, 0), (0, 102, 0, 0), 256, "refunds took 5.10, which leaves 10.21"),
        ]
        for fact, net, buyer, inviter, kept, sentence in steps:
            world.orders(fact)
            body = await world.read(PATH)
            assert amounts(body) == [(BUYER, 0, *buyer), (INVITER, 1, *inviter)]
            assert (body["net"], body["platform_share"]) == (net, kept)
            assert sum(buyer) + sum(inviter) + kept == net
            assert sentence in "\n".join(body["explanation"])
            assert f"the platform keeps {kept // 100}.{kept % 100:02d}" in body["explanation"]

    async def test_the_paid_line_explains_itself_in_plain_sentences(self, world: World) -> None:
        """The explanation goes from the owner over the commission and each share to what is kept."""
        world.users(profile(BUYER, INVITER))
        world.orders(paid())
        basic, on = "(level basic, rules 2026-01)", "paid on 2026-01-03"
        assert (await world.read(PATH))["explanation"] == [
            "the line belongs to u1, named in user_id",
            "estimated commission 17.91 less the service fee of 1.79 leaves 16.12",
            f"{on}: commission 16.12 × 65 % = 10.47 for u1 {basic}, 10.47 estimated",
            f"{on}: commission 16.12 × 10 % = 1.61 for u2, who invited u1 {basic}, 1.61 estimated",
            "the platform keeps 4.04",
        ]


class TestBody:
    """The members of the answer."""

    async def test_it_is_the_contracts_object(self, world: World) -> None:
        """Every member is there, with the facts as they were sent."""
        world.users(profile(BUYER, INVITER))
        world.orders(paid(item={"title": "轻量跑鞋"}), settled(item={"title": "轻量跑鞋"}), DISPUTED)
        body = await world.read(PATH)
        assert body["shares"][0] == {
            "user_id": BUYER,
            "depth": 0,
            "level": "basic",
            "bps": 6_500,
            "estimated": 0,
            "confirmed": 663,
            "available": 0,
            "held": 332,
            "reason": None,
        }
        assert body["owner"] == {"user_id": BUYER, "by": "user_id", "attribution_id": None}
        assert body["snapshot"] == {
            "status": "settled",
            "seq": {"modified_at": "2026-01-10T03:22:40+08:00", "fetch_seq": 0},
            "amounts": {"est_commission": 1_791, "settled_commission": 1_701, "service_fee": 170},
            "times": {
                "paid": "2026-01-03T20:13:51+08:00",
                "settled": "2026-01-10T03:21:00+08:00",
                "expected_settle": None,
            },
            "attribution": {"user_id": BUYER},
            "item": {"title": "轻量跑鞋"},
        }
        assert body["suits"] == [
            {
                "suit_id": "90000000001",
                "status": "open",
                "net_refund": 510,
                "modified_at": "2026-01-20T16:40:12+08:00",
            }
        ]
        assert [(entry["at"], entry["kind"]) for entry in body["timeline"]] == [
            (NOW, "snapshot"),
            (NOW, "snapshot"),
            (NOW, "refund"),
        ]
        del (
            body["shares"],
            body["owner"],
            body["snapshot"],
            body["suits"],
            body["timeline"],
            body["explanation"],
        )
        del body["as_of"]
        assert body == {
            "platform": "taobao",
            "order_line_id": LINE_ID,
            "status": "settled",
            "settled_on": "2026-01-10",
            "release_on": "2026-02-21",
            "net": 1_531,
            "rule_version": "2026-01",
            "punishment": None,
            "platform_share": 383,
            "visible": True,
            "at": NOW,
        }

    async def test_an_unknown_line_is_404(self, pair: World) -> None:
        """A line of which nothing came is 404 `unknown-line`, whichever worker answers."""
        for worker in (0, 1):
            for line in ("taobao/1", "jd/none", "TAOBAO/1", "taobao/a%2Fb", "x/y%20z", "taobao/" + "1" * 65):
                problem(await pair.get(f"/v1/order-lines/{line}", worker), 404, "unknown-line")

    async def test_disputes_and_claims_alone_make_a_line_without_worth(self, world: World) -> None:
        """A refund that comes before any snapshot is shown; the line is worth 0 to everybody."""
        world.orders(DISPUTED, claim("u9", "2026-01-04T00:00:00Z"))
        body = await world.read(PATH)
        assert (body["status"], body["net"], body["snapshot"], body["rule_version"]) == (None, 0, None, None)
        assert "no snapshot has arrived yet: nobody gets a share" in body["explanation"]
        assert amounts(body) == [("u9", 0, 0, 0, 0, 0)]

    async def test_punishment_freezes_confirms_and_lifts(self, world: World) -> None:
        """Frozen holds every share, confirmed is worth 0, lifted is as if nothing had been."""
        world.users(profile(BUYER, INVITER))
        world.orders(settled())
        seen = []
        for word in ("frozen", "confirmed", "lifted"):
            world.orders(punish(word, f"2026-01-3{'01'[word == 'lifted']}T00:00:00Z"))
            body = await world.read(PATH)
            assert body["punishment"]["status"] in PUNISHMENTS
            seen.append(
                (body["punishment"]["status"], body["net"], body["shares"][0]["held"], body["platform_share"])
            )
        assert seen == [("frozen", 1_531, 995, 383), ("confirmed", 0, 0, 0), ("lifted", 1_531, 0, 383)]

    @pytest.mark.parametrize("status", ["created", "closed", "superseded", "unknown", "punished"])
    async def test_what_is_worth_nothing_says_so(self, world: World, status: str) -> None:
        """Such a line is shown, with 0 for its buyer, and explained."""
        world.orders(snapshot(status, "2026-01-05T00:00:00+08:00"))
        body = await world.read(PATH)
        assert body["status"] == (None if status == "punished" else status)
        assert (body["net"], body["platform_share"]) == (0, 0)
        assert body["snapshot"]["status"] == status
        assert any(
            status in sentence and "nobody gets a share" in sentence for sentence in body["explanation"]
        )
        if body["shares"]:
            assert amounts(body) == [(BUYER, 0, 0, 0, 0, 0)]
            assert body["shares"][0]["reason"] in ("worthless", "punished")


class TestAt:
    """`?at=` and the dates of a line."""

    async def test_an_expected_date_settles_the_line(self, world: World) -> None:
        """Before the date an estimate and an outlook; from it on settled, with the dates that follow."""
        world.users(profile(BUYER, INVITER))
        world.orders(received(settled=1_701, times={"expected_settle": "2026-03-01"}))
        before = await world.read(f"{PATH}?at=2026-02-28T23:59:59%2B08:00")
        assert (before["settled_on"], before["release_on"], before["net"]) == (None, None, 1_612)
        assert "the network expects to settle on 2026-03-01" in before["explanation"]
        assert any(
            "for u1: 9.89 confirmed until 2026-04-21" in sentence for sentence in before["explanation"]
        )
        after = await world.read(f"{PATH}?at=2026-03-01T00:00:00%2B08:00")
        assert (after["settled_on"], after["release_on"], after["net"]) == ("2026-03-01", "2026-04-21", 1_522)
        assert "settled on 2026-03-01 (the network's expected date)" in after["explanation"]
        released = await world.read(f"{PATH}?at=2026-04-21T00:00:00%2B08:00")
        assert released["shares"][0]["available"] == 989
        assert any("9.89 available since 2026-04-21" in sentence for sentence in released["explanation"])

    async def test_a_wrong_moment_is_refused(self, world: World) -> None:
        """`?at=` without an offset is 400 `invalid-at`."""
        problem(await world.get(f"{PATH}?at=2026-03-01T00:00:00"), 400, "invalid-at")


class TestTimeline:
    """`timeline`: the moments of the line, in the order of the log."""

    async def test_each_kind_has_its_sentence(self, world: World) -> None:
        """Snapshots, disputes, punishments and claims say themselves in words."""
        world.orders(
            paid(),
            settled(),
            DISPUTED,
            REFUNDED,
            punish("frozen", "2026-01-30T00:00:00Z"),
            claim("u9", "2026-01-04T00:00:00Z"),
        )
        world.orders(paid())  # a repeat adds nothing
        timeline = (await world.read(PATH))["timeline"]
        after = "settled commission 17.01, service fee 1.70"
        assert [entry["says"] for entry in timeline] == [
            "the network reports paid: estimated commission 17.91, service fee 1.79",
            f"the network reports settled: estimated commission 17.91, {after}",
            "dispute 90000000001 is open: 5.10 of the commission",
            "dispute 90000000001 succeeded: 5.10 of the commission",
            "punishment by the network: frozen",
            "claimed by u9",
        ]
        assert {entry["kind"] for entry in timeline} == TIMELINE_KINDS.keys()
