"""Groups of commands: a mistyped command is answered with those that are close.

`RootGroup` also ends the process without a traceback where the output is closed or full.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from rebate_app.settings import EXIT_TRY_AGAIN, EXIT_USAGE

from .terminal import abandon, print_error, printable

SUGGESTED_MAX = 3


class CommandGroup(click.Group):
    """A group that suggests commands with a similar name, also those of its subgroups."""

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names; UsageError with suggestions."""
        try:
            return super().resolve_command(context, arguments)
        except click.UsageError as error:
            close = self._similar(arguments[0])
            if close and arguments[0][:1].isalnum():
                error.message += f" Did you mean {' or '.join(close)}?"
            raise

    def _similar(self, name: str) -> list[str]:
        """Return commands of this group with a similar name, else paths that end in this name."""
        close = difflib.get_close_matches(name, list(self.commands), n=SUGGESTED_MAX)
        if close:
            return close
        return [
            f"{group} {name}"
            for group, command in sorted(self.commands.items())
            if isinstance(command, click.Group) and name in command.commands
        ][:SUGGESTED_MAX]


class RootGroup(CommandGroup):
    """The group of all commands: whatever goes wrong is one sentence and an exit code."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command that the arguments name."""
        if sys.stdout is None:
            print_error("The output cannot be written: standard output is closed.")
            sys.exit(EXIT_USAGE)
        try:
            return super().main(*arguments, **options)
        except OSError as error:  # of help and usage, which click prints
            abandon(sys.stdout)
            print_error(f"The output cannot be written: {error.strerror or error}.")
            sys.exit(EXIT_TRY_AGAIN)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Return the context of the arguments."""
        with _printable_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        with _printable_errors():
            return super().invoke(context)


@contextmanager
def _printable_errors() -> Iterator[None]:
    """Make what click prints of an argument printable: a file may have any name."""
    try:
        yield
    except click.ClickException as error:
        error.message = printable(error.message, None)
        raise
