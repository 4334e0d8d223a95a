"""The checks without a broker: each state with its sentence, the table of checks, and the exit codes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from click.testing import CliRunner
from msgspec.structs import replace

from rebate_app.auth.api_keys import new_key
from rebate_app.cli.doctor_command import doctor, exit_code
from rebate_app.doctor import checks, examine, page
from rebate_app.doctor.broker_checks import check_group
from rebate_app.doctor.check_spec import Context
from rebate_app.doctor.credential_checks import check_credentials
from rebate_app.doctor.disk_checks import disk_results
from rebate_app.doctor.local_checks import check_folder, check_names, check_settings, check_web
from rebate_app.doctor.partition_checks import Misplaced, deep_results, tail_sentence
from rebate_app.doctor.reach_checks import Pair, reach_results, url_results
from rebate_app.doctor.result import CheckResult, fail, ok, shortened_list, skip, warn
from rebate_app.doctor.rule_checks import check_rules
from rebate_app.doctor.topic_checks import check_elections, check_replicas
from rebate_app.doctor.worker_checks import clock_result, worker_results
from rebate_app.settings import Settings, load_settings
from rebate_app.streams.errors import UnreadableRecordError
from rebate_app.streams.kafka.announcements import Announcement
from rebate_app.streams.kafka.log_dirs import LogDir
from rebate_app.streams.kafka.replication import Brokers
from rebate_app.streams.kafka.topic_check import PartitionFound, TopicFound
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.web.routing.identity import Found
from rebate_app.wire.failure_headers import REROUTED_FROM, Place
from rebate_app.wire.unreadable import BadRecord
from tests.e2e.conftest import RULES
from tests.topology_driver import LogRecord

THREE = Brokers(3, 3)
BAD = [warn("a", "b", "c")]


def settings_of(**variables: str) -> Settings:
    """Return settings from REBATE_ variables."""
    return load_settings({f"REBATE_{name}": value for name, value in variables.items()})


def topic(replicas: int = 3, in_sync: int = 3, **config: str) -> TopicFound:
    """Return a topic of one partition."""
    given = {"min.insync.replicas": "2"} | {key.replace("_", "."): value for key, value in config.items()}
    return TopicFound({0: PartitionFound(1, replicas, in_sync)}, given)


def worker(url: str, **members: Any) -> dict[str, Any]:
    """Return an item of /v1/workers, healthy by default."""
    return {"url": url, "self": False, "alive": True, "ready": True, "partitions": {"t": [0]}} | members


def states(checks: list[CheckResult]) -> list[str]:
    """Return the states."""
    return [check.state for check in checks]


class TestLocalChecks:
    """The checks of this machine."""

    def test_secrets_are_msettings_of(self) -> None:
        """Settings that are not the defaults are shown, a password never."""
        text = check_settings(settings_of(SASL_PASSWORD="hush", PARTITIONS="3")).summary  # noqa: S106
        assert "REBATE_PARTITIONS=3" in text
        assert "REBATE_SASL_PASSWORD=***" in text
        assert "hush" not in text
        assert check_settings(settings_of()).summary == "all are the defaults"

    def test_names_are_ours(self) -> None:
        """In this environment they are."""
        assert check_names().state == "ok"

    def test_a_web_server_for_everybody_is_a_warning(self) -> None:
        """Loopback is well."""
        assert check_web(settings_of()).state == "ok"
        assert check_web(settings_of(WEB_HOST="0.0.0.0", INSECURE="1")).state == "warn"  # noqa: S104
        secured = {"AUTH": "on", "CLUSTER_SECRET": f"a:{'s' * 32}"}
        found = check_web(settings_of(WEB_HOST="0.0.0.0", **secured))  # noqa: S104
        assert (found.state, "asks for credentials" in found.summary) == ("ok", True)

    def test_a_file_of_keys_that_workers_refuse_is_a_failure(self, tmp_path: Path) -> None:
        """Missing, broken, or none although authentication is on; the problem is named, no secret is."""
        file, secret = tmp_path / "keys.toml", {"CLUSTER_SECRET": f"a:{'s' * 32}"}
        assert check_credentials(settings_of())[0].state == "ok"
        assert check_credentials(settings_of(AUTH="on", **secret))[0].state == "warn"
        (missing,) = check_credentials(settings_of(KEYS=str(file), **secret))
        assert (missing.state, "cannot be read" in missing.summary) == ("fail", True)
        file.write_text("[[key]]\nid = 'A'\n")
        (broken,) = check_credentials(settings_of(KEYS=str(file), **secret))
        assert (broken.state, "key 1: name is missing" in broken.summary) == ("fail", True)
        file.write_text(new_key("a", "a", ["admin"]).entry)
        assert check_credentials(settings_of(KEYS=str(file), **secret))[0].state == "ok"

    def test_rules_are_loaded(self, tmp_path: Path) -> None:
        """A version in force is well, none yet is a warning, a bad file a failure with its sentence."""
        file = tmp_path / "one.toml"
        file.write_text(RULES)
        check, rules = check_rules(settings_of(RULES=str(tmp_path)))
        assert (check.state, rules is not None) == ("ok", True)
        file.write_text(RULES.replace("2026-01-01T", "2999-01-01T"))
        assert check_rules(settings_of(RULES=str(tmp_path)))[0].state == "warn"
        file.write_text("nonsense")
        check, rules = check_rules(settings_of(RULES=str(tmp_path)))
        assert (check.state, rules) == ("fail", None)
        assert "one.toml" in check.summary

    def test_a_folder_that_cannot_be_written_is_a_failure(self, tmp_path: Path) -> None:
        """One that is not there yet is well where it can be made; the check creates nothing."""
        assert check_folder(settings_of(DATADIR=str(tmp_path / "new" / "folder"))).state == "ok"
        assert not (tmp_path / "new").exists()
        (tmp_path / "file").write_text("")
        assert check_folder(settings_of(DATADIR=str(tmp_path / "file" / "below"))).state == "fail"


class TestClusterChecks:
    """The results for what the broker answers."""

    def test_three_replicas_two_in_sync_are_well(self) -> None:
        """Fewer of either is a warning; so is a replica that is behind, by name."""
        assert states(check_replicas({"t": topic()}, THREE)) == ["ok"]
        assert states(check_replicas({"t": topic(replicas=2, in_sync=2)}, THREE)) == ["warn"]
        assert states(check_replicas({"t": topic(min_insync_replicas="1")}, THREE)) == ["warn"]
        (alone,) = check_replicas({"t": topic(replicas=1, in_sync=1)}, THREE)
        assert (alone.state, "on one of 3 brokers only" in alone.summary) == ("warn", True)
        (single,) = check_replicas({"t": topic(replicas=1, in_sync=1)}, Brokers(1, 1))
        assert (single.state, "on one of" in single.summary) == ("warn", False)
        (behind,) = check_replicas({"t": topic(in_sync=2)}, THREE)
        assert (behind.state, "t/0" in behind.summary) == ("warn", True)

    def test_unclean_elections_are_a_failure(self) -> None:
        """They lose acknowledged records."""
        assert check_elections({"t": topic()}).state == "ok"
        assert check_elections({"t": topic(unclean_leader_election_enable="true")}).state == "fail"

    @pytest.mark.parametrize(("members", "state"), [(0, "warn"), (1, "ok"), (8, "ok"), (9, "warn")])
    def test_more_workers_than_partitions_idle(self, members: int, state: str) -> None:
        """No worker, or more workers than partitions, is a warning."""
        assert check_group(settings_of(), members).state == state


class TestWorkerChecks:
    """The results for what workers answer."""

    def test_all_well(self) -> None:
        """One line for all of them."""
        assert states(worker_results([worker("a"), worker("b")])) == ["ok"]

    def test_each_problem_names_its_workers(self) -> None:
        """Dead owners fail; late ones, idle ones and one that has not joined warn."""
        results = worker_results(
            [
                worker("dead", alive=False, ready=False),
                worker("late", ready=False),
                worker("idle", partitions={"t": [], "u": []}),
            ]
        )
        assert [(check.state, check.summary.split()[-1]) for check in results][1] == ("warn", "late")
        assert states(results) == ["fail", "warn", "warn"]
        assert all(
            name in check.summary for name, check in zip(("dead", "late", "idle"), results, strict=True)
        )
        assert states(worker_results([])) == ["warn"]

    def test_clocks_may_differ_by_five_seconds(self) -> None:
        """More is a warning that names worker and difference, in either direction."""
        assert clock_result({"a": 4.9, "b": -5.0}).state == "ok"
        wrong = clock_result({"a": 61.0, "b": -7.0})
        assert wrong.state == "warn"
        assert "a (+61 s), b (-7 s)" in wrong.summary


class TestUrls:
    """The results for what workers announce, and what answers at their URLs."""

    def test_urls_that_exclude_each_other_fail(self) -> None:
        """Each pair is named; workers of earlier versions announce nothing, and nothing is said of them."""
        here = [Announcement(f"http://127.0.0.1:{port}", str(port), loopback="a") for port in (1, 2)]
        there = Announcement("http://10.0.0.2:1", "there")
        assert states(url_results(here)) == ["ok"]
        assert url_results([]) == []
        assert states(url_results([*here, there])) == ["fail", "fail"]
        assert states(url_results([there, Announcement(there.url, "twice")])) == ["fail"]

    def test_each_pair_has_to_reach_each_other(self) -> None:
        """What is frozen is named once, not by every pair; a pair that fails is named in its direction."""
        itself = {url: Found("itself") for url in "abc"}
        well = [Pair(one, other, "itself") for one in "abc" for other in "abc" if one != other]
        assert states(reach_results(itself, well)) == ["ok"]
        (frozen,) = reach_results(
            itself | {"b": Found("silent", "nothing answers")},
            [Pair("a", "b", "silent"), Pair("c", "b", "silent"), Pair("b", "a", "unknown")],
        )
        assert (frozen.state, frozen.summary.split()[0]) == ("fail", "b")
        (lost,) = reach_results(
            itself, [*well, Pair("c", "a", "unreachable", "no route"), Pair("a", "c", "another")]
        )
        assert "c → a: no route, a → c: another worker" in lost.summary

    def test_where_nobody_can_be_asked(self) -> None:
        """What is found from here counts: another worker fails, an operator's machine may reach nobody."""
        away = {"a": Found("unreachable", "no route")}
        assert states(reach_results(away, None)) == ["warn"]
        assert states(reach_results(away | {"b": Found("another")}, None)) == ["fail"]
        assert states(reach_results(away, [Pair("a", "b", "itself"), Pair("b", "a", "itself")])) == ["ok"]


