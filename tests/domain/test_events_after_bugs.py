"""What a failure of our fold rolled back emits no events, and all the rest emits them once."""

from __future__ import annotations

from msgspec.structs import asdict

from agents.accounts import AccountsFold, AccountsStage
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.events import DeadLetterOpened
from tests.domain.event_lines import at_once, balances, events_in, kinds
from tests.domain.story import snapshot, world_of
from tests.domain.world import NOW_US
from tests.topology_driver import ACCOUNTS, LINES


class BuggyFold(AccountsFold):
    """Does everything, and then raises, on records of the users `bad` and `worse`."""

    def take(self, record: Record) -> None:
        """Take one record, or fail on it when all is done."""
        super().take(record)
        if record.key in (b"bad", b"worse"):
            raise ZeroDivisionError

    def successor(self, transaction: StateTransaction, collector: RecordCollector) -> AccountsFold:
        """Return work that fails likewise."""
        after = super().successor(transaction, collector)
        after.__class__ = BuggyFold
        return after


class BuggyStage(AccountsStage, frozen=True):
    """Stage 2 with our bug in it."""

    def fold(self, transaction: StateTransaction, collector: RecordCollector) -> AccountsFold:
        """Return the work that fails."""
        return BuggyFold(self, transaction, collector)


class TestOurBugs:
    """What was rolled back emits nothing, and what was folded again emits its events once."""

    def test_nobody_hears_of_what_was_undone(self) -> None:
        """Two bugs among one batch: others are told as if they had not been, and of each letter once."""
        world = world_of(people=(), partitions=1)
        for line, user_id in enumerate(("u1", "bad", "u1", "u2", "bad", "worse", "u1")):
            document = snapshot("paid", "2026-01-04", 1_000, line=f"taobao:L{line}", user=user_id)
            world.stream.send_order(document, NOW_US)
            world.stream.run_all([(LINES, 0, 1)])
        stage = world.stream.stages[ACCOUNTS]
        world.stream.stages[ACCOUNTS] = BuggyStage(**asdict(stage))
        at_once(world)
        events = events_in(world.stream)
        changed = balances(events)
        money = {user: [(e.before.estimated, e.after.estimated) for e in of] for user, of in changed.items()}
        assert money == {"u1": [(0, 1_950)], "u2": [(0, 650)]}
        assert kinds(world, "u1") == ["line.attributed"] * 3
        letters = [event.user_id for event in events if isinstance(event, DeadLetterOpened)]
        assert sorted(map(str, letters)) == ["bad", "worse"]
        assert kinds(world, "bad") == kinds(world, "worse") == ["dead-letter.opened"]
