"""The command line as a whole: help, usage, settings, and that no traceback is ever shown."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rebate_app.cli import terminal as show
from rebate_app.cli.dlq_actions import source_of
from rebate_app.cli.exits import guarded
from rebate_app.cli.root import rebate
from rebate_app.networks import file_formats
from rebate_app.settings import load_settings
from tests.cli.cases import run

REBATE = Path(sys.executable).with_name("rebate")


def commands() -> list[tuple[str, ...]]:
    """Return the path of every command that there is."""
    found: list[tuple[str, ...]] = []
    waiting: list[tuple[tuple[str, ...], click.Command]] = [((), rebate)]
    while waiting:
        path, command = waiting.pop()
        if isinstance(command, click.Group):
            waiting += [((*path, name), each) for name, each in command.commands.items()]
        else:
            found.append(path)
    return sorted(found)


class TestHelp:
    """What is listed works, and says how."""

    @pytest.mark.parametrize("path", commands(), ids=" ".join)
    def test_every_command_has_examples_json_and_exit_codes(self, path: tuple[str, ...]) -> None:
        """A person learns from --help alone how to call it and what its exit code will mean."""
        outcome = run(*path, "--help")
        assert outcome.code == 0
        assert "Example" in outcome.stdout
        assert f"rebate {' '.join(path)}" in outcome.stdout
        assert "--json" in outcome.stdout
        assert "Exit codes" in outcome.stdout

    def test_every_group_says_what_it_is_about(self) -> None:
        """The list of commands is a table of contents."""
        listed = run("--help").stdout
        assert all(name in listed for name in rebate.commands)

    def test_help_lists_every_format_and_loads_no_adapter(self) -> None:
        """`--network` offers the rows of the table of networks; their adapters are loaded by the import."""
        code = (
            "import sys; from rebate_app.cli.root import rebate\n"
            "rebate(['orders', 'import', '--help'], standalone_mode=False)\n"
            "print([name for name in sys.modules if name.startswith('rebate_app.wire.networks')])"
        )
        lines = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
        assert f"[{'|'.join(file_formats())}]" in "".join(line.strip() for line in lines)
        assert lines[-1] == "[]"


class TestUsage:
    """Mistakes on the command line: exit code 2, said on stderr."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ("orders", "import"),
            ("dlq", "list", "--topic", "orders-dlt"),
            ("orders", "import", "no-such-file.json", "--network", "jd"),
            ("orders", "import", __file__),
            ("orders", "import", __file__, "--network", "amazon"),
            ("lag", "--wait", "soon"),
            ("lag", "--wait", "-1"),
            ("fly",),
        ],
        ids=" ".join,
    )
    def test_a_mistake_is_2(self, arguments: tuple[str, ...]) -> None:
        """Nothing is printed on stdout that a script could take for a result."""
        outcome = run(*arguments)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert "Error" in outcome.stderr

    def test_a_setting_that_does_not_exist_is_78(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Commands read the environment as workers do, with the same suggestions."""
        monkeypatch.setenv("REBATE_BROKR", "x")
        outcome = run("lag")
        assert outcome.code == 78
        assert "did you mean REBATE_BROKER" in outcome.stderr


class TestSources:
    """How the sources of dead letters may be called."""

    @pytest.mark.parametrize("name", ["shop-order_topic", "order_topic", "orders"])
    def test_a_source_is_known_by_its_name_with_and_without_prefix(self, name: str) -> None:
        """An operator reads the name off an ID, or remembers it."""
        settings = load_settings({"REBATE_TOPIC_PREFIX": "shop-"})
        assert source_of(settings, name) == "shop-order_topic"
        assert source_of(settings, None) is None


class TestLastDefence:
    """What happens when something happens that nobody thought of."""

    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [(KeyError("x"), 70, "KeyError at test_command_line.py:"), (KeyboardInterrupt(), 130, "Interrupted")],
    )
    def test_it_is_one_line_with_the_place(self, error: BaseException, code: int, message: str) -> None:
        """A bug of ours is 70 and says where; Ctrl-C is 130 and says so."""

        @click.command()
        @guarded
        def bad() -> None:
            raise error

        result = CliRunner(catch_exceptions=False).invoke(bad)
        assert (result.exit_code, result.stdout) == (code, "")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


class TestProcess:
    """The installed command, as a process."""

    def test_the_entry_point_works(self) -> None:
        """`rebate` and `python -m rebate_app.cli` are the same."""
        for command in ([REBATE], [sys.executable, "-m", "rebate_app.cli"]):
            ended = subprocess.run([*command, "fly"], capture_output=True, text=True, check=False)
            assert (ended.returncode, ended.stdout) == (2, "")
            assert "No such command 'fly'" in ended.stderr

    def test_a_reader_that_goes_away_is_no_error(self) -> None:
        """`rebate … | head` ends quietly."""
        command = f"{REBATE} --help | true"
        ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
        assert "Traceback" not in ended.stderr


class TestProgress:
    """Progress is for people at a terminal only."""

    def test_without_a_terminal_there_is_none(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Logs of scripts hold results and errors, no moving lines."""
        with show.progress("Importing") as report:
            report(1, "rows read")
        assert capsys.readouterr() == ("", "")

    def test_at_a_terminal_it_is_on_stderr_and_says_how_far_it_is(self) -> None:
        """Rows and rate are shown while it works; NO_COLOR takes the colours away."""
        code = (
            "import time; from rebate_app.cli.terminal import progress\n"
            "with progress('Importing') as tell:\n"
            "    for rows in range(5): tell(rows * 1000, 'rows read'); time.sleep(0.15)\n"
        )
        master, slave = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
        try:
            ended = subprocess.run(
                [sys.executable, "-c", code],
                stderr=slave,
                stdout=subprocess.PIPE,
                check=True,
                env=environment,
            )
        finally:
            os.close(slave)
        shown = os.read(master, 1_000_000).decode()
        os.close(master)
        assert ended.stdout == b""
        assert "rows read" in shown
        assert "\x1b[31m" not in shown
