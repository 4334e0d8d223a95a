"""Map errors of commands to one sentence on stderr and an exit code that scripts can rely on.

0 ok, 1 findings, 2 usage, 69 the broker or worker is away, 70 a bug of ours, 75 try again,
78 configuration, 141 the reader of the output is gone (docs/spec/cli.md#exit-codes).
"""

from __future__ import annotations

import asyncio
import errno
import functools
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from rebate_app.broker import BrokerError
from rebate_app.settings import (
    EXIT_CONFIGURATION,
    EXIT_SOFTWARE,
    EXIT_TRY_AGAIN,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    ConfigurationError,
    Settings,
)
from rebate_app.streams.errors import StreamsError
from rebate_app.streams.kafka.connection import BrokerAwayError

from .terminal import OutputError, print_error

EXIT_INTERRUPTED = 130
#: As every program of a pipeline ends whose reader has gone: 128 and the number of SIGPIPE.
EXIT_READER_GONE = 141
#: A full disk or a used-up limit of the machine: the same command may work later.
PASSING_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
P = ParamSpec("P")
T = TypeVar("T")

EXITS = "Exit codes: 0 ok, 1 findings, 2 usage, 69 not available, 75 try again, 78 configuration."

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


class CommandError(Exception):
    """A failure of a command: one sentence for the user, and the exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is changed, unless `yes`; CommandError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{question} Say --yes where nobody can be asked.", EXIT_USAGE)
    click.confirm(question, abort=True, err=True)


def fail(sentence: str, exit_code: int) -> NoReturn:
    """Print the sentence on stderr and end with the code."""
    print_error(sentence)
    sys.exit(exit_code)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Return the command with every error mapped to a sentence and an exit code."""

    @functools.wraps(command)
    def run_guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (click.ClickException, click.Abort):
            raise
        except KeyboardInterrupt:
            fail("Interrupted.", EXIT_INTERRUPTED)
        except (CommandError, BrokerError) as error:
            fail(str(error), error.exit_code)
        except ConfigurationError as error:
            fail(str(error), EXIT_CONFIGURATION)
        except StreamsError as error:
            fail(str(error), error.exit_code)
        except BrokerAwayError as error:
            fail(str(error), EXIT_UNAVAILABLE)
        except OutputError as error:
            if error.is_reader_gone:
                sys.exit(EXIT_READER_GONE)
            fail(str(error), EXIT_TRY_AGAIN)
        except OSError as error:
            _fail_for_system(error)
        except Exception as error:  # noqa: BLE001 - the last line of defence: a bug, in one line
            fail(_bug(error), EXIT_SOFTWARE)

    return run_guarded


def _fail_for_system(error: OSError) -> NoReturn:
    """End with what the machine refused: a full disk, a file that cannot be used; else a bug of ours."""
    reason = error.strerror or str(error)
    what = f"{error.filename}: {reason}" if error.filename is not None else reason
    if error.errno in PASSING_ERRORS:
        fail(f"{what}.", EXIT_TRY_AGAIN)
    if error.filename is not None:
        fail(f"{what}.", EXIT_CONFIGURATION)
    fail(_bug(error), EXIT_SOFTWARE)


def run_with_broker(settings: Settings, work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work with the broker; every sign of its absence becomes BrokerAwayError."""
    from aiokafka.errors import KafkaConnectionError, KafkaError

    from rebate_app.streams.kafka.admin import BrokerUnavailableError
    from rebate_app.streams.kafka.connection import why_unreachable

    try:
        return asyncio.run(work)
    except BrokerUnavailableError as error:
        raise BrokerAwayError(str(error)) from error
    except KafkaConnectionError as error:
        raise BrokerAwayError(asyncio.run(why_unreachable(settings, error))) from error
    except KafkaError as error:
        raise BrokerAwayError(f"The broker at {settings.broker} cannot be used: {error}.") from error


def _bug(error: Exception) -> str:
    """Return a sentence with type, place and text of an unexpected error."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return f"This is a bug of ours: {type(error).__name__} at {where}: {error}"
