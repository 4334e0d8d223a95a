"""Invariants I1 to I8 over random feeds; what is about withdrawals waits for them.

See docs/spec/money.md#invariants.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebate_app.domain.account.account import AccountLine
from rebate_app.domain.account.balance import line_buckets
from rebate_app.domain.order.value import CLOSED, CONFIRMED, LineValue, evaluate_line
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.domain.pricing.rates import buyer_share, inviter_base, inviter_share
from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.wire.rules.parsing import parse_rules
from tests.domain.feed_runs import live
from tests.domain.world import NOW_US, us
from tests.oracle import make_feed
from tests.oracle.feed_rules import make_rules

SEEDS = range(8)


class Lived:
    """A random world with the days to ask about."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"invariant {seed}")
        self.feed = make_feed(rng, 50, 6)
        self.world = live(self.feed, rng)
        self.days = sorted({day_of(us(at)) for at in self.feed.moments})
        self.lines: dict[str, list[tuple[str, AccountLine]]] = {}
        for user_id, record in self.world.contributions():
            if record.effective() is not None:
                self.lines.setdefault(record.line, []).append((user_id, record))

    def line_value(self, line: str) -> LineValue:
        """Return what the line is worth."""
        state = self.world.line(line)
        assert state is not None
        return evaluate_line(state, line.partition(":")[0])


@pytest.fixture(scope="module", params=SEEDS)
def lived(request: pytest.FixtureRequest) -> Lived:
    """Return one of a few random worlds, made once."""
    print(f"seed {request.param}")
    return Lived(request.param)


def test_i1_shares_and_the_platforms_rest_are_the_net_commission(lived: Lived) -> None:
    """The platform's rest is never below 0: nobody gets what was not earned."""
    for line, shares in lived.lines.items():
        line_value = lived.line_value(line)
        for day in lived.days:
            dated = line_value.from_day is not None and line_value.from_day <= day
            net = line_value.gross if line_value.phase == "settled" or dated else line_value.net
            given_away = sum(sum(line_buckets(record.posted, day).values()) for _, record in shares)
            assert 0 <= given_away <= net


def test_i2_an_account_is_the_sum_of_its_postings(lived: Lived) -> None:
    """All entries that are in force, and no other movement."""
    for user_id in lived.world.users():
        entries = lived.world.entries(user_id)
        for at in lived.feed.moments:
            day = day_of(us(at))
            in_force = [e for e in entries if e.effective_on is None or e.effective_on <= day]
            balance = lived.world.balance(user_id, at)
            assert sum(e.settled for e in in_force) == balance.confirmed + balance.available
            assert sum(e.estimated for e in in_force) == balance.estimated
            assert sum(e.held for e in in_force) == balance.held


def test_i4_what_is_held_or_estimated_is_never_negative(lived: Lived) -> None:
    """Neither for a line nor for an account, on no day."""
    for shares in lived.lines.values():
        for _, record in shares:
            for day in lived.days:
                assert min(line_buckets(record.posted, day).values()) >= 0
    for user_id in lived.world.users():
        for at in lived.feed.moments:
            balance = lived.world.balance(user_id, at)
            assert min(balance.held, balance.estimated) >= 0


def test_i5_nobody_owes_anything_before_there_are_withdrawals(lived: Lived) -> None:
    """Available money below 0 needs a clawback of money that was paid out."""
    for user_id in lived.world.users():
        for at in lived.feed.moments:
            balance = lived.world.balance(user_id, at)
            assert (balance.available >= 0, balance.debt) == (True, 0)


def test_i6_closed_and_superseded_lines_contribute_nothing(lived: Lived) -> None:
    """Whatever they were worth before."""
    closed = 0
    for line, shares in lived.lines.items():
        line_value = lived.line_value(line)
        if line_value.phase == CLOSED or line_value.punished == CONFIRMED:
            closed += 1
            for _, record in shares:
                assert all(not any(line_buckets(record.posted, day).values()) for day in lived.days)
    assert closed


def test_i9_no_posting_without_a_cause_a_rule_version_and_a_line(lived: Lived) -> None:
    """Every entry says which fact it comes from, what priced it, and as whom the user has it."""
    versions = {version.version for version in lived.world.rules.versions}
    for user_id in lived.world.users():
        for entry in lived.world.entries(user_id):
            assert entry.cause
            assert entry.rule in versions
            assert entry.role in ("buyer", "inviter")
            assert lived.world.line(entry.line) is not None
            assert entry.at == NOW_US or entry.cause in ("binding", "claim", "reassigned")


@given(seed=st.integers(0, 2_000), net=st.integers(0, 10**9), data=st.data())
def test_i8_no_line_pays_out_more_than_its_version_allows(seed: int, net: int, data: st.DataObject) -> None:
    """Any level, platform and inviters of any checked version, at any net: at most max_payout_bps of it."""
    rule = parse_rules(data.draw(st.sampled_from(make_rules(random.Random(seed)))), "rules")
    assert isinstance(rule, RuleVersion)
    level = data.draw(st.sampled_from(rule.levels))
    platform = data.draw(st.sampled_from(["taobao", "jd", "pdd", "vip", "k9"]))
    buyer = buyer_share(rule, net, level.share_bps(platform))
    base = inviter_base(rule, net, buyer)
    shares: list[Any] = [buyer]
    for depth in range(1, rule.inviter_max_levels + 1):
        inviter = data.draw(st.sampled_from(rule.levels))
        shares.append(inviter_share(rule, net, base, rule.inviter_share_bps(depth, inviter.id)))
    assert sum(shares) * 10_000 <= net * rule.max_payout_bps
    assert rule.max_payout_bps <= 10_000
