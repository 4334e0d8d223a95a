"""Rules are data: two workers, versions published while orders come, a kill, a rebuild, two publishers."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.wire.rules.parsing import parse_rules
from rebate_app.wire.rules.published import PublishedVersion, encode_published
from tests.domain.histories import HISTORY, PROFILES, USERS, VERSIONS, phases, rules_text
from tests.e2e.conftest import NewSystem
from tests.oracle import Oracle
from tests.oracle.activations import KnownVersions
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

AT = datetime.fromisoformat("2026-06-01T00:00:00+08:00")
SECONDS_MAX = 30.0
LINES = 24
SHOWN = ("estimated", "confirmed", "available", "held")


def publish(system: System, *texts: str) -> Any:
    """Publish rule files with `rebate rules publish`."""
    files = []
    for text in texts:
        name = text.partition('version = "')[2].partition('"')[0]
        path = system.folder / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        files.append(str(path))
    return system.command("rules", "publish", *files, "--by", "test", "--reason", "a test", "--json")


def known_everywhere(worker: Worker, version: str, partitions: int) -> Callable[[], bool]:
    """Return whether every partition of the group knows the version."""

    def known() -> bool:
        answer = ask(f"{worker.url}/v1/workers")
        found = {
            partition
            for item in (answer.body or {"items": []})["items"]
            for each in item["rules"] or []
            if each["version"] == version
            for partition in each["activated"]
        }
        return len(found) == partitions

    return known


def amounts(worker: Worker, user: str) -> dict[str, int]:
    """Return the buckets of a user."""
    answer = ask(f"{worker.url}/v1/users/{user}/balance?at={quote(AT.isoformat())}")
    assert answer.status == 200, answer.body
    return {name: answer.body[name] for name in SHOWN}


def expected(oracle: Oracle, user: str) -> dict[str, int]:
    """Return what the oracle says."""
    found = oracle.balance(user, AT)
    return {name: found[name] for name in SHOWN}


def audited(system: System, url: str | None = None) -> Any:
    """Return the report of an audit."""
    done = system.command("audit", "--json", *([] if url else ["--no-http"]), url=url)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def activations(system: System, app: str = "rebate") -> dict[tuple[int, str], int]:
    """Return what owners stated in the log: (partition, version) → offset behind which it is known."""
    found: dict[tuple[int, str], int] = {}
    for record in system.read(system.topics.user_log):
        value = json.loads(record.value)
        if value.get("kind") == "rules.activated" and value["app"] == app:
            assert (record.partition, value["version"]) not in found, "stated twice"
            assert value["schema"] == "owner-fact/1"
            found[record.partition, value["version"]] = value["after_offset"]
    return found


class TestRulesOnKafka:
    """The whole way of a version, on a real Kafka."""

    def test_versions_that_are_published_while_orders_come(self, new_system: NewSystem) -> None:
        """Equal orders are priced equally; kill -9 between note and batch; audit 0; rebuild; doctor."""
        rng = random.Random(7)
        system = new_system([HISTORY[0]])
        partitions = system.settings.partitions
        history, known = [], KnownVersions(HISTORY)
        gate = system.folder / "gate"
        first = system.start_worker(0)
        rigged = {"REBATE_TEST_FAULT": "noted:1:kill", "REBATE_TEST_FAULT_GATE": str(gate)}
        second = system.start_worker(1, **rigged)
        first.wait_ready()
        second.wait_ready()
        system.send_users([document for document, _ in PROFILES])
        system.wait_idle()
        for number, facts in enumerate(phases(rng, LINES)):
            if number == 2:
                gate.touch()  # the second worker dies when it has noted a version and folded nothing with it
            if number:
                done = publish(system, HISTORY[number])
                assert done.returncode == 0, done.stderr
                assert "effective_from is past" in done.stdout
            if number == 2:
                second.wait_exit(SECONDS_MAX)
                second = system.start_worker(1)
                second.wait_ready()
            wait_for(
                known_everywhere(first, VERSIONS[number], partitions),
                SECONDS_MAX,
                f"{VERSIONS[number]} known",
            )
            history += facts
            system.send_orders(facts)
            system.wait_idle()
            known.phase(Oracle(history, PROFILES, HISTORY), VERSIONS[: number + 1])
        oracle = Oracle(history, PROFILES, HISTORY, pinned=known.pinned)
        assert set(known.pinned.values()) == set(VERSIONS)
        for worker in (first, second):
            for user in USERS:
                assert amounts(worker, user) == expected(oracle, user)
        report = audited(system, first.url)
        assert (report["differences"], report["items"]) == (0, [])
        stated = activations(system)
        assert stated.keys() == {(number, name) for number in range(partitions) for name in VERSIONS}
        assert {stated[number, "v1"] for number in range(partitions)} == {-1}
        self._doctor(system, first)
        first.stop()
        second.stop()
        self._rebuild(system, history)

    @staticmethod
    def _doctor(system: System, worker: Worker) -> None:
        done = system.command("doctor", "--json", url=worker.url)
        checks = {item["check"]: item for item in json.loads(done.stdout)["checks"]}
        assert checks["published rules"]["state"] == "ok", checks["published rules"]
        assert checks["workers' rules"]["state"] == "ok", checks["workers' rules"]
        (system.folder / "rules" / "new.toml").write_text(rules_text("v9", "2027-01-01", 1, 1))
        done = system.command("doctor", "--json", url=worker.url)
        checks = {item["check"]: item for item in json.loads(done.stdout)["checks"]}
        assert checks["published rules"]["state"] == "warn"
        assert "v9" in checks["published rules"]["says"]

    @staticmethod
    def _rebuild(system: System, history: list[dict[str, Any]]) -> None:
        """Price everything anew under another app id: with all versions published at its start."""
        again = System(
            system.settings.broker,
            system.settings.topic_prefix,
            system.folder / "again",
            [],
            REBATE_APP_ID="again",
        )
        with again:
            worker = again.start_worker(0)
            worker.wait_ready()
            again.wait_idle()
            oracle = Oracle(history, PROFILES, HISTORY)
            for user in USERS:
                assert amounts(worker, user) == expected(oracle, user)
            assert set(activations(again, "again").values()) == {-1}
            assert audited(again, worker.url)["differences"] == 0
            assert "lines can be priced otherwise than under another app id" in worker.log_text()

    def test_publishing(self, new_system: NewSystem, tmp_path: Path) -> None:
        """The folder once; a changed file ends a worker with 78; two publishers never both win."""
        system = new_system([HISTORY[0]])
        self._after_an_older_release(system)
        worker = system.start_worker(0)
        worker.wait_ready()
        listed = json.loads(system.command("rules", "list", "--json", url=worker.url).stdout)["items"]
        assert [(each["version"], each["in_force"]) for each in listed] == [("v1", True)]
        assert len(listed[0]["activated"]) == system.settings.partitions
        self._two_publishers(system, tmp_path)
        assert publish(system, rules_text("v8", "2026-01-01", 1, 1)).returncode == 78
        assert publish(system, HISTORY[0]).returncode == 0
        compared = system.command("rules", "diff", "v1", "v2").stdout
        assert "share_bps basic default" in compared
        assert system.command("rules", "show", "v1").stdout == HISTORY[0]
        answer = ask(f"{worker.url}/v1/rules/v1")
        assert answer.body == HISTORY[0].encode()
        assert ask(f"{worker.url}/v1/rules/v9").status == 404
        assert worker.stop() == 0
        system.use_rules([HISTORY[0] + "# changed\n"])
        late = system.start_worker(0)
        assert late.wait_exit(SECONDS_MAX) == 78
        assert "published with another content: v1" in late.log_text()

    def test_platforms_without_adapter(self, new_system: NewSystem) -> None:
        """A file that names one is refused, by a worker and by the publisher; what is published is read."""
        text = HISTORY[0].replace("default = 5000 ", "default = 5000, taoboa = 6000 ")
        system = new_system([text])
        problem = "level[1].share_bps.taoboa: unknown key; did you mean taobao?"
        refused = system.start_worker(0)
        assert refused.wait_exit(SECONDS_MAX) == 78
        assert problem in refused.log_text()
        done = publish(system, text)
        assert (done.returncode, problem in done.stderr) == (78, True)
        assert system.read(system.topics.rule_versions) == []
        rule = parse_rules(text, "f", platforms=None)
        assert isinstance(rule, RuleVersion)
        record = encode_published(PublishedVersion(rule, text, "an older release", "2026-01-01T00:00:00Z"))
        system.produce(system.topics.rule_versions, [record])
        worker = system.start_worker(0)
        worker.wait_ready()
        assert "'v1' has shares of platforms without adapter: taoboa" in worker.log_text()
        done = publish(system, text)
        assert (done.returncode, json.loads(done.stdout)["unchanged"]) == (0, ["v1"])

    @staticmethod
    def _after_an_older_release(system: System) -> None:
        """Compare what an older release has used before anything is published."""
        system.produce(system.topics.rules, [(b"version v1", b"0" * 64)])
        refused = system.start_worker(0)
        assert refused.wait_exit(SECONDS_MAX) == 78
        assert "rule version v1 was used with another content than in " in refused.log_text()
        assert system.read(system.topics.rule_versions) == []
        system.produce(system.topics.rules, [(b"version v1", None)])

    @staticmethod
    def _two_publishers(system: System, folder: Path) -> None:
        """Both publish v2, with different contents, at the same time."""
        texts = [rules_text("v2", "2026-01-10", bps, 600) for bps in (6_000, 6_001)]
        files = [folder / f"publisher-{number}.toml" for number in range(2)]
        codes: dict[int, int] = {}

        def run(number: int) -> None:
            files[number].write_text(texts[number], encoding="utf-8")
            done = system.command("rules", "publish", str(files[number]), "--reason", "race")
            codes[number] = done.returncode

        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(codes.values()) == [0, 78]
        winner = next(number for number, code in codes.items() if code == 0)
        records = system.read(system.topics.rule_versions)
        assert [record.key for record in records] == [b"v1", b"v2"]
        assert json.loads(records[1].value)["content"] == texts[winner]
