"""What commands write: nothing that a terminal interprets, one shape, and no traceback where it cannot be."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import click
import pytest

from rebate_app.cli import terminal
from rebate_app.cli.command_group import CommandGroup
from rebate_app.cli.root import rebate
from rebate_app.settings import load_settings
from tests.cli.cases import run
from tests.source_trees import tree_of

REBATE = Path(sys.executable).with_name("rebate")
CLI = Path(terminal.__file__).parent
HOSTILE = "a\x1b[31mred\x1b[0m\r\n\x07\x9b2J\u202etxt.exe\u2066\u200b\u2028\x7f\udcff"


def escaped_whole(text: str) -> bool:
    """Return whether a terminal shows each character of a line and interprets none."""
    return all(unicodedata.category(each)[0] != "C" and each not in "\u2028\u2029" for each in text)


class TestPrintable:
    """Text out of files, topics and answers."""

    def test_every_character_is_itself_or_an_escape(self) -> None:
        """Controls, formats, line and paragraph separators, surrogates: none is left, and letters stay."""
        for code in range(sys.maxunicode + 1):
            character = chr(code)
            shown = terminal.printable(character)
            assert escaped_whole(shown), hex(code)
            if unicodedata.category(character)[0] in "LMNPS":
                assert shown == character
        assert terminal.printable("轻量跑鞋\u3000男款 é") == "轻量跑鞋\u3000男款 é"

    def test_a_long_line_is_cut_and_says_so(self) -> None:
        """A value of megabytes does not scroll everything else away."""
        shown = terminal.printable("x" * 5_000_000)
        assert len(shown) < 2_100
        assert shown.endswith("… (4,998,000 more characters)")
        assert terminal.printable("x" * 5_000, None) == "x" * 5_000

    def test_a_cell_can_neither_begin_a_row_nor_shift_one(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Two rows are two lines, whatever is in them; Chinese characters take two columns."""
        terminal.print_table(("name", "n"), [(HOSTILE, "1"), ("轻量", "22"), ("y" * 1_000, "3")])
        header, *rows = capsys.readouterr().out.removesuffix("\n").split("\n")
        assert [row.split()[-1] for row in rows] == ["1", "22", "3"]
        assert all(map(escaped_whole, rows))
        assert len(rows[2]) < 250
        assert header.startswith("name")
        assert len(rows[1]) + 2 == len(rows[0])

    def test_a_text_of_many_lines_is_indented_and_cut(self, capsys: pytest.CaptureFixture[str]) -> None:
        """So that a value cannot look like a line of ours: traces and pages stay readable."""
        terminal.print_text("value", "{\n decision: discarded\x1b[2J\n}")
        assert capsys.readouterr().out == "value:\n  {\n   decision: discarded\\x1b[2J\n  }\n"
        terminal.print_text("value", "x\n" * 1_000)
        assert capsys.readouterr().out.splitlines()[-1] == "  … (800 more lines)"
        terminal.print_text("value", "short")
        assert capsys.readouterr().out == "value: short\n"

    def test_json_has_the_same_value_and_nothing_raw(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A terminal shows escapes, and a program reads what was there."""
        text = HOSTILE.replace("\udcff", "") + "\U000e0041轻"
        terminal.print_json({"title": text})
        out = capsys.readouterr().out.removesuffix("\n")
        assert escaped_whole(out)
        assert "轻" in out
        assert json.loads(out) == {"title": text}

    def test_a_file_name_that_is_no_text_is_json_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Names of files are bytes."""
        terminal.print_json({"file": os.fsdecode(b"\xff.json")})
        assert json.loads(capsys.readouterr().out) == {"file": "\udcff.json"}

    def test_all_commands_write_through_this_module(self) -> None:
        """No other one calls print or click.echo, or writes to a stream; so one place escapes."""
        found = []
        for path in sorted(CLI.glob("*.py")):
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    if called in ("print", "click.echo", "echo", "click.secho", "sys.stdout.write"):
                        found.append(f"{path.name}:{node.lineno}")
        assert found == []

    def test_usage_and_errors_are_escaped_too(self) -> None:
        """The name of a command or a file, and the detail of an error."""
        for arguments in (("fly\x1b[31m",), ("orders", "import", "x\x1b[2J.json", "--network", "jd")):
            outcome = run(*arguments)
            assert outcome.code == 2
            assert "\x1b" not in outcome.stderr
            assert "\\x1b" in outcome.stderr


class TestSuggestions:
    """A mistyped command."""

    @pytest.mark.parametrize(
        ("arguments", "suggested"),
        [
            (("order",), "orders"),
            (("users", "balances"), "balance"),
            (("dlq", "lst"), "list"),
            (("balance",), "users balance"),
            (("ledger",), "users ledger"),
        ],
    )
    def test_close_commands_are_named(self, arguments: tuple[str, ...], suggested: str) -> None:
        """Of the group, or of the group that has one of that name."""
        outcome = run(*arguments)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert f"Did you mean {suggested}" in outcome.stderr

    def test_nothing_close_names_nothing(self) -> None:
        """A wrong suggestion is worse than none."""
        assert "Did you mean" not in run("qqqqqq").stderr

    def test_every_group_suggests(self) -> None:
        """Also those that are added."""
        waiting: list[click.Command] = [rebate]
        while waiting:
            command = waiting.pop()
            if isinstance(command, click.Group):
                assert isinstance(command, CommandGroup), command.name
                waiting += command.commands.values()

    def test_the_version_is_that_of_the_package(self) -> None:
        """`rebate --version`, without a broker or a worker."""
        outcome = run("--version")
        assert outcome.code == 0
        assert outcome.stdout.split()[0] == "rebate"
        assert outcome.stdout.split()[1][0].isdigit()


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell with `rebate` as $R."""
    return subprocess.run(
        ["/bin/bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"R": str(REBATE)} | environment,
        timeout=60,
    )


class TestFullOrClosed:
    """Outputs that cannot be written; `topics acl` needs neither broker nor worker."""

    @pytest.mark.parametrize("command", ["topics acl", "topics acl --json", "--help", "--version"])
    def test_a_full_disk_is_75_and_one_sentence(self, command: str) -> None:
        """What was not written is not taken for a result."""
        ended = shell(f"$R {command} > /dev/full")
        assert (ended.returncode, ended.stderr.count("\n")) == (75, 1), ended.stderr
        assert "The output cannot be written: No space left on device" in ended.stderr

    @pytest.mark.parametrize("command", ["topics acl", "--help"])
    def test_a_closed_output_is_2_before_anything_is_done(self, command: str) -> None:
        """A result that nobody can read is not made."""
        ended = shell(f"$R {command} >&-")
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert "standard output is closed" in ended.stderr

    def test_a_reader_that_is_gone_is_141_and_silent(self) -> None:
        """As `yes | head` ends."""
        ended = shell("set -o pipefail; { sleep 2; $R topics acl; } | true")
        assert (ended.returncode, ended.stderr) == (141, "")

    def test_a_full_or_closed_stderr_takes_nothing_from_the_exit_code(self) -> None:
        """The code is all that is left."""
        for stderr in ("/dev/full", "&-"):
            ended = shell(f"$R lag 2>{stderr}", REBATE_BROKR="x")
            assert (ended.returncode, ended.stdout) == (78, "")

    def test_no_codes_for_terminals_are_in_pipes(self) -> None:
        """Not even where the environment asks for colours."""
        ended = shell("$R topics acl; $R fly; $R lag", REBATE_BROKER="127.0.0.1:1", FORCE_COLOR="1")
        assert "\x1b" not in ended.stdout + ended.stderr

    def test_a_character_that_the_output_lacks_is_an_escape(self) -> None:
        """¥ and Chinese titles on a terminal of another time."""
        code = "from rebate_app.cli.terminal import print_line; print_line('¥1.00 轻')"
        ended = shell(f'{sys.executable} -c "{code}"', PYTHONIOENCODING="ascii")
        assert (ended.returncode, ended.stdout) == (0, "\\xa51.00 \\u8f7b\n")


class TestFiles:
    """Settings that name files."""

    @pytest.mark.parametrize("command", [("lag",), ("users", "balance", "mei"), ("topics", "acl")])
    def test_a_missing_secret_file_is_78(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        """With the variable and the path."""
        monkeypatch.setenv("REBATE_SASL_PASSWORD_FILE", str(tmp_path / "gone"))
        outcome = run(*command)
        assert (outcome.code, outcome.stdout, outcome.stderr.count("\n")) == (78, "", 1)
        assert f"REBATE_SASL_PASSWORD_FILE {tmp_path / 'gone'}" in outcome.stderr

    @pytest.mark.parametrize("content", [None, b"no certificate"])
    def test_certificates_that_cannot_be_read_are_78(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
    ) -> None:
        """A missing CA file is no bug of ours."""
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setenv("REBATE_TLS_CA_FILE", str(path))
        outcome = run("lag")
        assert (outcome.code, outcome.stdout, outcome.stderr.count("\n")) == (78, "", 1), outcome.stderr
        assert str(path) in outcome.stderr


class TestUrl:
    """REBATE_URL follows the port of the worker on this machine."""

    @pytest.mark.parametrize(
        ("environment", "url"),
        [
            ({}, "http://127.0.0.1:6066"),
            ({"REBATE_WEB_PORT": "7001"}, "http://127.0.0.1:7001"),
            ({"REBATE_WEB_HOST": "::1", "REBATE_WEB_PORT": "7001"}, "http://[::1]:7001"),
            ({"REBATE_WEB_HOST": "0.0.0.0", "REBATE_INSECURE": "1"}, "http://127.0.0.1:6066"),  # noqa: S104
            ({"REBATE_WEB_PORT": "7001", "REBATE_URL": "http://w:1"}, "http://w:1"),
        ],
    )
    def test_it_is_where_a_worker_of_this_environment_listens(
        self, environment: dict[str, str], url: str
    ) -> None:
        """Unless it is set."""
        assert load_settings(environment).url == url
