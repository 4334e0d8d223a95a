"""The commands of README and quickstart, in both languages, do what the pages show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.commands import Step, shows, split_services, steps, without_comments
from tests.docs.pages import ROOT
from tests.docs.terminal import Terminal

PAGES = ("README", "docs/quickstart")
TRANSLATION = ".zh-CN"


def steps_of(page: str, language: str = "") -> list[Step]:
    """Return the steps of a page by its name without suffix."""
    return steps((ROOT / f"{page}{language}.md").read_text(encoding="utf-8"))


class TestLanguages:
    """English and Chinese pages."""

    @pytest.mark.parametrize("page", PAGES)
    def test_both_have_the_same_commands_and_outputs_in_the_same_order(self, page: str) -> None:
        """So that following one page proves both; comments in code may differ."""
        assert steps_of(page, TRANSLATION) == steps_of(page)

    @pytest.mark.parametrize(
        ("page", "commands"),
        [
            ("README", ("make run", "rebate orders import", "faust -A", "create_order", "broker stop")),
            (
                "docs/quickstart",
                (
                    "make install",
                    "profiles import",
                    "attributions import",
                    "users balance",
                    "REBATE_WEB_PORT=6067",
                ),
            ),
        ],
    )
    def test_the_commands_are_found(self, page: str, commands: tuple[str, ...]) -> None:
        """A parser that misses blocks would prove nothing."""
        code = "".join(step.code for step in steps_of(page))
        assert [command for command in commands if command not in code] == []

    @pytest.mark.parametrize("page", PAGES)
    def test_each_page_links_its_translation(self, page: str) -> None:
        """At the top, in both directions."""
        name = Path(page).name
        for language, other in (("", TRANSLATION), (TRANSLATION, "")):
            first_line = (ROOT / f"{page}{language}.md").read_text(encoding="utf-8").splitlines()[0]
            assert f"({name}{other}.md)" in first_line


@pytest.mark.kafka
class TestCommands:
    """The pages followed from top to bottom, on a real Kafka and with real workers."""

    @pytest.mark.parametrize("page", PAGES)
    def test_every_command_succeeds_and_prints_what_the_page_shows(self, page: str, tmp_path: Path) -> None:
        """Both pages end with nothing running."""
        with Terminal.opened(tmp_path) as terminal:
            for step in steps_of(page):
                terminal.follow(step)
            terminal.assert_nothing_runs()


class TestReading:
    """How pages are read."""

    def test_comments_go_and_here_documents_stay(self) -> None:
        """Comments are what a translation may change."""
        code = 'make run      # all\n# alone\ncat <<\'END\'\n{"a": "#1"}\nEND\n'
        assert without_comments(code) == 'make run\ncat <<\'END\'\n{"a": "#1"}\nEND\n'

    def test_services_are_split_off(self) -> None:
        """A worker in the middle of a block does not hold up the commands after it."""
        code = "a\nX=1 .venv/bin/faust -A rebate_app worker\nb |\n  c\n"
        assert split_services(code) == [
            ("a", False),
            ("X=1 .venv/bin/faust -A rebate_app worker", True),
            ("b |\n  c", False),
        ]

    def test_only_text_is_output(self) -> None:
        """And it belongs to the block before it."""
        page = "```sh\na\n```\nprose\n```text\nb\n```\n```json\n{}\n```\n```python\nc\n```\n"
        assert steps(page) == [Step("sh", "a\n", "b\n"), Step("python", "c\n", None)]

    @pytest.mark.parametrize(
        ("expected", "actual", "same"),
        [
            ("a 1\n", "a 1 \n", True),
            ("a 1\n", "a 2\n", False),
            ("a …\n", "a 2\n", True),
            ("…\nb\n", "a\na\nb\n", True),
            ("…\nb\n", "b\n", True),
            ("a\n", "a\nb\n", False),
            ("a…b\n", "a\nb\n", False),
        ],
    )
    def test_outputs_are_compared(self, expected: str, actual: str, *, same: bool) -> None:
        """An ellipsis within a line stays in it; one alone stands for any number of lines, none included."""
        assert shows(expected, actual) is same
