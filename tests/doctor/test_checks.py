"""The checks' judgements, without a broker: each state with its sentence, and the exit code of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rebate_app.cli.doctor import doctor, exit_code
from rebate_app.doctor.broker import check_elections, check_group, check_replicas
from rebate_app.doctor.findings import Check, fail, ok, skip, some, warn
from rebate_app.doctor.here import check_folder, check_names, check_rules, check_settings, check_web
from rebate_app.doctor.workers import judge, judge_clocks
from rebate_app.lane.topic_check import PartitionFound, TopicFound
from rebate_app.settings import Settings, load_settings
from tests.e2e.conftest import RULES

BAD = [warn("a", "b", "c")]


def asked(**variables: str) -> Settings:
    """Return settings from REBATE_ variables."""
    return load_settings({f"REBATE_{name}": value for name, value in variables.items()})


def topic(replicas: int = 3, in_sync: int = 3, **config: str) -> TopicFound:
    """Return a topic of one partition."""
    given = {"min.insync.replicas": "2"} | {key.replace("_", "."): value for key, value in config.items()}
    return TopicFound({0: PartitionFound(1, replicas, in_sync)}, given)


def worker(url: str, **members: Any) -> dict[str, Any]:
    """Return an item of /v1/workers, well unless said otherwise."""
    return {"url": url, "self": False, "alive": True, "ready": True, "partitions": {"t": [0]}} | members


def states(checks: list[Check]) -> list[str]:
    """Return the states."""
    return [check.state for check in checks]


class TestHere:
    """What needs nobody else."""

    def test_secrets_are_masked(self) -> None:
        """Settings that are not the defaults are shown, a password never."""
        says = check_settings(asked(SASL_PASSWORD="hush", PARTITIONS="3")).says  # noqa: S106
        assert "REBATE_PARTITIONS=3" in says
        assert "REBATE_SASL_PASSWORD=***" in says
        assert "hush" not in says
        assert check_settings(asked()).says == "all are the defaults"

    def test_names_are_ours(self) -> None:
        """In this environment they are."""
        assert check_names().state == "ok"

    def test_a_web_server_for_everybody_is_a_warning(self) -> None:
        """Loopback is well."""
        assert check_web(asked()).state == "ok"
        assert check_web(asked(WEB_HOST="0.0.0.0", INSECURE="1")).state == "warn"  # noqa: S104

    def test_rules_are_loaded(self, tmp_path: Path) -> None:
        """A version in force is well, none yet is a warning, a bad file a failure with its sentence."""
        file = tmp_path / "one.toml"
        file.write_text(RULES)
        check, rules = check_rules(asked(RULES=str(tmp_path)))
        assert (check.state, rules is not None) == ("ok", True)
        file.write_text(RULES.replace("2026-01-01T", "2999-01-01T"))
        assert check_rules(asked(RULES=str(tmp_path)))[0].state == "warn"
        file.write_text("nonsense")
        check, rules = check_rules(asked(RULES=str(tmp_path)))
        assert (check.state, rules) == ("fail", None)
        assert "one.toml" in check.says

    def test_a_folder_that_cannot_be_written_is_a_failure(self, tmp_path: Path) -> None:
        """One that is not there yet is well where it can be made; nothing is made by looking."""
        assert check_folder(asked(DATADIR=str(tmp_path / "new" / "folder"))).state == "ok"
        assert not (tmp_path / "new").exists()
        (tmp_path / "file").write_text("")
        assert check_folder(asked(DATADIR=str(tmp_path / "file" / "below"))).state == "fail"


class TestBroker:
    """What the broker's answers mean."""

    def test_three_replicas_two_in_sync_are_well(self) -> None:
        """Fewer of either is a warning; so is a replica that is behind, by name."""
        assert states(check_replicas({"t": topic()})) == ["ok"]
        assert states(check_replicas({"t": topic(replicas=2, in_sync=2)})) == ["warn"]
        assert states(check_replicas({"t": topic(min_insync_replicas="1")})) == ["warn"]
        (behind,) = check_replicas({"t": topic(in_sync=2)})
        assert (behind.state, "t/0" in behind.says) == ("warn", True)

    def test_unclean_elections_are_a_failure(self) -> None:
        """They give acknowledged records away."""
        assert check_elections({"t": topic()}).state == "ok"
        assert check_elections({"t": topic(unclean_leader_election_enable="true")}).state == "fail"

    @pytest.mark.parametrize(("members", "state"), [(0, "warn"), (1, "ok"), (8, "ok"), (9, "warn")])
    def test_more_workers_than_partitions_idle(self, members: int, state: str) -> None:
        """Nobody, or more than can have a partition, is a warning."""
        assert check_group(asked(), members).state == state


class TestWorkers:
    """What the workers' answers mean."""

    def test_all_well(self) -> None:
        """One line for all of them."""
        assert states(judge([worker("a"), worker("b")])) == ["ok"]

    def test_each_trouble_is_told_by_name(self) -> None:
        """Dead owners fail; late ones, idle ones and one that has not joined warn."""
        told = judge(
            [
                worker("dead", alive=False, ready=False),
                worker("late", ready=False),
                worker("idle", partitions={"t": [], "u": []}),
            ]
        )
        assert [(check.state, check.says.split()[-1]) for check in told][1] == ("warn", "late")
        assert states(told) == ["fail", "warn", "warn"]
        assert all(name in check.says for name, check in zip(("dead", "late", "idle"), told, strict=True))
        assert states(judge([])) == ["warn"]

    def test_clocks_may_differ_by_five_seconds(self) -> None:
        """More is a warning that names worker and difference, in either direction."""
        assert judge_clocks({"a": 4.9, "b": -5.0}).state == "ok"
        wrong = judge_clocks({"a": 61.0, "b": -7.0})
        assert wrong.state == "warn"
        assert "a (+61 s), b (-7 s)" in wrong.says


class TestExitCode:
    """What keeps everything else from working goes first."""

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
    def test_the_gravest_decides(self, checks: list[Check], strict: bool, code: int) -> None:
        """78 before 69 before 1; warnings count only when asked for."""
        assert exit_code(checks, strict=strict) == code

    def test_settings_that_cannot_be_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """78 with the sentence, as JSON too."""
        monkeypatch.setenv("REBATE_BROKR", "x")
        done = CliRunner().invoke(doctor, ["--json"])
        assert done.exit_code == 78
        assert "did you mean REBATE_BROKER" in json.loads(done.stdout)["checks"][0]["says"]

    def test_no_broker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """69, and what can be looked at without one is told all the same."""
        monkeypatch.setenv("REBATE_BROKER", "127.0.0.1:1")
        monkeypatch.setenv("REBATE_URL", "http://127.0.0.1:1")
        done = CliRunner().invoke(doctor, [])
        assert done.exit_code == 69
        assert "ok    rules" in done.stdout
        assert "fail  broker" in done.stdout

    def test_long_lists_stay_readable(self) -> None:
        """Four names, and how many more."""
        assert some(["a", "b"]) == "a, b"
        assert some(list("abcdefg")) == "a, b, c, d and 3 more"
