"""The audit on list lanes: nothing is found where nothing is wrong, at rest and while the lane goes on."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from msgspec.structs import asdict

from rebate_app.audit.audit import audited_stages
from rebate_app.audit.balances import ROUNDS_MAX
from rebate_app.composition import create_app
from rebate_app.domain.suspense import MOVES_MAX
from rebate_app.settings import load_settings
from rebate_app.wire.rule_files import load_rules
from tests.domain.world import NOW_US, World
from tests.list_lane import ACCOUNTS, LINES

from .list_logs import ListLogs, ListWorkers, audit
from .worlds import AT_US, Stepping, processed, send_feed

#: The long runs draw more worlds.
FULL = os.environ.get("REBATE_CHAOS") == "full"
RULES = """
schema = "rebate-rules/1"
version = "1"
effective_from = 2020-01-01T00:00:00+08:00
[[level]]
id = "basic"
share_bps = { default = 6500 }
"""


class TestAtRest:
    """A system at rest: everything is compared, and everything is right."""

    @pytest.mark.parametrize("seed", range(24 if FULL else 12))
    def test_nothing_differs(self, seed: int) -> None:
        """Whatever the feed, its interleaving and the records that could not be used."""
        world = processed(seed, partitions=seed % 4 + 1)
        lane = world.lane
        report = audit(ListLogs(lane), ListWorkers(lane, AT_US))
        assert (report.items, report.differences) == ([], 0)
        assert (report.not_comparable, report.after_cut) == (0, 0)
        assert report.users_compared == len(world.users())
        assert report.accounts == len(world.users()) + len(world.attribution_ids())
        sources = (lane.topics.orders, lane.topics.user_log)
        logs = {where: log for where, log in lane.logs.items() if where[0] in sources}
        assert report.facts == sum(map(len, logs.values()))
        assert report.messages == len(lane.dead_letters) + sum(
            (record.value or b"").startswith(b'{"schema":"rebate-internal/1","app":"rebate","format":1')
            for log in logs.values()
            for record in log
        )
        assert report.cut == {f"{topic}/{number}": len(log) - 1 for (topic, number), log in logs.items()}

    def test_a_system_that_never_saw_anything(self) -> None:
        """Has empty tables, which is what no facts make."""
        report = audit(ListLogs(World([RULES]).lane))
        assert (report.differences, report.facts, report.lines, report.accounts) == (0, 0, 0, 0)

    def test_facts_that_are_not_processed_yet_are_no_difference(self) -> None:
        """What comes after the watermark is not in the table, and has not to be."""
        lane = send_feed(1).lane
        assert audit(ListLogs(lane), ListWorkers(lane, AT_US)).differences == 0


class TestWhileItGoesOn:
    """A running system: each partition has a cut of its own, and still nothing differs."""

    @pytest.mark.parametrize("seed", range(36 if FULL else 16))
    def test_nothing_differs(self, seed: int) -> None:
        """However the lane goes on between any two looks of the audit."""
        world = send_feed(seed, lines=80)
        lane, rng = world.lane, random.Random(seed)
        for _ in range(rng.randrange(60)):
            if works := lane.waiting():
                work = rng.choice(works)
                lane.step(work.stage, work.partition, rng.randint(1, min(20, work.waiting)))
        going_on = Stepping(lane, seed, chance=rng.choice((0.1, 0.5, 1.0)), chunk_max=rng.choice((1, 9, 50)))
        report = audit(ListLogs(lane, going_on), ListWorkers(lane, AT_US))
        assert (report.items, report.differences) == ([], 0)
        assert going_on.steps

    @pytest.mark.parametrize(("seconds_max", "right"), [(30.0, True), (1e9, False)])
    def test_a_table_is_read_on_while_compaction_may_come_between(
        self, monkeypatch: pytest.MonkeyPatch, seconds_max: float, right: bool
    ) -> None:
        """A slow reading goes on to a new end; one that did not would miss what was compacted away."""
        found = []
        for seed in range(10):
            lane = send_feed(seed).lane
            lane.run_all([(LINES, number, 100) for number in range(lane.partitions)])
            going_on = Stepping(lane, seed, chance=0.6)
            monkeypatch.setattr("rebate_app.audit.partition.monotonic", lambda on=going_on: 100.0 * on.steps)
            monkeypatch.setattr("rebate_app.audit.partition.READING_SECONDS_MAX", seconds_max)
            logs = ListLogs(lane, going_on)
            logs.compacting = True
            found.append(audit(logs).differences)
        assert (sum(found) == 0) == right

    def test_messages_after_the_cut_are_left_out(self) -> None:
        """They are counted, so that a person sees that the system went on."""
        world = send_feed(3, lines=120)
        assert audit(ListLogs(world.lane, Stepping(world.lane, 3))).after_cut > 0

    def test_a_user_who_moves_on_is_asked_again_at_a_later_cut(self) -> None:
        """An account that changed while it was asked is compared when it has come to rest."""
        world = send_feed(4)
        lane = world.lane
        lane.run_all([(LINES, number, 10_000) for number in range(lane.partitions)])
        lane.run_all([(ACCOUNTS, number, 40) for number in range(lane.partitions)])
        workers = ListWorkers(lane, AT_US)

        def finish() -> None:
            if workers.asked:
                lane.run()

        report = audit(ListLogs(lane, finish), workers)
        assert (report.differences, report.not_comparable) == (0, 0)

    def test_users_who_never_come_to_rest_are_counted(self) -> None:
        """Nothing is said about them but how many they are."""
        world = processed(5)
        workers = ListWorkers(world.lane, AT_US)
        user_id = world.users()[0]
        versions = iter(range(10_000, 20_000))

        def later(body: dict[str, object]) -> object:
            return type("Said", (), {"status": 200, "body": body | {"version": next(versions)}})

        workers.answers[user_id] = later  # type: ignore[assignment]
        report = audit(ListLogs(world.lane), workers)
        assert (report.differences, report.not_comparable) == (0, 1)
        assert next(versions) == 10_000 + ROUNDS_MAX


class TestStages:
    """What is folded is what workers run."""

    def test_the_stages_are_those_of_the_worker(self, tmp_path: Path) -> None:
        """The same topics, app and rules, whatever the settings."""
        (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
        settings = load_settings(
            {
                "REBATE_RULES": str(tmp_path),
                "REBATE_DATADIR": str(tmp_path / "data"),
                "REBATE_APP_ID": "another",
                "REBATE_TOPIC_PREFIX": "p-",
                "REBATE_USER_ID_FIELDS": "jd:sub_union_id",
            }
        )
        ours = audited_stages(settings, load_rules(settings.rules))
        app = create_app(settings)
        assert [plain(stage) for stage in ours] == [plain(stage) for stage in app.lane.stages.values()]


def plain(stage: object) -> dict[str, object]:
    """Return a stage's members, rules by their content."""
    members = asdict(stage)  # type: ignore[arg-type]
    members["telling"] = members["telling"].topic  # since when, the registry says
    members["failures"] = members["failures"].decisions  # what a worker does about failures is its own
    if "rules" in members:
        members["rules"] = [version.content_hash for version in members["rules"].versions]
    return members


