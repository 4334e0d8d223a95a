"""Attack 9: a log that was restored from a backup, and who remembers that it was longer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.payouts.remembered_ends import ANSWER_SECONDS_MAX, WHY_CLOSED, EndsKeeper, RememberedEnds
from rebate_app.payouts.service import ActiveHere, PayoutService
from rebate_app.settings import load_settings
from rebate_app.streams.state.log_identity import LogIds
from rebate_app.streams.state.log_losses import SeenLogs, doubt_about
from rebate_app.streams.state.log_memory import (
    ENDS_BEFORE,
    NOBODY_REMEMBERS,
    LogMemory,
    RememberedLogs,
    RememberedTopic,
    memories,
)
from rebate_app.wire.facts.payouts import Author
from rebate_app.wire.topics import Topics

LOG = "rebate-user-log"


def seen(ends: dict[int, int], cluster: str = "c1", topic_id: str = "t1") -> SeenLogs:
    """Return the user log as a look finds it."""
    ids = LogIds(cluster, {LOG: topic_id}, {LOG: dict.fromkeys(ends, 1)})
    return SeenLogs(ids, {(LOG, number): end for number, end in ends.items()})


def remembered(ends: dict[int, int], unsettled: str = "", cluster: str = "c1") -> RememberedLogs:
    """Return what another app remembers in the same folder."""
    return RememberedLogs(cluster, {LOG: RememberedTopic("t1", ends)}, unsettled=unsettled)


class TestDoubt:
    """A memory that begins."""

    @pytest.mark.parametrize(
        ("now", "others", "doubt"),
        [
            pytest.param(seen({0: 0, 1: 0}), [], "", id="an empty log"),
            pytest.param(seen({0: 0, 1: 1}), [], NOBODY_REMEMBERS, id="a log that others have written"),
            pytest.param(seen({0: 5, 1: 7}), [remembered({0: 5, 1: 6})], "", id="another app knows it"),
            pytest.param(seen({0: 5, 1: 7}), [remembered({0: 6, 1: 6})], ENDS_BEFORE, id="it was longer"),
            pytest.param(seen({0: 0}), [remembered({0: 6})], ENDS_BEFORE, id="it was longer, and is empty"),
            pytest.param(
                seen({0: 5}),
                [remembered({0: 5}, NOBODY_REMEMBERS)],
                NOBODY_REMEMBERS,
                id="that app doubts too",
            ),
            pytest.param(
                seen({0: 5}), [remembered({0: 6}, NOBODY_REMEMBERS)], ENDS_BEFORE, id="that app saw it longer"
            ),
            pytest.param(
                seen({0: 5}), [remembered({0: 9}, cluster="c2")], NOBODY_REMEMBERS, id="another cluster"
            ),
            pytest.param(
                seen({0: 5}, topic_id="t2"), [remembered({0: 9})], NOBODY_REMEMBERS, id="a log made anew"
            ),
        ],
    )
    def test_of(self, now: SeenLogs, others: list[RememberedLogs], doubt: str) -> None:
        """Only what is about this very log counts."""
        assert doubt_about(LOG, now, others) == doubt


class World:
    """A worker with a memory, the members of its group, and channels that may be closed."""

    def __init__(self, folder: Path, doubt: str) -> None:
        self.folder = folder
        self.memory = LogMemory(folder, "rebate")
        look = seen({0: 5, 1: 7})
        self.memory.begin(look.ids, look.ends, doubt)
        self.answers: Sequence[RememberedEnds | None] = ()
        self.closed: list[str] = []
        self.fails: Exception | None = None
        self.now = 0.0
        self.keeper = EndsKeeper(LOG, lambda: self.memory, self.close, lambda: self.now)
        self.keeper.ask_members = self.ask

    async def ask(self) -> Sequence[RememberedEnds | None]:
        """Answer for the members."""
        return self.answers

    async def close(self, why: str) -> None:
        """Close the channels."""
        if self.fails is not None:
            raise self.fails
        self.closed.append(why)

    @property
    def on_disk(self) -> RememberedLogs | None:
        """Return what the next start reads."""
        return LogMemory(self.folder, "rebate").remembered


def member(ends: dict[int, int], *, settled: bool = True, topic_id: str = "t1") -> RememberedEnds:
    """Return what a member answers."""
    return RememberedEnds("c1", topic_id, ends, settled)


@pytest.mark.asyncio
class TestSettling:
    """Nothing is paid before a doubt is settled, and channels are closed once."""

    async def test_nothing_in_doubt(self, tmp_path: Path) -> None:
        """Nobody is asked."""
        world = World(tmp_path, "")
        assert world.keeper.is_settled
        await world.keeper.watch(lambda: True)
        assert world.closed == []

    async def test_a_member_that_remembers(self, tmp_path: Path) -> None:
        """Its ends are taken, where they are higher; the log watch compares them with the log."""
        world = World(tmp_path, NOBODY_REMEMBERS)
        assert not world.keeper.is_settled
        world.answers = [None, member({0: 9, 1: 6}), member({1: 8}, settled=False)]
        await world.keeper.watch(lambda: True)
        assert (world.closed, world.keeper.is_settled) == ([], True)
        assert world.keeper.remembered() == RememberedEnds("c1", "t1", {0: 9, 1: 7}, settled=True)
        assert world.on_disk == world.memory.remembered

    @pytest.mark.parametrize(
        "answers", [[], [member({0: 9}, settled=False)], [member({0: 9}, topic_id="t2")]]
    )
    async def test_nobody_remembers(self, answers: list[RememberedEnds], tmp_path: Path) -> None:
        """All channels are closed, once; the next start has nothing in doubt."""
        world = World(tmp_path, NOBODY_REMEMBERS)
        world.answers = answers
        await world.keeper.watch(lambda: True)
        await world.keeper.watch(lambda: True)
        assert world.closed == [WHY_CLOSED[NOBODY_REMEMBERS]]
        assert world.on_disk is not None
        assert world.on_disk.unsettled == ""

    async def test_it_was_longer(self, tmp_path: Path) -> None:
        """No member can settle that."""
        world = World(tmp_path, ENDS_BEFORE)
        world.answers = [member({0: 5, 1: 7})]
        await world.keeper.settle()
        assert world.closed == [WHY_CLOSED[ENDS_BEFORE]]

    async def test_a_member_that_does_not_answer(self, tmp_path: Path) -> None:
        """It is asked again for a while, and nothing is paid meanwhile."""
        world = World(tmp_path, NOBODY_REMEMBERS)
        world.answers = [None]
        await world.keeper.settle()
        world.now = ANSWER_SECONDS_MAX - 1
        await world.keeper.settle()
        assert (world.closed, world.keeper.is_settled) == ([], False)
        world.now = ANSWER_SECONDS_MAX + 1
        await world.keeper.settle()
        assert (world.closed, world.keeper.is_settled) == ([WHY_CLOSED[NOBODY_REMEMBERS]], True)

    async def test_channels_that_cannot_be_closed(self, tmp_path: Path) -> None:
        """The doubt stays, also over a restart."""
        world = World(tmp_path, NOBODY_REMEMBERS)
        world.fails = TimeoutError()
        with pytest.raises(TimeoutError):
            await world.keeper.settle()
        assert not world.keeper.is_settled
        assert world.on_disk is not None
        assert world.on_disk.unsettled == NOBODY_REMEMBERS

    async def test_before_the_memory_is_read(self) -> None:
        """Nothing is paid, nothing is answered, and nothing happens."""
        keeper = EndsKeeper(LOG, lambda: None, World.close)  # type: ignore[arg-type]
        assert (keeper.is_settled, keeper.remembered()) == (False, None)
        await keeper.settle()


class TestMemory:
    """The file in the data folder."""

    def test_growing_keeps_the_doubt(self, tmp_path: Path) -> None:
        """Until it is settled; a memory that begins without a look is in doubt."""
        memory = LogMemory(tmp_path, "rebate")
        look = seen({0: 5})
        memory.remember(look.ids, look.ends)
        memory.remember(look.ids, {(LOG, 0): 6})
        assert memory.remembered is not None
        assert memory.remembered.unsettled == NOBODY_REMEMBERS
        memory.settle(LOG, {0: 4, 1: 1})
        memory.remember(look.ids, {(LOG, 0): 8})
        again = LogMemory(tmp_path, "rebate").remembered
        assert again == RememberedLogs("c1", {LOG: RememberedTopic("t1", {0: 8, 1: 1})})

    def test_all_of_a_folder(self, tmp_path: Path) -> None:
        """Those of every app, and nothing that cannot be read."""
        assert memories(tmp_path) == []
        look = seen({0: 5})
        for scope in ("rebate", "rebate-2"):
            LogMemory(tmp_path, scope).begin(look.ids, look.ends, "")
        (tmp_path / "logs" / "junk.json").write_bytes(b"{")
        assert len(memories(tmp_path)) == 2

    def test_a_file_of_the_version_before(self, tmp_path: Path) -> None:
        """Nothing in it is in doubt."""
        (tmp_path / "logs").mkdir()
        before = b'{"cluster":"c1","topics":{"rebate-user-log":{"id":"t1","ends":{"0":5}}},"format":1}'
        (tmp_path / "logs" / "rebate.json").write_bytes(before)
        assert LogMemory(tmp_path, "rebate").remembered == remembered({0: 5})


class TestPaying:
    """The service of a worker."""

    def test_nothing_is_paid_in_doubt(self, tmp_path: Path) -> None:
        """Only the active app settles, once it knows its group and the channels; only then it pays."""
        memory = LogMemory(tmp_path, "rebate")
        look = seen({0: 5})
        memory.begin(look.ids, look.ends, NOBODY_REMEMBERS)
        settings = load_settings({"REBATE_DATADIR": str(tmp_path)})
        tasks: Any = SimpleNamespace(
            skipped=lambda _bad: None,
            client_options={},
            metrics=MetricsRegistry(),
            settled=True,
            logs=SimpleNamespace(memory=memory),
        )
        active = [False]
        here = ActiveHere(lambda: Author("rebate", "t1"), lambda: active[0], lambda: "rebate")
        service = PayoutService(settings, Topics.of(settings), tasks, here)
        service.states._whole_at = service.states._clock()
        assert (service._may_settle(), service._may_pay()) == (False, False)
        active[0] = True
        assert (service._may_settle(), service._may_pay()) == (True, False)
        tasks.settled = False
        assert not service._may_settle()
        memory.settle(LOG, {})
        assert service._may_pay()
        active[0] = False
        assert not service._may_pay()
