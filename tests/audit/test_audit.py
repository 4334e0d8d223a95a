"""The audit of a TopologyDriver without faults finds nothing, at rest and while processing goes on."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from msgspec.structs import asdict

from rebate_app.audit.audit import audited_stages
from rebate_app.audit.balance_check import ROUNDS_MAX
from rebate_app.bootstrap import create_app
from rebate_app.domain.account.attribution_account import MOVES_MAX
from rebate_app.settings import load_settings
from rebate_app.wire.rules.files import load_rules
from tests.audit.list_logs import ListLogs, ListWorkers, audit
from tests.audit.worlds import AT_US, Stepping, processed, send_feed
from tests.domain.world import NOW_US, World
from tests.topology_driver import ACCOUNTS, LINES

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

    @pytest.mark.longer
    @pytest.mark.parametrize("seed", range(24 if FULL else 12))
    def test_nothing_differs(self, seed: int) -> None:
        """Whatever the feed, its interleaving and the records that could not be used."""
        world = processed(seed, partitions=seed % 4 + 1)
        stream = world.stream
        report = audit(ListLogs(stream), ListWorkers(stream, AT_US))
        assert (report.items, report.differences) == ([], 0)
        assert (report.not_comparable, report.after_cut) == (0, 0)
        assert report.users_compared == len(world.users())
        assert report.accounts == len(world.users()) + len(world.attribution_ids())
        sources = (stream.topics.orders, stream.topics.user_log)
        logs = {where: log for where, log in stream.logs.items() if where[0] in sources}
        assert report.facts == sum(map(len, logs.values()))
        assert report.messages == len(stream.dead_letters) + sum(
            (record.value or b"").startswith(
                (b'{"schema":"rebate-internal/1","app":"rebate","format":1', b'{"schema":"owner-fact/1"')
            )
            for log in logs.values()
            for record in log
        )
        assert report.cut == {f"{topic}/{number}": len(log) - 1 for (topic, number), log in logs.items()}

    def test_a_system_that_never_saw_anything(self) -> None:
        """Has empty tables, which is what no facts make."""
        report = audit(ListLogs(World([RULES]).stream))
        assert (report.differences, report.facts, report.lines, report.accounts) == (0, 0, 0, 0)

    def test_facts_that_are_not_processed_yet_are_no_difference(self) -> None:
        """What comes after the watermark need not be in the table."""
        stream = send_feed(1).stream
        assert audit(ListLogs(stream), ListWorkers(stream, AT_US)).differences == 0


class TestWhileRunning:
    """In a running system each partition has a cut of its own, and nothing differs."""

    @pytest.mark.longer
    @pytest.mark.parametrize("seed", range(36 if FULL else 16))
    def test_nothing_differs(self, seed: int) -> None:
        """However processing interleaves with the reads of the audit."""
        world = send_feed(seed, lines=80)
        stream, rng = world.stream, random.Random(seed)
        for _ in range(rng.randrange(60)):
            if works := stream.waiting():
                work = rng.choice(works)
                stream.step(work.stage, work.partition, rng.randint(1, min(20, work.waiting)))
        stepping = Stepping(
            stream, seed, chance=rng.choice((0.1, 0.5, 1.0)), batch_records_max=rng.choice((1, 9, 50))
        )
        report = audit(ListLogs(stream, stepping), ListWorkers(stream, AT_US))
        assert (report.items, report.differences) == ([], 0)
        assert stepping.steps

    @pytest.mark.parametrize(("seconds_max", "right"), [(30.0, True), (1e9, False)])
    def test_a_slow_read_of_a_table_continues_to_a_new_end(
        self, monkeypatch: pytest.MonkeyPatch, seconds_max: float, right: bool
    ) -> None:
        """A slow read continues to a new end; without that, it misses what was compacted away."""
        found = []
        for seed in range(10):
            stream = send_feed(seed).stream
            stream.run_all([(LINES, number, 100) for number in range(stream.partitions)])
            stepping = Stepping(stream, seed, chance=0.6)
            monkeypatch.setattr("rebate_app.audit.table_copy.monotonic", lambda on=stepping: 100.0 * on.steps)
            monkeypatch.setattr("rebate_app.audit.table_copy.READ_SECONDS_MAX", seconds_max)
            logs = ListLogs(stream, stepping)
            logs.compacting = True
            found.append(audit(logs).differences)
        assert (sum(found) == 0) == right

    def test_messages_after_the_cut_are_left_out(self) -> None:
        """They are counted, which shows that the system went on."""
        world = send_feed(3, lines=120)
        assert audit(ListLogs(world.stream, Stepping(world.stream, 3))).after_cut > 0

    def test_a_user_whose_account_changes_is_compared_again_at_a_later_cut(self) -> None:
        """An account that changes during the request is compared once it is at rest."""
        world = send_feed(4)
        stream = world.stream
        stream.run_all([(LINES, number, 10_000) for number in range(stream.partitions)])
        stream.run_all([(ACCOUNTS, number, 40) for number in range(stream.partitions)])
        workers = ListWorkers(stream, AT_US)

        def finish() -> None:
            if workers.requests:
                stream.run()

        report = audit(ListLogs(stream, finish), workers)
        assert (report.differences, report.not_comparable) == (0, 0)

    def test_users_whose_accounts_always_change_are_counted(self) -> None:
        """Only their number is reported."""
        world = processed(5)
        workers = ListWorkers(world.stream, AT_US)
        user_id = world.users()[0]
        versions = iter(range(10_000, 20_000))

        def later(body: dict[str, object]) -> object:
            return type("WorkerAnswer", (), {"status": 200, "body": body | {"version": next(versions)}})

        workers.answers[user_id] = later  # type: ignore[assignment]
        report = audit(ListLogs(world.stream), workers)
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
        assert [plain(stage) for stage in ours] == [plain(stage) for stage in app.tasks.stages.values()]


def plain(stage: object) -> dict[str, object]:
    """Return a stage's members, but for rules: a worker reads them from Kafka when it starts."""
    members = asdict(stage)  # type: ignore[arg-type]
    members["event_policy"] = members["event_policy"].topic  # the event epoch is read at run time
    members["failures"] = members["failures"].decisions  # the audit has a failure policy of its own
    members.pop("rules", None)
    members.pop("deciding", None)  # the audit decides as the table says that the owner did
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
            world.stream.send_user(
                fact | {"attribution_id": "taobao:special_id:2880", "user_id": user_id}, NOW_US
            )
        return world

    @pytest.mark.parametrize("seed", range(10))
    def test_a_cursor_after_the_cut_is_not_invented(self, seed: int) -> None:
        """It follows from the cursor before it, or from the binding, wherever that stands."""
        world = self.bound()
        logs = ListLogs(world.stream, Stepping(world.stream, seed, chance=0.5, batch_records_max=2))
        assert audit(logs).items == []

    def test_an_id_that_has_moved(self) -> None:
        """All cursors are sent by the fold."""
        world = self.bound()
        world.stream.run()
        report = audit(ListLogs(world.stream), ListWorkers(world.stream, AT_US))
        assert (report.items, report.after_cut) == ([], 0)
