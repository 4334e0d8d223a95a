"""REBATE_LOG_FORMAT=json: every line of the log is one JSON object."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Any

from rebate_app.log_format import JsonFormatter
from tests.e2e.conftest import NewSystem, new_system

__all__ = ["new_system"]


def record_of(message: str, *args: Any, **members: Any) -> logging.LogRecord:
    """Return a log record."""
    return logging.LogRecord(
        "room", logging.WARNING, "file.py", 1, message, args, **{"exc_info": None} | members
    )


class TestFormatter:
    """One record, one line."""

    def test_members(self) -> None:
        """Time in UTC, level, logger and the message with its arguments; no exception where there is none."""
        record = record_of("%d 行 of\n%s", 3, "x")
        line = JsonFormatter().format(record)
        document = json.loads(line)
        assert "\n" not in line
        assert line.isascii()
        assert set(document) == {"time", "level", "logger", "message"}
        assert (document["level"], document["logger"], document["message"]) == (
            "WARNING",
            "room",
            "3 行 of\nx",
        )
        moment = datetime.fromisoformat(document["time"])
        assert abs(moment.timestamp() - record.created) <= 0.001
        assert document["time"].endswith("+00:00")

    def test_an_exception_is_a_member(self) -> None:
        """With its traceback, in the same line."""
        try:
            int("why")
        except ValueError:
            line = JsonFormatter().format(record_of("failed", exc_info=sys.exc_info()))
        document = json.loads(line)
        assert "\n" not in line
        assert document["message"] == "failed"
        assert document["exception"].startswith("Traceback")
        assert document["exception"].endswith("'why'")

    def test_arguments_that_do_not_fit(self) -> None:
        """The record is not lost."""
        document = json.loads(JsonFormatter().format(record_of("%d of", "many")))
        assert document["message"] == "%d of ('many',)"


def test_a_worker_logs_json_only(new_system: NewSystem) -> None:
    """From its first line to its last, Faust's own lines among them, without a banner."""
    system = new_system(REBATE_LOG_FORMAT="json")
    worker = system.start_worker()
    worker.wait_ready()
    assert worker.stop() == 0
    documents = [json.loads(line) for line in worker.log_text().splitlines()]
    assert {frozenset(document) for document in documents} >= {
        frozenset({"time", "level", "logger", "message"})
    }
    loggers = {document["logger"].split(".")[0] for document in documents}
    assert loggers >= {"rebate_app", "mode"}, loggers
    assert any("worker ready:" in document["message"] for document in documents)
