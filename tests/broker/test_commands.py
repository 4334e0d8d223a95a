"""`rebate broker …` as a person and as a script use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rebate_app.broker import LocalKafka, free_port
from rebate_app.cli.broker_commands import broker
from tests.kafka_fixture import CHECKOUT, JARS_HOME, guarded


def run(*words: str) -> Result:
    """Run `rebate broker` with these words in this process."""
    return CliRunner().invoke(broker, words)


class TestWithoutABroker:
    """Exit codes say what a script has to know; nothing is made by looking."""

    def test_status_of_nothing(self, tmp_path: Path) -> None:
        """Not running is 69, and the folder is not made."""
        done = run("status", "--data", str(tmp_path / "none"))
        assert (done.exit_code, done.stdout) == (69, "not running\n")
        assert not (tmp_path / "none").exists()

    def test_status_as_json(self, tmp_path: Path) -> None:
        """One object that says the same."""
        done = run("status", "--json", "--data", str(tmp_path))
        document = json.loads(done.stdout)
        assert (document["running"], document["answering"], document["address"], document["pid"]) == (
            False,
            False,
            None,
            None,
        )

    def test_stop_of_nothing(self, tmp_path: Path) -> None:
        """Nothing to end is no failure."""
        assert run("stop", "--data", str(tmp_path)).stdout == "was not running\n"
        done = run("stop", "--json", "--data", str(tmp_path))
        assert (done.exit_code, json.loads(done.stdout)["stopped"]) == (0, False)

    @pytest.mark.parametrize("words", [["start", "--port", "0"], ["start", "--port", "x"], ["begin"]])
    def test_wrong_usage(self, words: list[str]) -> None:
        """2, as everywhere."""
        assert run(*words).exit_code == 2

    def test_without_java(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """78 and one sentence on stderr, nothing on stdout."""
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("JAVA_HOME", raising=False)
        done = run("start", "--data", str(tmp_path), "--port", str(free_port()))
        assert (done.exit_code, done.stdout) == (78, "")
        assert done.stderr.startswith("Error: The local Apache Kafka needs Java 17")

    def test_fetch_says_where_the_jars_are(self) -> None:
        """As text and as JSON; a second time it is quick and says the same."""
        text = run("fetch", "--jars", str(JARS_HOME)).stdout.strip()
        document = json.loads(run("fetch", "--json", "--jars", str(JARS_HOME)).stdout)
        assert document == {"jars": text}

    def test_help_has_examples(self) -> None:
        """Each command is shown as one would type it."""
        text = run("--help").stdout
        assert "rebate broker start --port 19093" in text
        assert "69 not available" in text


@pytest.mark.kafka
def test_a_broker_from_start_to_stop(tmp_path: Path) -> None:
    """Start prints the address and leaves it running when the command has ended; stop ends it."""

    def rebate(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "rebate_app.cli", "broker", *words, "--data", str(tmp_path)]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout

    port = free_port()
    address = f"127.0.0.1:{port}"
    start = ("start", "--port", str(port), "--jars", str(JARS_HOME))
    with guarded(tmp_path):
        assert rebate(*start) == (0, address + "\n")
        status = LocalKafka(tmp_path, port).status()
        code, text = rebate("status")
        assert (code, text) == (0, f"running on {address} (pid {status.pid}), answers\n")
        code, text = rebate(*start, "--json")
        document = json.loads(text)
        assert (document["address"], document["pid"], document["started"]) == (address, status.pid, False)
        assert rebate("start", "--port", str(free_port()), "--jars", str(JARS_HOME))[0] == 69
        assert rebate("stop") == (0, "stopped\n")
        assert rebate("status") == (69, "not running\n")
