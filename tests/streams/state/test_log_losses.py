"""What counts as a lost log, what a data folder remembers of logs, and how long a loss has to last."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from rebate_app.streams.errors import StateLostError
from rebate_app.streams.state.log_identity import LogIds
from rebate_app.streams.state.log_losses import Loss, Need, SeenLogs, incomplete, losses, missing_topics
from rebate_app.streams.state.log_memory import LogMemory, RememberedLogs, RememberedTopic
from rebate_app.streams.state.loss_confirmation import CONFIRM_SECONDS, LossConfirmation, Suspicions

PARTITIONS = 2


def seen(
    cluster: str = "c1",
    topic_id: str = "t1",
    ends: dict[int, int] | None = None,
    leaders: dict[int, int] | None = None,
) -> SeenLogs:
    """Return one topic as a look finds it."""
    led = {0: 1, 1: 1} if leaders is None else leaders
    ids = LogIds(cluster, {"log": topic_id} if topic_id else {}, {"log": led} if led else {})
    return SeenLogs(ids, {("log", number): end for number, end in (ends or {0: 5, 1: 7}).items()})


REMEMBERED = RememberedLogs("c1", {"log": RememberedTopic("t1", {0: 5, 1: 7})})
NEEDS = [Need("log", 1, 7, "the state holds")]


class TestLosses:
    """One topic of two partitions, whose ends were 5 and 7."""

    @pytest.mark.parametrize(
        "now",
        [
            pytest.param(seen(), id="the same"),
            pytest.param(seen(ends={0: 6, 1: 70}), id="longer"),
            pytest.param(seen(ends={0: 5}, leaders={0: 1, 1: -1}), id="no leader for now"),
            pytest.param(seen(ends={0: 5}, leaders={0: 1}), id="a partition not in the metadata"),
            pytest.param(seen(ends={}, leaders={}), id="not in the metadata"),
            pytest.param(seen(topic_id=""), id="a broker without topic ids"),
        ],
    )
    def test_what_is_none(self, now: SeenLogs) -> None:
        """Retention, compaction and markers leave ends as they are; what is not seen is not lost."""
        ends = SeenLogs(now.ids, now.ends, {("log", 0): 5, ("log", 1): 7})  # every record was deleted
        assert losses(ends, REMEMBERED, NEEDS, PARTITIONS) == []

    @pytest.mark.parametrize(
        ("now", "sentence"),
        [
            (seen(cluster="c2", topic_id="t2"), "the cluster is c2, the state was made on cluster c1"),
            (seen(cluster="c2", ends={}, leaders={}), "the cluster is c2"),
            (seen(topic_id="t2"), "log was made anew: its topic id is t2, not t1"),
            (seen(ends={0: 5, 1: 6}), "log/1 ends at 6, the state holds its end at 7 or later"),
            (seen(leaders={0: 1, 1: 1, 2: 1}), "log has 3 partitions, the state was made from 2"),
        ],
    )
    def test_what_is_one(self, now: SeenLogs, sentence: str) -> None:
        """One sentence names what is missing."""
        found = {loss.subject: loss.sentence for loss in losses(now, REMEMBERED, NEEDS, PARTITIONS)}
        assert len(found) == 1
        assert next(iter(found.values())).startswith(sentence)

    def test_what_only_the_folder_knows(self) -> None:
        """A cluster restored from an older backup: states are as old as logs, the folder is not."""
        (loss,) = losses(seen(ends={0: 4, 1: 7}), REMEMBERED, NEEDS, PARTITIONS)
        assert loss.sentence == "log/0 ends at 4, this worker's data folder remembers its end at 5 or later"

    def test_topics_that_are_gone(self) -> None:
        """At a start they would be made anew; a running worker is not ready meanwhile."""
        gone = seen(ends={}, leaders={})
        assert [loss.subject for loss in missing_topics(gone, REMEMBERED)] == ["log"]
        assert missing_topics(seen(), REMEMBERED) == []
        assert incomplete(gone, ["log"], PARTITIONS) == ["log is not there"]
        assert incomplete(seen(leaders={0: 1}), ["log"], PARTITIONS) == ["log has 1 of 2 partitions"]
        assert incomplete(seen(leaders={0: 1, 1: -1}), ["log"], PARTITIONS) == []


class TestMemory:
    """The file in the data folder."""

    def test_the_highest_ends_are_kept(self, tmp_path: Path) -> None:
        """Per partition, over restarts; the folder is its user's alone."""
        memory = LogMemory(tmp_path, "app")
        assert memory.remembered is None
        memory.begin(seen().ids, seen(ends={0: 5, 1: 3}).ends, "")
        memory.remember(seen().ids, seen(ends={0: 4, 1: 7}).ends)
        assert LogMemory(tmp_path, "app").remembered == REMEMBERED
        assert LogMemory(tmp_path, "other").remembered is None
        assert stat.S_IMODE(memory.path.parent.stat().st_mode) == 0o700
        assert [path.name for path in memory.path.parent.iterdir()] == ["app.json"]

    def test_a_topic_id_is_adopted_and_never_forgotten(self, tmp_path: Path) -> None:
        """By a folder that knows a broker from before topic ids."""
        memory = LogMemory(tmp_path, "app")
        memory.begin(seen(topic_id="").ids, seen().ends, "")
        memory.remember(seen().ids, seen().ends)
        memory.remember(seen(topic_id="").ids, seen().ends)
        assert memory.remembered == REMEMBERED

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"cluster":"c1","topics":{},"format":2}'])
    def test_what_cannot_be_read_is_written_anew(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
    ) -> None:
        """With a warning that names the file."""
        path = LogMemory(tmp_path, "app").path
        path.parent.mkdir()
        path.write_bytes(content)
        memory = LogMemory(tmp_path, "app")
        assert memory.remembered is None
        assert str(path) in caplog.text
        memory.begin(seen().ids, seen().ends, "")
        assert LogMemory(tmp_path, "app").remembered == REMEMBERED


class TestConfirmation:
    """Metadata of a cluster that elects leaders may be wrong for some seconds."""

    def test_a_loss_has_to_be_found_by_every_look(self) -> None:
        """For 10 s; a look that does not find it begins anew, and the newest sentence is used."""
        now = 0.0
        suspicions = Suspicions(lambda: now)
        assert suspicions.note([Loss("a", "a ends at 4")]) == []
        now = CONFIRM_SECONDS - 1
        assert suspicions.note([]) == []
        assert suspicions.note([Loss("a", "a ends at 4")]) == []
        now += CONFIRM_SECONDS - 1
        assert suspicions.note([Loss("a", "a ends at 5"), Loss("b", "b")]) == []
        now += 1
        assert suspicions.note([Loss("a", "a ends at 6"), Loss("b", "b")]) == [Loss("a", "a ends at 6")]

    def test_an_operation_is_repeated_so_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then its own error is raised."""
        now = [0.0]

        async def sleep(seconds: float) -> None:
            now[0] += seconds

        monkeypatch.setattr(asyncio, "sleep", sleep)
        confirmation, error = LossConfirmation(lambda: now[0]), StateLostError("a is gone")

        async def repeat() -> None:
            while True:
                await confirmation.wait(error)

        with pytest.raises(StateLostError, match="a is gone"):
            asyncio.run(repeat())
        assert now[0] == CONFIRM_SECONDS
