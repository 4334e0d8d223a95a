"""What the libraries log about elections, rebalances and slow timers is INFO; all else keeps its level."""

from __future__ import annotations

import inspect
import logging
from importlib import import_module

import pytest
from aiokafka import errors

from rebate_app.streams.kafka.library_log import (
    LOGGERS,
    TRANSIENT_ERRORS,
    TRANSIENT_MESSAGES,
    lower_transient,
)

TEMPLATES = [
    ("aiokafka.consumer.fetcher", "Failed fetch offsets from %s: %s"),
    ("aiokafka.consumer.group_coordinator", "Group Coordinator Request failed: %s"),
]


@pytest.fixture(autouse=True)
def _attached(caplog: pytest.LogCaptureFixture) -> None:
    lower_transient()
    lower_transient()
    caplog.set_level(logging.INFO)
    for name in ("aiokafka", "mode", *LOGGERS):  # a command that ran before in this process silences them
        caplog.set_level(logging.INFO, name)


class TestLevels:
    """A level shows whether somebody has to act."""

    @pytest.mark.parametrize("name", sorted(TRANSIENT_ERRORS))
    @pytest.mark.parametrize(("logger", "message"), TEMPLATES)
    def test_what_passes_by_itself_is_info(
        self, caplog: pytest.LogCaptureFixture, logger: str, message: str, name: str
    ) -> None:
        """The error as an instance or as a class."""
        kind = getattr(errors, name)
        for error in (kind, kind("x")):
            logging.getLogger(logger).error(message, *[1][: message.count("%s") - 1], error)
        assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
        assert name in caplog.messages[0] or "x" in caplog.messages[1]

    @pytest.mark.parametrize(
        "error",
        [
            errors.KafkaConnectionError("x"),
            errors.RequestTimedOutError("x"),
            errors.NotEnoughReplicasError("x"),
            errors.TopicAuthorizationFailedError("x"),
            errors.UnknownMemberIdError,
            OSError("x"),
            "NotLeaderForPartitionError",
        ],
    )
    def test_all_else_keeps_its_level(self, caplog: pytest.LogCaptureFixture, error: object) -> None:
        """A broker that is away, too few replicas and missing rights are errors."""
        for logger in LOGGERS:
            logging.getLogger(logger).error("something failed: %s", error)
        assert {record.levelname for record in caplog.records} == {"ERROR"}
        assert len(caplog.records) == len(LOGGERS)

    @pytest.mark.parametrize("message", sorted(TRANSIENT_MESSAGES))
    def test_messages_are_those_of_the_client(self, caplog: pytest.LogCaptureFixture, message: str) -> None:
        """An upgrade of aiokafka that words them otherwise is noticed; so is a logger that is gone."""
        sources = {name: inspect.getsource(import_module(name)) for name in LOGGERS}
        (logger,) = [name for name, source in sources.items() if f'"{message}"' in source]
        logging.getLogger(logger).warning(message, *range(message.count("%")))
        assert [record.levelname for record in caplog.records] == ["INFO"]

    def test_errors_are_those_of_the_client(self) -> None:
        """Each is a response after which the client retries."""
        assert all(
            getattr(errors, name).retriable for name in TRANSIENT_ERRORS - {"RebalanceInProgressError"}
        )
        for logger, message in TEMPLATES:
            assert f'"{message}"' in inspect.getsource(import_module(logger))