class TestCursors:
    """Lines of an id with very many of them move by messages of the id to itself."""

    @staticmethod
    def bound() -> World:
        """Return a world in which an id with more lines than one record moves is bound, in one partition."""
        world = World([RULES], partitions=1)
        moment = "2026-01-05T00:00:00+08:00"
        document = {
            "schema": "order-event/1", "kind": "order.snapshot", "platform": "taobao", "status": "paid",
            "currency": "CNY", "amounts": {"est_commission": 1000}, "attribution": {"special_id": "2880"},
            "seq": {"modified_at": moment}, "times": {"paid": moment},
        }  # fmt: skip
        world.take(document | {"order_line_id": f"L{n}"} for n in range(3 * MOVES_MAX + 10))
        for user_id in ("u1", "u2"):
            fact = {"schema": "user-fact/1", "kind": "attribution.bind"}
            world.lane.send_user(
                fact | {"attribution_id": "taobao:special_id:2880", "user_id": user_id}, NOW_US
            )
        return world

    @pytest.mark.parametrize("seed", range(10))
    def test_a_cursor_after_the_cut_is_not_invented(self, seed: int) -> None:
        """It follows from the cursor before it, or from the binding, wherever that stands."""
        world = self.bound()
        logs = ListLogs(world.lane, Stepping(world.lane, seed, chance=0.5, chunk_max=2))
        assert audit(logs).items == []

    def test_an_id_that_has_moved(self) -> None:
        """All cursors are sent by the fold."""
        world = self.bound()
        world.lane.run()
        report = audit(ListLogs(world.lane), ListWorkers(world.lane, AT_US))
        assert (report.items, report.after_cut) == ([], 0)
