"""The feeds: valid, varied, repeatable, and consistent under the oracle."""

import random
import re
from collections import Counter
from typing import Any

import pytest

from tests.oracle.feeds import Feed, make_feed, shuffle_with_repeats
from tests.oracle.line_state import RANKS
from tests.oracle.moments import instant
from tests.oracle.oracle import BUCKETS, Oracle

SEEDS = range(12)
USER_ID = re.compile(r"[A-Za-z0-9._@-]{1,128}")
LINE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
AMOUNT_MAX = 10**9


def feed_of(seed: int) -> tuple[random.Random, Feed]:
    """Return the feed of a seed, which is printed."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    return rng, make_feed(rng, lines=25, users=7)


def check_snapshot(document: dict[str, Any]) -> None:
    """Hold a snapshot against section 1 of the contract."""
    status, amounts, times = document["status"], document.get("amounts") or {}, document.get("times") or {}
    assert status in RANKS
    assert document["currency"] == "CNY"
    instant(document["seq"]["modified_at"])
    assert (document["seq"].get("fetch_seq") or 0) >= 0
    if status in ("paid", "received", "settled", "punished"):
        assert isinstance(amounts["est_commission"], int)
        assert times["paid"] is not None
    if status == "settled" or times.get("expected_settle") is not None:
        assert isinstance(amounts["settled_commission"], int)
    assert (amounts.get("service_fee") or 0) >= 0
    assert all(abs(value or 0) <= AMOUNT_MAX for value in amounts.values())
    for member, value in (document.get("attribution") or {}).items():
        assert value is None or len(value) <= 128
        if member == "user_id" and value:
            assert USER_ID.fullmatch(value)


def check_fact(document: dict[str, Any]) -> None:
    """Hold any fact against section 1 of the contract."""
    assert document["schema"] == "order-event/1"
    assert re.fullmatch(r"[a-z0-9]{1,16}", document["platform"])
    assert LINE_ID.fullmatch(document["order_line_id"])
    if document["kind"] == "order.snapshot":
        check_snapshot(document)
    elif document["kind"] == "order.refund":
        assert LINE_ID.fullmatch(document["suit_id"])
        assert 0 <= document["net_refund"] <= AMOUNT_MAX
        instant(document["modified_at"])
    elif document["kind"] == "order.punish":
        instant(document["modified_at"])
    else:
        assert document["kind"] == "order.claim"
        assert USER_ID.fullmatch(document["user_id"])
        instant(document["claimed_at"])


@pytest.mark.parametrize("seed", SEEDS)
class TestFeeds:
    """Laws that hold for every seed."""

    def test_every_document_is_valid(self, seed: int) -> None:
        """A feed holds only facts that the contract accepts, twelve at most for a line."""
        _, feed = feed_of(seed)
        per_line: Counter[tuple[str, str]] = Counter()
        for document in feed.orders:
            check_fact(document)
            per_line[document["platform"], document["order_line_id"]] += 1
        assert len(per_line) == 25
        assert max(per_line.values()) <= 12
        assert [time for _, time in feed.users] == sorted(time for _, time in feed.users)

    def test_a_seed_makes_the_same_feed_again(self, seed: int) -> None:
        """A feed is a function of its seed."""
        assert feed_of(seed)[1] == feed_of(seed)[1]

    def test_order_and_repetition_do_not_matter(self, seed: int) -> None:
        """I3: the same set of facts in any order, repeated or not, gives the same answers."""
        rng, feed = feed_of(seed)
        straight = Oracle(feed.orders, feed.users, feed.rules)
        shuffled = Oracle(shuffle_with_repeats(rng, feed.orders), feed.users, feed.rules)
        assert straight.users() == shuffled.users()
        for at in rng.sample(feed.moments, 10):
            for user_id in straight.users():
                assert straight.balance(user_id, at) == shuffled.balance(user_id, at)
            for key in straight.lines():
                assert straight.line(*key, at) == shuffled.line(*key, at) | {
                    "paid": straight.line(*key, at)["paid"]  # equal moments may be spelled differently
                }

    def test_the_parts_of_a_line_sum_to_its_net(self, seed: int) -> None:
        """I1: shares and platform sum to the net; no part is negative; balances are the sums of lines."""
        rng, feed = feed_of(seed)
        oracle = Oracle(feed.orders, feed.users, feed.rules)
        for at in rng.sample(feed.moments, 10):
            lines = [oracle.line(*key, at) for key in oracle.lines()]
            for line in lines:
                parts = [share[bucket] for share in line["shares"] for bucket in BUCKETS]
                assert sum(parts) + line["platform_share"] == line["net"]
                assert min([*parts, line["platform_share"]]) >= 0
            balances = [oracle.balance(user_id, at) for user_id in oracle.users()]
            for bucket in BUCKETS:
                shares = [share[bucket] for line in lines for share in line["shares"]]
                assert sum(balance[bucket] for balance in balances) == sum(shares)
            for balance in balances:
                assert sum(entry["amount"] for entry in balance["maturing"]) == balance["confirmed"]
            owned = [line for line in lines if line["owner"]["user_id"] is not None]
            assert sum(sum(balance["lines"].values()) for balance in balances) == len(owned)


def test_feeds_are_varied() -> None:
    """Over some seeds every status, punishment, kind of owner, depth and bucket occurs often."""
    seen: Counter[object] = Counter()
    for seed in range(40):
        rng, feed = feed_of(seed)
        oracle = Oracle(feed.orders, feed.users, feed.rules)
        for at in rng.sample(feed.moments, 4):
            for key in oracle.lines():
                line = oracle.line(*key, at)
                seen.update({("status", line["status"]), ("punishment", line["punishment"])})
                seen.update({("by", line["owner"]["by"]), ("listed", len(line["shares"]))})
                seen.update({bucket for bucket in BUCKETS for share in line["shares"] if share[bucket]})
    expected: set[object] = {
        *BUCKETS,
        *(("status", status) for status in (None, *RANKS) if status != "punished"),
    }
    expected |= {("punishment", kind) for kind in (None, "frozen", "confirmed")}
    expected |= {("by", kind) for kind in (None, "user_id", "sub_union_id", "custom_uid", "binding", "claim")}
    expected |= {("listed", count) for count in range(4)}
    assert {what for what in expected if seen[what] < 20} == set()
