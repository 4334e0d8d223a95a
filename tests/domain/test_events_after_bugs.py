"""What a bug of ours has undone is not told, and all the rest is told once."""

from __future__ import annotations

from msgspec.structs import asdict

from agents.accounts import AccountsStage, AccountsWork
from rebate_app.lane.outbox import Outbox
from rebate_app.lane.stage import Record
from rebate_app.lane.store import Overlay
from rebate_app.wire.events import (
    DeadLetterOpened,
)
from tests.list_lane import ACCOUNTS, LINES

from .story import snapshot, told
from .telling import (
    at_once,
    balances,
    events_in,
    kinds,
)
from .world import NOW_US


class BuggyWork(AccountsWork):
    """Does everything, and then raises, on records of the users `bad` and `worse`."""

    def take(self, record: Record) -> None:
        """Take one record, or fail on it when all is done."""
        super().take(record)
        if record.key in (b"bad", b"worse"):
            raise ZeroDivisionError

    def successor(self, overlay: Overlay, outbox: Outbox) -> AccountsWork:
        """Return work that fails likewise."""
        after = super().successor(overlay, outbox)
        after.__class__ = BuggyWork
        return after


class BuggyStage(AccountsStage, frozen=True):
    """Stage 2 with our bug in it."""

    def work(self, overlay: Overlay, outbox: Outbox) -> AccountsWork:
        """Return the work that fails."""
        return BuggyWork(self, overlay, outbox)


class TestOurBugs:
    """What was rolled back is not told, and what was folded again is told once."""

    def test_nobody_hears_of_what_was_undone(self) -> None:
        """Two bugs among one chunk: others are told as if they had not been, and of each letter once."""
        world = told(people=(), partitions=1)
        for line, user_id in enumerate(("u1", "bad", "u1", "u2", "bad", "worse", "u1")):
            document = snapshot("paid", "2026-01-04", 1_000, line=f"taobao:L{line}", user=user_id)
            world.lane.send_order(document, NOW_US)
            world.lane.run_all([(LINES, 0, 1)])
        stage = world.lane.stages[ACCOUNTS]
        world.lane.stages[ACCOUNTS] = BuggyStage(**asdict(stage))
        at_once(world)
        events = events_in(world.lane)
        changed = balances(events)
        money = {user: [(e.before.estimated, e.after.estimated) for e in of] for user, of in changed.items()}
        assert money == {"u1": [(0, 1_950)], "u2": [(0, 650)]}
        assert kinds(world, "u1") == ["line.attributed"] * 3
        letters = [event.user_id for event in events if isinstance(event, DeadLetterOpened)]
        assert sorted(map(str, letters)) == ["bad", "worse"]
        assert kinds(world, "bad") == kinds(world, "worse") == ["dead-letter.opened"]
