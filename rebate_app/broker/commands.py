"""`rebate broker …`: the local Apache Kafka from the command line.

Results go to stdout (with --json as one JSON object), progress and errors to stderr.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click

from .errors import BrokerError
from .jars import DEFAULT_JARS_HOME, ensure_jars
from .local import DEFAULT_DATA_DIR, DEFAULT_PORT, LocalKafka

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
FOLDER = click.Path(file_okay=False, path_type=Path)

data_option = click.option(
    "--data",
    type=FOLDER,
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Folder of the broker: its records, its configuration, and logs/server.log.",
)
jars_option = click.option(
    "--jars",
    type=FOLDER,
    default=DEFAULT_JARS_HOME,
    show_default=True,
    help="Folder in which the downloaded jars are kept.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _progress(message: str) -> None:
    click.echo(message, err=True)


def _print(result: dict[str, object], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(result) if as_json else text)


def _exits(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a BrokerError into its sentence on stderr and its exit code."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BrokerError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)

    return guarded


EXITS = "Exit codes: 0 ok, 2 usage, 69 not available, 75 try again, 78 something has to be installed."


@click.group(epilog=EXITS)
def broker() -> None:
    """The local Apache Kafka, for those who have no REBATE_BROKER.

    \b
    Examples:
      rebate broker start                            on 127.0.0.1:19092
      rebate broker start --port 19093 --data /tmp/b another one beside it
      rebate broker status --json
      rebate broker stop
    """  # noqa: D301, D401 - click's mark for text that is shown as it is; a group is a thing


@broker.command(epilog=EXITS)
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port of 127.0.0.1.",
)
@data_option
@jars_option
@json_option
@_exits
def start(port: int, data: Path, jars: Path, as_json: bool) -> None:
    """Start it and print its address once it answers.

    The same --data started again has the same records. A broker that runs already is left alone.

    \b
    Example:
      rebate broker start --port 19093 --data /tmp/b
    """  # noqa: D301 - click's mark for text that is shown as it is
    kafka = LocalKafka(data, port, jars_home=jars, progress=_progress)
    started = kafka.start()
    status = kafka.status()
    result: dict[str, object] = {
        "address": kafka.address,
        "port": port,
        "pid": status.pid,
        "data": str(kafka.data_dir),
        "log": str(status.log),
        "started": started,
    }
    _print(result, kafka.address, as_json=as_json)


@broker.command(epilog=EXITS)
@data_option
@json_option
@_exits
def stop(data: Path, as_json: bool) -> None:
    """End it, cleanly if it can; nothing happens if it does not run.

    \b
    Example:
      rebate broker stop --data /tmp/b
    """  # noqa: D301 - click's mark for text that is shown as it is
    kafka = LocalKafka(data)
    stopped = kafka.stop()
    _print(
        {"stopped": stopped, "data": str(kafka.data_dir)},
        "stopped" if stopped else "was not running",
        as_json=as_json,
    )


@broker.command(epilog=EXITS)
@data_option
@json_option
@_exits
def status(data: Path, as_json: bool) -> None:
    """Say whether it runs and answers; exit code 69 if it does not.

    \b
    Example:
      rebate broker status --json
    """  # noqa: D301 - click's mark for text that is shown as it is
    found = LocalKafka(data).status()
    address = found.address if found.running else None
    result: dict[str, object] = {
        "running": found.running,
        "answering": found.answering,
        "address": address,
        "pid": found.pid,
        "data": str(found.data_dir),
        "log": str(found.log),
    }
    says = "answers" if found.answering else "does not answer; see " + str(found.log)
    text = f"running on {address} (pid {found.pid}), {says}" if found.running else "not running"
    _print(result, text, as_json=as_json)
    if not found.answering:
        sys.exit(BrokerError.exit_code)


@broker.command(epilog=EXITS)
@jars_option
@json_option
@_exits
def fetch(jars: Path, as_json: bool) -> None:
    """Download the jars, if they are not there and right already.

    \b
    Example:
      rebate broker fetch
    """  # noqa: D301 - click's mark for text that is shown as it is
    libs = ensure_jars(jars, progress=_progress)
    _print({"jars": str(libs)}, str(libs), as_json=as_json)
