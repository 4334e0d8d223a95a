"""`GET /v1/order-lines/{platform}/{order_line_id}` (contracts.md 4)."""

from __future__ import annotations

from typing import Any

import pytest

from rebate_app.domain.rules import BASE_BUYER_REBATE
from rebate_app.web.catalogue import OWNER_BY, PUNISHMENTS, TIMELINE_KINDS
from rebate_app.web.share_words import SHARE_REASONS

from .facts import (
    BUYER,
    DISPUTED,
    GRAND,
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
    rules,
    settled,
    snapshot,
)
from .worlds import NOW, World, problem

pytestmark = pytest.mark.asyncio

PATH = f"/v1/order-lines/taobao/{LINE_ID}"


def amounts(said: Any) -> list[tuple[str, int, int, int, int, int]]:
    """Return (user, depth, estimated, confirmed, available, held) of each share."""
    return [
        (s["user_id"], s["depth"], s["estimated"], s["confirmed"], s["available"], s["held"])
        for s in said["shares"]
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
            said = await world.read(PATH)
            assert amounts(said) == [(BUYER, 0, *buyer), (INVITER, 1, *inviter)]
            assert (said["net"], said["platform_share"]) == (net, kept)
            assert sum(buyer) + sum(inviter) + kept == net
            assert sentence in "\n".join(said["explanation"])
            assert f"the platform keeps {kept // 100}.{kept % 100:02d}" in said["explanation"]

    async def test_the_paid_line_explains_itself_in_plain_sentences(self, world: World) -> None:
        """The explanation goes from the owner over the commission and each share to what is kept."""
        world.users(profile(BUYER, INVITER))
        world.orders(paid())
        basic = "(level basic, rules 2026-01)"
        assert (await world.read(PATH))["explanation"] == [
            "the line is of u1, named by user_id",
            "estimated commission 17.91 less the service fee 1.79 is 16.12",
            f"paid 2026-01-03: commission 16.12 × 65 % = 10.47 for u1 {basic}, 10.47 estimated",
            f"paid 2026-01-03: commission 16.12 × 10 % = 1.61 for u2, who invited u1 {basic}, 1.61 estimated",
            "the platform keeps 4.04",
        ]


class TestBody:
    """The members of the answer."""

    async def test_it_is_the_contracts_object(self, world: World) -> None:
        """Every member is there, with the facts as they were sent."""
        world.users(profile(BUYER, INVITER))
        world.orders(paid(item={"title": "轻量跑鞋"}), settled(item={"title": "轻量跑鞋"}), DISPUTED)
        said = await world.read(PATH)
        assert said["shares"][0] == {
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
        assert said["owner"] == {"user_id": BUYER, "by": "user_id", "attribution_id": None}
        assert said["snapshot"] == {
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
        assert said["suits"] == [
            {
                "suit_id": "90000000001",
                "status": "open",
                "net_refund": 510,
                "modified_at": "2026-01-20T16:40:12+08:00",
            }
        ]
        assert [(entry["at"], entry["kind"]) for entry in said["timeline"]] == [
            (NOW, "snapshot"),
            (NOW, "snapshot"),
            (NOW, "refund"),
        ]
        del (
            said["shares"],
            said["owner"],
            said["snapshot"],
            said["suits"],
            said["timeline"],
            said["explanation"],
        )
        del said["as_of"]
        assert said == {
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
        """A line of which nothing came is 404 `unknown-line`, whichever worker is asked."""
        for worker in (0, 1):
            for line in ("taobao/1", "jd/none", "TAOBAO/1", "taobao/a%2Fb", "x/y%20z", "taobao/" + "1" * 65):
                problem(await pair.get(f"/v1/order-lines/{line}", worker), 404, "unknown-line")

    async def test_disputes_and_claims_alone_make_a_line_without_worth(self, world: World) -> None:
        """A refund that comes before any snapshot is shown; the line is worth 0 to everybody."""
        world.orders(DISPUTED, claim("u9", "2026-01-04T00:00:00Z"))
        said = await world.read(PATH)
        assert (said["status"], said["net"], said["snapshot"], said["rule_version"]) == (None, 0, None, None)
        assert "no snapshot has come yet: worth 0 to everybody" in said["explanation"]
        assert amounts(said) == [("u9", 0, 0, 0, 0, 0)]

    async def test_punishment_freezes_confirms_and_lifts(self, world: World) -> None:
        """Frozen holds every share, confirmed is worth 0, lifted is as if nothing had been."""
        world.users(profile(BUYER, INVITER))
        world.orders(settled())
        seen = []
        for word in ("frozen", "confirmed", "lifted"):
            world.orders(punish(word, f"2026-01-3{'01'[word == 'lifted']}T00:00:00Z"))
            said = await world.read(PATH)
            assert said["punishment"]["status"] in PUNISHMENTS
            seen.append(
                (said["punishment"]["status"], said["net"], said["shares"][0]["held"], said["platform_share"])
            )
        assert seen == [("frozen", 1_531, 995, 383), ("confirmed", 0, 0, 0), ("lifted", 1_531, 0, 383)]

    @pytest.mark.parametrize("status", ["created", "closed", "superseded", "unknown", "punished"])
    async def test_what_is_worth_nothing_says_so(self, world: World, status: str) -> None:
        """Such a line is shown, with 0 for its buyer, and says why."""
        world.orders(snapshot(status, "2026-01-05T00:00:00+08:00"))
        said = await world.read(PATH)
        assert said["status"] == (None if status == "punished" else status)
        assert (said["net"], said["platform_share"]) == (0, 0)
        assert said["snapshot"]["status"] == status
        assert any(status in sentence and "worth 0" in sentence for sentence in said["explanation"])
        if said["shares"]:
            assert amounts(said) == [(BUYER, 0, 0, 0, 0, 0)]
            assert said["shares"][0]["reason"] in ("worthless", "punished")


class TestAt:
    """`?at=` and the dates of a line."""

    async def test_an_expected_date_settles_the_line(self, world: World) -> None:
        """Before the date an estimate and an outlook; from it on settled, with the dates that follow."""
        world.users(profile(BUYER, INVITER))
        world.orders(received(settled=1_701, times={"expected_settle": "2026-03-01"}))
        before = await world.read(f"{PATH}?at=2026-02-28T23:59:59%2B08:00")
        assert (before["settled_on"], before["release_on"], before["net"]) == (None, None, 1_612)
        assert "the network means to settle on 2026-03-01" in before["explanation"]
        assert any(
            "for u1: 9.89 confirmed until 2026-04-21" in sentence for sentence in before["explanation"]
        )
        after = await world.read(f"{PATH}?at=2026-03-01T00:00:00%2B08:00")
        assert (after["settled_on"], after["release_on"], after["net"]) == ("2026-03-01", "2026-04-21", 1_522)
        assert "settled on 2026-03-01 by the network's expected date" in after["explanation"]
        released = await world.read(f"{PATH}?at=2026-04-21T00:00:00%2B08:00")
        assert released["shares"][0]["available"] == 989
        assert any("9.89 available since 2026-04-21" in sentence for sentence in released["explanation"])

    async def test_a_wrong_moment_is_refused(self, world: World) -> None:
        """`?at=` without an offset is 400 `invalid-at`."""
        problem(await world.get(f"{PATH}?at=2026-03-01T00:00:00"), 400, "invalid-at")


class TestOwner:
    """`owner`: whose line it is and why."""

    async def test_a_user_named_outright(self, world: World) -> None:
        """The member that named the user is said: user_id, or a member that holds user ids."""
        world.orders(paid(), paid(platform="jd", line_id="1", attribution={"sub_union_id": "u7"}))
        world.orders(paid(platform="pdd", line_id="2", attribution={"custom_uid": "u8"}))
        owners = [
            (await world.read(f"/v1/order-lines/{line}"))["owner"]
            for line in (f"taobao/{LINE_ID}", "jd/1", "pdd/2")
        ]
        assert [(owner["user_id"], owner["by"]) for owner in owners] == [
            (BUYER, "user_id"),
            ("u7", "sub_union_id"),
            ("u8", "custom_uid"),
        ]

    async def test_suspense_claim_and_binding(self, pair: World) -> None:
        """An id's line is in suspense, then the claimant's, then the one's to whom the id is bound."""
        pair.orders(paid(attribution={"pid": "p"}))
        seen = [await pair.read(PATH)]
        pair.orders(claim("u9", "2026-01-04T00:00:00Z"))
        seen.append(await pair.read(PATH, 1))
        pair.users(bind("taobao:pid:p", BUYER))
        seen.append(await pair.read(PATH))
        pair.users(bind("taobao:pid:p", None))
        seen.append(await pair.read(PATH, 1))
        assert [(said["owner"]["user_id"], said["owner"]["by"]) for said in seen] == [
            (None, "suspense"),
            ("u9", "claim"),
            (BUYER, "binding"),
            ("u9", "claim"),
        ]
        assert [said["owner"]["attribution_id"] for said in seen] == ["taobao:pid:p"] * 4
        assert (seen[0]["shares"], seen[0]["platform_share"]) == ([], 1_612)
        assert all(said["owner"]["by"] in OWNER_BY for said in seen)
        assert "waits in suspense" in seen[0]["explanation"][0]
        assert "whose claim decides" in seen[1]["explanation"][0]
        assert "to whom taobao:pid:p is bound" in seen[2]["explanation"][0]


class TestShares:
    """Who gets a share, and why it may be 0."""

    async def test_two_inviters_and_a_cycle(self) -> None:
        """The chain has two inviters at most and ends at somebody who already has a share."""
        async with World(workers=2, book=rules(levels=2)) as world:
            world.users(profile(BUYER, INVITER), profile(INVITER, GRAND), profile(GRAND, "u4"))
            world.orders(paid())
            assert [share["user_id"] for share in (await world.read(PATH))["shares"]] == [
                BUYER,
                INVITER,
                GRAND,
            ]
            world.users(profile("a", "b"), profile("b", "a"))
            world.orders(paid(line_id="2", attribution={"user_id": "a"}))
            said = await world.read("/v1/order-lines/taobao/2")
            assert [share["user_id"] for share in said["shares"]] == ["a", "b"]

    async def test_inviters_of_the_rebate(self) -> None:
        """Where the rules say so, an inviter's share is of the buyer's, and the sentence says so."""
        async with World(book=rules(BASE_BUYER_REBATE)) as world:
            world.users(profile(BUYER, INVITER))
            world.orders(paid())
            said = await world.read(PATH)
            assert amounts(said)[1] == (INVITER, 1, 104, 0, 0, 0)
            assert any("rebate of u1 10.47 × 10 % = 1.04" in sentence for sentence in said["explanation"])

    async def test_every_zero_has_a_reason(self) -> None:
        """No rule, no rate, below a minimum and nothing left each say themselves."""
        book = rules(min_net_commission_fen=100, min_rebate_fen=50)
        async with World(book=book) as world:
            world.users(profile(BUYER, INVITER), profile(INVITER, None, "vip"), profile("u5", "u6"))
            early = {"paid": "2025-12-31T23:59:59+08:00"}
            world.orders(
                paid(),
                paid(line_id="early", times=early),
                paid(line_id="small", est=250, fee=151),
                paid(line_id="tiny", est=251, fee=0, attribution={"user_id": "u5"}),
                settled(line_id="none", settled=0, fee=0),
            )
            reasons = {}
            for line in (LINE_ID, "early", "small", "tiny", "none"):
                said = await world.read(f"/v1/order-lines/taobao/{line}")
                reasons[line] = [share["reason"] for share in said["shares"]]
                sentences = "\n".join(said["explanation"])
                if line == "early":
                    assert said["rule_version"] is None
                    assert "before the first rule version: nothing for u1 (no-rule)" in sentences
                if line == "small":
                    assert "commission 0.99 is below the minimum of 1.00, nothing for u1" in sentences
                if line == "tiny":
                    assert "2.51 × 10 % = 0.25, below the minimum of 0.50, nothing for u6" in sentences
            assert reasons == {
                LINE_ID: [None, "no-rate"],
                "early": ["no-rule"],
                "small": ["below-minimum", "no-rate"],
                "tiny": [None, "below-minimum"],
                "none": ["no-commission", "no-rate"],
            }
            assert {reason for line in reasons.values() for reason in line if reason} <= SHARE_REASONS.keys()

    async def test_it_is_the_same_from_every_worker(self) -> None:
        """Line, buyer, inviters and id may each be elsewhere: every worker gives the same answer."""
        async with World(workers=3, partitions=6, book=rules(levels=2)) as world:
            world.users(profile(BUYER, INVITER), profile(INVITER, GRAND), bind("taobao:pid:p", BUYER))
            world.orders(paid(attribution={"pid": "p"}))
            answers = [await world.read(PATH, worker) for worker in range(3)]
            assert answers[0] == answers[1] == answers[2]
            assert [share["user_id"] for share in answers[0]["shares"]] == [BUYER, INVITER, GRAND]

    async def test_an_inviter_whose_owner_cannot_be_asked_is_listed(self) -> None:
        """Such an inviter is "unavailable", the rest is there, and nobody says what the platform keeps."""
        async with World(workers=2, partitions=8, book=rules(levels=2)) as world:
            far = next(n for n in (f"i{k}" for k in range(99)) if world.lane.partition_of(n) == 7)
            assert world.lane.partition_of(BUYER) != 7
            world.users(profile(BUYER, far), profile(far, GRAND))
            world.orders(paid())
            world.give("accounts", 7, None)
            said = await world.read(PATH)
            assert said["shares"][1] == {"user_id": far, "depth": 1, "unavailable": True}
            assert amounts({"shares": said["shares"][:1]}) == [(BUYER, 0, 1_047, 0, 0, 0)]
            assert len(said["shares"]) == 2
            assert said["platform_share"] is None
            assert f"the share of {far} is unavailable: its owner cannot be asked" in said["explanation"]

    async def test_without_the_buyers_owner_it_is_503(self, world: World) -> None:
        """While the buyer's account cannot be asked, nothing is said about the line."""
        world.orders(paid())
        world.give("accounts", world.lane.partition_of(BUYER), None)
        problem(await world.get(PATH), 503, "not-ready")

    async def test_a_line_that_was_never_paid_has_its_buyer(self, world: World) -> None:
        """Created and not yet paid: nothing is priced, and the buyer is listed with 0."""
        fact = snapshot("created", "2026-01-03T00:00:00Z")
        del fact["times"]
        world.orders(fact)
        (share,) = (await world.read(PATH))["shares"]
        assert (share["user_id"], share["level"], share["bps"], share["reason"]) == (
            BUYER,
            None,
            0,
            "worthless",
        )

    async def test_an_inviter_whose_bonus_is_on_its_way_is_not_listed_yet(self, world: World) -> None:
        """The buyer's account has the line, the inviter's not yet: the buyer's share is there."""
        partition = world.lane.partition_of(BUYER)
        far = next(f"i{k}" for k in range(99) if world.lane.partition_of(f"i{k}") != partition)
        world.users(profile(BUYER, far))
        world.lane.send_order(paid(), world.clock())
        world.lane.step("order-lines", world.lane.partition_of(LINE), 1)
        world.lane.step("accounts", partition, 1)
        assert [share["user_id"] for share in (await world.read(PATH))["shares"]] == [BUYER]
        world.lane.run()
        assert [share["user_id"] for share in (await world.read(PATH))["shares"]] == [BUYER, far]

    async def test_what_is_on_its_way_is_said(self, world: World) -> None:
        """While the account lags behind the line, the answer is not `visible`."""
        world.lane.send_order(paid(), world.clock())
        world.lane.step("order-lines", world.lane.partition_of(LINE), 1)
        said = await world.read(PATH)
        assert (said["visible"], said["shares"], said["owner"]["user_id"]) == (False, [], BUYER)
        world.lane.run()
        assert (await world.read(PATH))["visible"] is True


class TestTimeline:
    """`timeline`: what was said, in the order of the log."""

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
        world.orders(paid())  # a repeat says nothing new
        timeline = (await world.read(PATH))["timeline"]
        after = "settled commission 17.01, service fee 1.70"
        assert [entry["says"] for entry in timeline] == [
            "the network says paid: estimated commission 17.91, service fee 1.79",
            f"the network says settled: estimated commission 17.91, {after}",
            "dispute 90000000001 is open: 5.10 of the commission",
            "dispute 90000000001 succeeded: 5.10 of the commission",
            "the network's punishment is frozen",
            "claimed by u9",
        ]
        assert {entry["kind"] for entry in timeline} == TIMELINE_KINDS.keys()
