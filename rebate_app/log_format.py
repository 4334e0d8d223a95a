"""The worker's log as JSON (REBATE_LOG_FORMAT=json): one object a line, for whatever collects logs.

Members: `time` (RFC 3339, UTC, milliseconds), `level`, `logger`, `message`, and `exception` (the traceback)
where there is one. Everything that Faust and its libraries log comes in the same form, also what is printed
while the worker runs; Faust's banner is left out. A configuration error that prevents the log from being set
up is a line of text on stderr, in either format.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from faust.cli.worker import worker as worker_command
from faust.worker import Worker


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON, in ASCII, so that no stream's encoding matters."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a message whose arguments do not fit is given as it is."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            document["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            document["exception"] = record.exc_text
        return json.dumps(document)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args!r}"


class PlainWorker(Worker):
    """Faust's worker process without banner and spinner, which are no log."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.spinner = None

    def _say(self, *args: Any, **options: Any) -> None:
        """Print nothing."""


def json_log_settings() -> dict[str, Any]:
    """Return the Faust settings that make the worker's whole log JSON, and leave the banner out."""
    worker_command.on_worker_created = _print_nothing
    formatter = {"()": JsonFormatter}
    formatters = {"default": formatter, "colored": formatter}  # Faust's names: to a file, to a stream
    return {"logging_config": {"merge": True, "formatters": formatters}, "Worker": PlainWorker}


def _print_nothing(command: Any, worker: Any) -> None:
    """Stand in for Faust's banner."""
    del command, worker
