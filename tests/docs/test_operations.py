"""The runbook: a section for each alert and exit code, and commands that run on a real system."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rebate_app import settings
from rebate_app.cli import exits
from rebate_app.streams import errors
from rebate_app.streams.errors import StreamsError
from tests.alerts.rules import load_alerts
from tests.docs.runbook import CHECKOUT, commands, pages, sections
from tests.rig.system import System
from tests.rig.waiting import wait_for
from tests.streams.failures.poison import order, raw
from tests.webhooks.receiver import Receiver
from tests.webhooks.test_on_kafka import webhooks

COMMAND_SECONDS_MAX = 120
BUGGY = "buggy"
#: Not ours: the operating system's answer to SIGKILL.
KILLED = "137"
CORRECTION = 'version = "2026-01-r2"\nreplaces = "2026-01-r1"'


class TestSections:
    """What there is has a section, and what has a section is there."""

    def test_every_alert_has_its_section_and_every_section_its_alert(self) -> None:
        """In the order of the rules, each with the rule's severity as its first word."""
        written = {heading: text.split(".")[0] for heading, text in sections("alerts.md").items()}
        assert written == {alert.name: alert.severity for alert in load_alerts()}
        assert list(written) == [alert.name for alert in load_alerts()]

    def test_every_exit_code_has_its_section(self) -> None:
        """And no section is about a code that there is not."""
        codes = {str(value) for name, value in vars(settings).items() if name.startswith("EXIT_")}
        codes |= {str(exits.EXIT_INTERRUPTED), KILLED}
        assert set(sections("exit-codes.md")) == codes

    def test_every_error_that_ends_a_worker_is_named_under_its_code(self) -> None:
        """Those of the engine, and the settings' own."""
        text = sections("exit-codes.md")
        kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
        ends = [kind for kind in kinds if issubclass(kind, StreamsError) and kind is not StreamsError]
        assert len(ends) > 8
        missing = [kind.__name__ for kind in ends if f"`{kind.__name__}`" not in text[str(kind.exit_code)]]
        assert missing == []
        assert "`ConfigurationError`" in text[str(settings.EXIT_CONFIGURATION)]

    def test_the_index_names_every_page(self) -> None:
        """A page that nobody finds at night does not help."""
        index = (pages()[0].parent / "README.md").read_text(encoding="utf-8")
        assert [
            page.name for page in pages() if page.name != "README.md" and f"({page.name})" not in index
        ] == []

    def test_commands_are_found(self) -> None:
        """A parser that misses blocks would prove nothing."""
        lines = [command.line for command in commands()]
        assert len(lines) > 30
        assert "rebate doctor" in lines
        assert {command.needs for command in commands()} >= {""}


class Runbook:
    """A system in which something of everything has happened, and a shell with the names of the pages."""

    def __init__(self, system: System, url: str, dead_letter: str) -> None:
        tools = Path(sys.executable).parent
        self._folder = system.folder
        self._environment = system.environment(6066, 0) | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "REBATE_DATADIR": str(system.folder / "commands"),
            "REBATE_URL": url,
            "OPERATOR": "ann",
            "ID": dead_letter,
            "KEY": BUGGY,
        }

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run one command of a page."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def has(self, command: str) -> bool:
        """Whether `rebate` has this command."""
        return self.run(f"rebate {command} --help").returncode == 0


@pytest.fixture(scope="class")
def runbook(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runbook]:
    """Return a system with members, orders, dead letters, a key whose bug is repaired, and a receiver."""
    folder = tmp_path_factory.mktemp("runbook")
    (folder / "examples").symlink_to(CHECKOUT / "examples")
    rules = (CHECKOUT / "rules" / "2026-01.toml").read_text(encoding="utf-8")
    (folder / "correction.toml").write_text(
        rules.replace('version = "2026-01-r1"', CORRECTION), encoding="utf-8"
    )
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        system = System(kafka, "runbook-", folder, [rules], REBATE_PARTITIONS="2", **webhooks(receiver))
        stack.enter_context(system)
        first = system.start_worker(0, REBATE_TEST_BUG=BUGGY)
        first.wait_ready()
        system.produce(system.topics.orders, [(b"taobao:bad", b"{"), (b"taobao:worse", b"[]")])
        system.send_orders([order("taobao:1", "mei"), order("taobao:2", BUGGY)])
        system.produce(system.topics.orders, [(b"taobao:3", raw(order("taobao:3", "tao")))])
        wait_for(
            lambda: BUGGY in system.command("dlq", "parked", url=first.url).stdout, 60, "the key is parked"
        )
        assert first.stop() == 0
        worker = system.start_worker(0)
        worker.wait_ready()
        system.wait_idle()
        listed = system.command("dlq", "list", "--reason", "undecodable", "--json", url=worker.url)
        yield Runbook(system, worker.url, listed.stdout.split('"id":')[1].split('"')[1])


@pytest.mark.kafka
class TestCommands:
    """Every command of the pages, on one system after the other page's."""

    def test_every_command_runs(self, runbook: Runbook) -> None:
        """Exit code 0, in the order of the pages; what needs a command that is not built is left out."""
        failed = []
        for command in commands():
            if command.needs and not runbook.has(command.needs):
                continue
            done = runbook.run(command.line)
            if done.returncode != 0:
                failed.append(
                    f"{command.page}: {command.line}: {done.returncode}\n{done.stdout}{done.stderr}"
                )
        assert failed == [], "\n\n".join(failed)


@pytest.mark.parametrize("needs", sorted({command.needs for command in commands()} - {""}))
def test_commands_that_pages_need_exist(needs: str) -> None:
    """Skipped, with the command's name, while it is not built."""
    done = subprocess.run(
        [sys.executable, "-m", "rebate_app.cli", *needs.split(), "--help"], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"`rebate {needs}` is not built yet: what the pages do with it is NOT run")
