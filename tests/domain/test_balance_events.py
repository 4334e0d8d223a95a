"""Events of balances follow from what is posted: one per user and batch, whatever the batches."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from rebate_app.domain.pricing.calendar import DAY_US
from rebate_app.wire.events import BalanceChanged, Buckets
from rebate_app.wire.moments import format_moment, parse_moment
from tests.domain.event_lines import (
    at_once,
    balances,
    events_in,
    heads_by_version,
    kinds,
    lived,
    refolded,
    right,
    since,
    user_log,
)
from tests.domain.story import PAID, SETTLED, refund, snapshot, world_of
from tests.domain.world import NOW_US, us
from tests.oracle.written import moment
from tests.topology_driver import LINES


class TestBalances:
    """A balance that changed has one event per batch, with the buckets before and after."""

    @given(seed=st.integers(0, 10_000))
    @settings(max_examples=20)
    def test_the_last_event_is_the_balance(self, seed: int) -> None:
        """On one day, the last event of a user is the balance, and each event begins where one ended."""
        world = lived(seed, days=1)
        found = balances(events_in(world.stream))
        for user_id in world.users():
            last = Buckets(0, 0, 0, 0, 0, 0, 0)
            for event in found.get(user_id, []):
                assert event.before == last
                last = event.after
            assert last == right(world.head(user_id), format_moment(NOW_US))

    @given(seed=st.integers(0, 10_000), batch=st.integers(1, 60))
    @settings(max_examples=20)
    def test_batches_of_any_size_emit_balances_that_existed(self, seed: int, batch: int) -> None:
        """Each event has the account of its version after it, and one of an older version before it."""
        world = lived(seed, days=200)
        heads = heads_by_version(world)
        found = balances(events_in(refolded(world, batch)))
        assert found
        for user_id, events in found.items():
            versions = [event.version for event in events]
            assert versions == sorted(set(versions))
            for event in events:
                assert event.after == right(heads[user_id][event.version], event.at)
                older = [head for version, head in heads[user_id].items() if version < event.version]
                assert event.before in [right(head, event.at) for head in older]
                assert event.before != event.after

    @given(seed=st.integers(0, 10_000), batch=st.integers(1, 60), since_day=st.integers(0, 3))
    @settings(max_examples=20)
    def test_none_for_old_facts(self, seed: int, batch: int, since_day: int) -> None:
        """A record emits events if it is new enough, equal ones whenever emission began."""
        world = lived(seed, days=3)
        since_ms = (NOW_US + since_day * DAY_US) // 1_000
        stream = refolded(world, batch, since_ms)
        assert all(record.timestamp >= since_ms for log in stream.events.values() for record in log)
        every = {event.event_id for event in events_in(refolded(world, 1))}
        emitted = events_in(stream)
        lines = {event.event_id for event in emitted if not isinstance(event, BalanceChanged)}
        new = {
            event.event_id
            for event in events_in(refolded(world, 1))
            if not isinstance(event, BalanceChanged) and parse_moment(event.at) >= since_ms * 1_000
        }
        assert lines == new <= every
        heads = heads_by_version(world)
        for user_id, events in balances(emitted).items():
            for event in events:
                assert event.after == right(heads[user_id][event.version], event.at)

    def test_one_event_per_user_and_batch(self) -> None:
        """Ten lines in one batch are one event, from nothing to the sum of all, with the newest cause."""
        world = world_of()
        for number in range(10):
            world.stream.send_order(snapshot("paid", "2026-01-04", 1_000, line=f"taobao:L{number}"), NOW_US)
        at_once(world)
        (event,) = balances(events_in(world.stream))["u1"]
        assert (event.before.estimated, event.after.estimated) == (0, 6_500)
        cause = event.cause
        assert (cause.kind, cause.role, cause.reason) == ("estimate", "buyer", "snapshot-paid")
        assert len(balances(events_in(world.stream))["boss"]) == 1

    def test_what_is_not_released_yet_is_confirmed(self) -> None:
        """Both sides are as of the moment of the record: before the release day money is confirmed."""
        world = world_of(PAID)
        world.take([SETTLED, refund("success", "2026-01-11", 700)], us(moment("2026-01-12")))
        events = balances(events_in(world.stream))["u1"]
        assert [event.after.confirmed for event in events][-1] == 540
        assert events[-1].after == right(world.head("u1"), events[-1].at)
        assert all(event.after.available == 0 for event in events)

    def test_changes_that_cancel_out_emit_no_balance(self) -> None:
        """A line that is paid and closed within one batch changes no balance; its transitions are emitted."""
        world = world_of()
        for document in (PAID, snapshot("closed", "2026-01-05", 0)):
            world.stream.send_order(document, NOW_US)
            world.stream.run_all([(LINES, number, 100) for number in range(2)])
        at_once(world)
        assert "u1" not in balances(events_in(world.stream))
        assert kinds(world, "u1") == ["line.attributed", "line.closed"]

    def test_facts_too_old_in_between(self) -> None:
        """The event of a batch begins before the first of them and ends after the last."""
        world = world_of(people=())
        times = {"L0": -1, "L1": 0, "L2": -1, "L3": 0, "L4": -1}
        for line, days in times.items():
            world.stream.send_order(
                snapshot("paid", "2026-01-04", 1_000, line=f"taobao:{line}"), NOW_US + days * DAY_US
            )
        since(world, NOW_US // 1_000)
        world.stream.run_all([(LINES, number, 1) for number in (0, 1) for _ in times])
        order = [json.loads(r.value or b"")["line"]["line"] for r in user_log(world, "u1")]
        at_once(world)
        (event,) = balances(events_in(world.stream))["u1"]
        new = [place for place, line in enumerate(order) if times[line.partition(":")[2]] == 0]
        assert event.before.estimated == 650 * new[0]
        assert event.after.estimated == 650 * (new[-1] + 1)
        assert event.version == new[-1] + 1
