"""Rule, level and inviters are chosen when a line first reaches somebody, and kept.

See docs/spec/money.md#pricing.

The oracle's scope is profiles that were there before the lines. Here facts, profiles and bindings come in
any order, each processed before the next, and a second reading of the same paragraph keeps the pins.
"""

from __future__ import annotations

import random
from datetime import datetime
from fractions import Fraction

import pytest

from tests.conftest import SEED
from tests.domain.world import NOW_US, World
from tests.oracle import UserRecord, make_feed
from tests.oracle.line_state import Document, LineFacts, LineState, state_at, time_text
from tests.oracle.moments import instant, instant_of, midnight
from tests.oracle.ownership import owner_of, parse_user_id_fields
from tests.oracle.sharing import Beneficiary, Profile, RuleVersion, chain_of, read_profile, version_in_force

HISTORIES = 40
KINDS = {"order.snapshot": "snapshots", "order.refund": "refunds", "order.punish": "punishments"}
FIELDS = parse_user_id_fields("jd:sub_union_id,pdd:custom_uid")

Line = tuple[str, str]
Money = list[int]  # estimated, confirmed, held, available


class PricingTerms:
    """What prices a line for one owner: chosen at a paid time, from the profiles known then."""

    def __init__(self, paid: Fraction, version: RuleVersion | None, chain: list[Beneficiary]) -> None:
        self.paid = paid
        self.version = version
        self.chain = chain


class Pinned:
    """All facts so far, and the pins of every line and owner."""

    def __init__(self, rules: list[str]) -> None:
        self._versions = [RuleVersion(text) for text in rules]
        self._documents: dict[Line, list[Document]] = {}
        self._facts: dict[Line, LineFacts] = {}
        self._profiles: dict[str, list[Profile]] = {}
        self._bindings: dict[str, str | None] = {}
        self._pricing: dict[tuple[Line, str], PricingTerms] = {}

    def order(self, document: Document) -> None:
        """Take an order fact."""
        line = document["platform"], document["order_line_id"]
        self._documents.setdefault(line, []).append(document)
        facts = self._facts[line] = LineFacts(*line)  # anew, as the oracle remembers what it saw of the old
        for each in self._documents[line]:
            getattr(facts, KINDS.get(each["kind"], "claims")).append(each)
        self._pin(line)

    def user(self, record: UserRecord) -> None:
        """Take a profile, which prices lines to come, or a binding, which moves lines."""
        document = record[0]
        if document["kind"] == "user.profile":
            self._profiles.setdefault(document["user_id"], []).append(read_profile(record))
            return
        self._bindings[document["attribution_id"]] = document.get("user_id")
        for line in self._facts:
            self._pin(line)

    def _owner(self, line: Line) -> str | None:
        return owner_of(self._facts[line], self._bindings, FIELDS).user_id

    def _pin(self, line: Line) -> None:
        owner, best = self._owner(line), state_at(self._facts[line], Fraction(0)).best
        text = None if best is None else time_text(best, "paid")
        if owner is None or text is None:
            return
        paid, known = instant(text), self._pricing.get((line, owner))
        if known is not None and known.paid == paid:
            return
        version = version_in_force(self._versions, paid)
        chain = [] if version is None else chain_of(version, line[0], owner, paid, self._profiles)
        self._pricing[line, owner] = PricingTerms(paid, version, chain)

    def money(self, moment: datetime) -> dict[str, Money]:
        """Return what everybody has at a moment."""
        at = instant_of(moment)
        sums: dict[str, Money] = {}
        for line, facts in self._facts.items():
            owner, state = self._owner(line), state_at(facts, at)
            pin = None if owner is None else self._pricing.get((line, owner))
            if pin is None or pin.version is None or state.worthless:
                continue
            whole = pin.version.shares(pin.chain, state.net)
            sure = pin.version.shares(pin.chain, state.undisputed)
            for one, *shares in zip(pin.chain, whole, sure, strict=True):
                had = sums.get(one.user_id, [0, 0, 0, 0])
                got = in_buckets(state, shares[0], shares[1], at)
                sums[one.user_id] = [a + b for a, b in zip(had, got, strict=True)]
        return sums


def in_buckets(state: LineState, whole: int, sure: int, at: Fraction) -> Money:
    """Put a share into estimated, confirmed, held, available."""
    if state.punishment == "frozen":
        return [0, 0, whole, 0]
    if not state.settled:
        return [whole, 0, 0, 0]
    assert state.release_on is not None
    released = at >= midnight(state.release_on)
    return [0, 0 if released else sure, whole - sure, sure if released else 0]


class TestPins:
    """Random histories in which everything changes while lines are on their way."""

    @pytest.mark.parametrize("number", range(HISTORIES))
    def test_balances_follow_what_was_pinned(self, number: int) -> None:
        """After each fact, profile and binding, everybody has what the pins make of the facts."""
        rng = random.Random(f"{SEED} pins {number}")
        feed = make_feed(rng, lines=4, users=4)
        model, world = Pinned(feed.rules), World(feed.rules, partitions=2)
        users, orders = list(feed.users), list(feed.orders)
        while users or orders:
            if rng.randrange(len(users) + len(orders)) < len(users):
                record = users.pop(0)
                world.know([record])
                model.user(record)
            else:
                document = orders.pop()
                world.take([document], NOW_US)
                model.order(document)
            moment = rng.choice(feed.moments)
            right = model.money(moment)
            shown = {user: list(world.money(user, moment)) for user in feed.user_ids}
            assert shown == {user: right.get(user, [0, 0, 0, 0]) for user in feed.user_ids}, moment
        assert world.stream.dead_letters == []
