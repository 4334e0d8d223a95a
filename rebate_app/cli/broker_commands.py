"""`rebate broker …`: the local Apache Kafka from the command line.

Results go to stdout (with --json as one JSON object), progress and errors to stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rebate_app.broker.class_archive import ensure_archive
from rebate_app.broker.errors import BrokerError
from rebate_app.broker.jars import DEFAULT_JARS_HOME, ensure_jars
from rebate_app.broker.local import DEFAULT_DATA_DIR, DEFAULT_PORT, LocalKafka

from .command_group import CommandGroup
from .exits import guarded, json_option
from .terminal import print_json, print_line, print_note

EXITS = "Exit codes: 0 ok, 2 usage, 69 not available, 75 try again, 78 something has to be installed."
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


@click.group(cls=CommandGroup, epilog=EXITS)
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
@guarded
def start(port: int, data: Path, jars: Path, as_json: bool) -> None:
    """Start it and print its address once it answers.

    The same --data started again has the same records. A broker that runs already is left alone.

    \b
    Example:
      rebate broker start --port 19093 --data /tmp/b
    """  # noqa: D301 - click's mark for text that is shown as it is
    kafka = LocalKafka(data, port, jars_home=jars, progress=print_note)
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
@guarded
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
@guarded
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
    state = "answers" if found.answering else "does not answer; see " + str(found.log)
    text = f"running on {address} (pid {found.pid}), {state}" if found.running else "not running"
    _print(result, text, as_json=as_json)
    if not found.answering:
        sys.exit(BrokerError.exit_code)


@broker.command(epilog=EXITS)
@jars_option
@json_option
@guarded
def fetch(jars: Path, as_json: bool) -> None:
    """Download the jars, if they are not there and right already, and prepare quick starts.

    \b
    Example:
      rebate broker fetch
    """  # noqa: D301 - click's mark for text that is shown as it is
    libs = ensure_jars(jars, progress=print_note)
    ensure_archive(libs, progress=print_note)
    _print({"jars": str(libs)}, str(libs), as_json=as_json)


def _print(result: dict[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_line(text, cut=False)
