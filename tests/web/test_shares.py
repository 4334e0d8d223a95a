"""Whose an order line is, and who gets what of it (docs/spec/http.md#order-line)."""

from __future__ import annotations

from typing import Any

import pytest

from rebate_app.domain.pricing.rules import BASE_BUYER_REBATE
from rebate_app.web.enumerations import OWNER_BY
from rebate_app.web.resources.share_explanation import SHARE_REASONS
from tests.web.facts import (
    BUYER,
    GRAND,
    INVITER,
    LINE,
    LINE_ID,
    bind,
    claim,
    paid,
    profile,
    rules,
    settled,
    snapshot,
)
from tests.web.worlds import World, problem

pytestmark = pytest.mark.asyncio

PATH = f"/v1/order-lines/taobao/{LINE_ID}"


def amounts(body: Any) -> list[tuple[str, int, int, int, int, int]]:
    """Return (user, depth, estimated, confirmed, available, held) of each share."""
    return [
        (s["user_id"], s["depth"], s["estimated"], s["confirmed"], s["available"], s["held"])
        for s in body["shares"]
    ]


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
        assert [(body["owner"]["user_id"], body["owner"]["by"]) for body in seen] == [
            (None, "suspense"),
            ("u9", "claim"),
            (BUYER, "binding"),
            ("u9", "claim"),
        ]
        assert [body["owner"]["attribution_id"] for body in seen] == ["taobao:pid:p"] * 4
        assert (seen[0]["shares"], seen[0]["platform_share"]) == ([], 1_612)
        assert all(body["owner"]["by"] in OWNER_BY for body in seen)
        assert "waits in suspense" in seen[0]["explanation"][0]
        assert "who claims it" in seen[1]["explanation"][0]
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
            body = await world.read("/v1/order-lines/taobao/2")
            assert [share["user_id"] for share in body["shares"]] == ["a", "b"]

    async def test_inviters_of_the_rebate(self) -> None:
        """Where the rules want it, an inviter's share is of the buyer's, and so is the sentence."""
        async with World(book=rules(BASE_BUYER_REBATE)) as world:
            world.users(profile(BUYER, INVITER))
            world.orders(paid())
            body = await world.read(PATH)
            assert amounts(body)[1] == (INVITER, 1, 104, 0, 0, 0)
            assert any("rebate of u1 10.47 × 10 % = 1.04" in sentence for sentence in body["explanation"])

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
                body = await world.read(f"/v1/order-lines/taobao/{line}")
                reasons[line] = [share["reason"] for share in body["shares"]]
                sentences = "\n".join(body["explanation"])
                if line == "early":
                    assert body["rule_version"] is None
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
        """Such an inviter is "unavailable", the rest is there, and the platform's part is null."""
        async with World(workers=2, partitions=8, book=rules(levels=2)) as world:
            far = next(n for n in (f"i{k}" for k in range(99)) if world.stream.partition_of(n) == 7)
            assert world.stream.partition_of(BUYER) != 7
            world.users(profile(BUYER, far), profile(far, GRAND))
            world.orders(paid())
            world.give("accounts", 7, None)
            body = await world.read(PATH)
            assert body["shares"][1] == {"user_id": far, "depth": 1, "unavailable": True}
            assert amounts({"shares": body["shares"][:1]}) == [(BUYER, 0, 1_047, 0, 0, 0)]
            assert len(body["shares"]) == 2
            assert body["platform_share"] is None
            assert (
                f"the share of {far} is unavailable: the worker that owns it cannot be reached"
                in body["explanation"]
            )

    async def test_without_the_buyers_owner_it_is_503(self, world: World) -> None:
        """While the buyer's account cannot be reached, the line is 503."""
        world.orders(paid())
        world.give("accounts", world.stream.partition_of(BUYER), None)
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
        partition = world.stream.partition_of(BUYER)
        far = next(f"i{k}" for k in range(99) if world.stream.partition_of(f"i{k}") != partition)
        world.users(profile(BUYER, far))
        world.stream.send_order(paid(), world.clock())
        world.stream.step("order-lines", world.stream.partition_of(LINE), 1)
        world.stream.step("accounts", partition, 1)
        assert [share["user_id"] for share in (await world.read(PATH))["shares"]] == [BUYER]
        world.stream.run()
        assert [share["user_id"] for share in (await world.read(PATH))["shares"]] == [BUYER, far]

    async def test_what_is_on_its_way_to_an_id_is_said(self, world: World) -> None:
        """A line that its attribution id does not know yet is in suspense, and not `visible`."""
        world.stream.send_order(paid(attribution={"pid": "p"}), world.clock())
        world.stream.step("order-lines", world.stream.partition_of(LINE), 1)
        body = await world.read(PATH)
        assert (body["visible"], body["owner"]["by"], body["shares"]) == (False, "suspense", [])
        world.stream.run()
        assert (await world.read(PATH))["visible"] is True

    async def test_what_is_on_its_way_is_said(self, world: World) -> None:
        """While the account lags behind the line, the answer is not `visible`."""
        world.stream.send_order(paid(), world.clock())
        world.stream.step("order-lines", world.stream.partition_of(LINE), 1)
        body = await world.read(PATH)
        assert (body["visible"], body["shares"], body["owner"]["user_id"]) == (False, [], BUYER)
        world.stream.run()
        assert (await world.read(PATH))["visible"] is True
