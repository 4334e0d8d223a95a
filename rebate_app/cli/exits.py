"""How a command ends: one sentence on stderr and an exit code that scripts can rely on.

Law: 0 ok, 1 findings, 2 usage, 69 the broker or worker is away, 70 a bug of ours, 75 try again,
78 configuration (ecosystem.md). It is separate so that no command can invent its own.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from rebate_app.broker import BrokerError
from rebate_app.lane.connection import BrokerAwayError
from rebate_app.settings import (
    EXIT_CONFIGURATION,
    EXIT_SOFTWARE,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    ConfigurationError,
    Settings,
)

EXIT_INTERRUPTED = 130
P = ParamSpec("P")
T = TypeVar("T")

EXITS = "Exit codes: 0 ok, 1 findings, 2 usage, 69 not available, 75 try again, 78 configuration."

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


class CommandError(Exception):
    """What a command cannot do, in one sentence, and its exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def fail(sentence: str, exit_code: int) -> NoReturn:
    """Print the sentence on stderr and end with the code."""
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(exit_code)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Return the command with every error turned into its sentence and exit code."""

    @functools.wraps(command)
    def run_guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except click.ClickException:
            raise
        except KeyboardInterrupt:
            fail("Interrupted.", EXIT_INTERRUPTED)
        except (CommandError, BrokerError) as error:
            fail(str(error), error.exit_code)
        except ConfigurationError as error:
            fail(str(error), EXIT_CONFIGURATION)
        except BrokerAwayError as error:
            fail(str(error), EXIT_UNAVAILABLE)
        except BrokenPipeError:
            sys.stderr.close()  # whoever read our output has gone; nothing is left to be said
            sys.exit(EXIT_USAGE)
        except Exception as error:  # noqa: BLE001 - the last line of defence: a bug, said in one line
            fail(_bug(error), EXIT_SOFTWARE)

    return run_guarded


def run_with_broker(settings: Settings, work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work with the broker; its absence becomes BrokerAwayError, whoever notices it."""
    from aiokafka.errors import KafkaConnectionError, KafkaError

    from rebate_app.lane.admin import BrokerUnavailableError
    from rebate_app.lane.connection import why_unreachable

    try:
        return asyncio.run(work)
    except BrokerUnavailableError as error:
        raise BrokerAwayError(str(error)) from error
    except KafkaConnectionError as error:
        raise BrokerAwayError(asyncio.run(why_unreachable(settings, error))) from error
    except KafkaError as error:
        raise BrokerAwayError(f"The broker at {settings.broker} cannot be used: {error}.") from error


def _bug(error: Exception) -> str:
    """Say where a bug is, for whoever repairs it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return f"This is a bug of ours: {type(error).__name__} at {where}: {error}"