class TestDisks:
    """The results for the room on the brokers' disks."""

    @pytest.mark.parametrize(
        ("total", "usable", "state"),
        [
            (100 << 30, 50 << 30, "ok"),
            (100 << 30, 5 << 30, "ok"),
            (100 << 30, 4 << 30, "warn"),
            (10 << 30, 1 << 30, "ok"),
            (10 << 30, (1 << 30) - 1, "warn"),
            (100 << 30, (1 << 30) - 1, "fail"),
            (1 << 30, (128 << 20) - 1, "fail"),
        ],
    )
    def test_bytes_and_shares(self, total: int, usable: int, state: str) -> None:
        """Less than 1 GiB or 5 % is a warning, less than 128 MiB or 1 % a failure."""
        assert states(disk_results([LogDir(1, "/data", total, usable)])) == [state]

    def test_a_folder_that_is_offline(self) -> None:
        """It is a failure with its broker, whatever the others have."""
        healthy, broken = LogDir(1, "/a", 1 << 40, 1 << 39), LogDir(2, "/b", -1, -1, "KafkaStorageError")
        (result,) = disk_results([healthy, broken])
        assert (result.state, "broker 2, /b" in result.summary) == ("fail", True)


class TestExitCode:
    """What prevents everything else goes first."""

    @pytest.mark.parametrize(
        ("checks", "strict", "code"),
        [
            ([ok("a", "b"), skip("c", "d")], True, 0),
            (BAD, False, 0),
            (BAD, True, 1),
            ([fail("topics", "b", "c"), *BAD], False, 1),
            ([fail("broker", "b", "c"), fail("workers", "b", "c")], False, 69),
            ([fail("rules", "b", "c"), fail("broker", "b", "c")], False, 78),
        ],
    )
    def test_the_most_severe_result_decides(self, checks: list[CheckResult], strict: bool, code: int) -> None:
        """78 before 69 before 1; warnings count only with --strict."""
        assert exit_code(checks, strict=strict) == code

    def test_settings_that_cannot_be_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """78 with the sentence, as JSON too."""
        monkeypatch.setenv("REBATE_BROKR", "x")
        done = CliRunner().invoke(doctor, ["--json"])
        assert done.exit_code == 78
        check = json.loads(done.stdout)["checks"][0]
        assert "did you mean REBATE_BROKER" in check["says"]
        assert set(check) == {"check", "state", "says", "do"}

    def test_no_broker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """69, and the checks that need no broker still run."""
        monkeypatch.setenv("REBATE_BROKER", "127.0.0.1:1")
        monkeypatch.setenv("REBATE_URL", "http://127.0.0.1:1")
        done = CliRunner().invoke(doctor, [])
        assert done.exit_code == 69
        assert "ok    rules" in done.stdout
        assert "fail  broker" in done.stdout

    def test_long_lists_stay_readable(self) -> None:
        """Four names, and how many more."""
        assert shortened_list(["a", "b"]) == "a, b"
        assert shortened_list(list("abcdefg")) == "a, b, c, d and 3 more"


