"""docs/how-to/add-a-cli-command.md, followed: one function and its place in `rebate`, and nothing else."""

from __future__ import annotations

import sys

import click
import pytest

from rebate_app.cli.exits import EXITS, CommandError, guarded, json_option, run_with_broker
from rebate_app.cli.root import rebate
from rebate_app.cli.terminal import print_json, print_line
from rebate_app.settings import EXIT_CONFIGURATION, EXIT_FINDINGS, load_settings
from tests.cli.cases import run, use_broker


@click.command(epilog=EXITS)
@click.argument("limit", type=int)
@json_option
@guarded
def toy(limit: int, as_json: bool) -> None:
    """Count the topics of the cluster, and find fault with more than LIMIT.

    \b
    Example:
      rebate toy 100
    """  # noqa: D301 - \b is click's mark for preformatted text
    from rebate_app.streams.kafka.clients import PatientAdmin, started
    from rebate_app.streams.kafka.connection import client_options

    settings = load_settings()
    if limit < 0:
        raise CommandError("The limit is below 0.", EXIT_CONFIGURATION)

    async def count() -> int:
        async with started(PatientAdmin(**client_options(settings))) as admin:
            return len(await admin.list_topics())

    topics = run_with_broker(settings, count())
    if as_json:
        print_json({"topics": topics})
    else:
        print_line(f"{topics} topics")
    if topics > limit:
        sys.exit(EXIT_FINDINGS)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the command as root.py does."""
    monkeypatch.setitem(rebate.commands, "toy", toy)


class TestToy:
    """The command."""

    def test_it_is_listed_and_explains_itself(self) -> None:
        """With example, `--json` and the exit codes of all commands."""
        assert "toy" in run("--help").stdout
        text = run("toy", "--help").stdout
        assert all(part in text for part in ("rebate toy 100", "--json", EXITS.split(",")[0]))

    def test_findings_are_1(self, kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The output is on stdout all the same, and one JSON value with `--json`."""
        use_broker(monkeypatch, kafka)
        assert run("topics", "create").code == 0
        assert run("toy", "100000", "--json").json["topics"] >= 1
        assert run("toy", "0").code == EXIT_FINDINGS

    def test_errors_are_sentences(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No broker is 69, a mistake has the code of its error, bad usage is 2; stdout stays empty."""
        use_broker(monkeypatch, "127.0.0.1:1")
        for arguments, code in ((("1",), 69), (("--", "-1"), EXIT_CONFIGURATION), (("x",), 2)):
            outcome = run("toy", *arguments)
            assert (outcome.code, outcome.stdout) == (code, ""), outcome.stderr
            assert outcome.stderr.count("Error: ") == 1