async def results_of(settings: Settings) -> list[CheckResult]:
    """Return all results of the doctor."""
    return [result async for result in examine.examine(settings)]


class TestTable:
    """The table of checks and docs/doctor.md."""

    def test_the_page_is_fresh(self) -> None:
        """Else `python -m rebate_app.doctor.page > docs/doctor.md`."""
        file = Path(__file__).parents[2] / "docs/doctor.md"
        assert file.read_text(encoding="utf-8") == page.page()

    def test_names_are_unique_and_every_check_has_problems(self) -> None:
        """A check that finds nothing checks nothing."""
        names = [check.name for check in checks.CHECKS]
        assert len(names) == len(set(names))
        assert all(check.problems for check in checks.CHECKS)
        assert all(problem.remedy for check in checks.CHECKS for problem in check.problems)

    @pytest.mark.parametrize(
        ("error", "state"),
        [
            (KafkaError("no right"), "warn"),
            (OSError("gone"), "warn"),
            (UnreadableRecordError(BadRecord(Place("rules", 0, 7), "garbage", "remove it")), "fail"),
        ],
    )
    def test_a_check_that_cannot_run_does_not_prevent_the_others(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str
    ) -> None:
        """It is a warning, or a failure for a record on which workers end."""

        async def run(_context: Context) -> list[CheckResult]:
            raise error

        first, *others = checks.checks_with("nothing")
        monkeypatch.setattr(examine, "CHECKS", (replace(first, run=run), *others))
        monkeypatch.setenv("REBATE_BROKER", "127.0.0.1:1")
        results = asyncio.run(results_of(load_settings()))
        assert (results[0].check, results[0].state) == (first.name, state)
        assert [each.check for each in results[1 : len(others) + 1]] == [each.name for each in others]

    def test_every_result_comes_from_a_check_of_the_table(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a broker and a worker, too; local checks come first, in the order of the table."""
        monkeypatch.setenv("REBATE_BROKER", "127.0.0.1:1")
        monkeypatch.setenv("REBATE_URL", "http://127.0.0.1:1")
        done = CliRunner().invoke(doctor, ["--json"])
        names = [result["check"] for result in json.loads(done.stdout)["checks"]]
        local = [check.name for check in checks.checks_with("nothing")]
        assert names[: len(local)] == local
        assert set(names) <= {check.name for check in checks.CHECKS}


class TestPartitions:
    """What records in the wrong partition come to; reading them is shown on a real Kafka."""

    @staticmethod
    def _found(*records: LogRecord) -> Misplaced:
        found = Misplaced("t", 2)
        for record in records:
            found.take(record)
        return found

    def test_a_copy_is_evidence_too(self) -> None:
        """The newest records may be copies only: they name the records that were misplaced."""
        key = next(b"%d" % n for n in range(9) if partition_of(b"%d" % n, 2) == 1)
        copy = LogRecord("t", 1, 40, 0, key, b"", [(REROUTED_FROM, b"0/7")])
        assert self._found(copy).evidence() == ["t/0/7"]
        assert "1 were sent on from there: t/0/7" in tail_sentence(self._found(copy))
        assert (
            self._found(LogRecord("t", 1, 40, 0, key, b""), LogRecord("t", 0, 41, 0, None, b"")).evidence()
            == []
        )

    def test_a_copy_of_what_was_never_misplaced_is_forged(self) -> None:
        """Its offset is of another log, or of nobody's."""
        key = next(b"%d" % n for n in range(9) if partition_of(b"%d" % n, 2) == 1)
        origin = LogRecord("t", 0, 7, 0, key, b"")
        copies = [LogRecord("t", 1, n, 0, key, b"", [(REROUTED_FROM, b"0/%d" % n)]) for n in (7, 8)]
        (warned,) = deep_results(self._found(origin, *copies), [])
        assert (warned.state, warned.summary[:8]) == ("warn", "1 copies")
        assert states(deep_results(self._found(origin, *copies[:1]), [])) == ["ok"]

    def test_what_an_older_version_has_folded_is_a_failure(self) -> None:
        """Its money is in two places; the remedy is a rebuild."""
        (failed,) = deep_results(self._found(), ["t/0/1", "t/0/2"])
        assert failed.state == "fail"
        assert "t/0/1, t/0/2" in failed.summary
        assert "REBATE_APP_ID" in failed.remedy
