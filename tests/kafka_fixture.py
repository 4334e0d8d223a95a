"""The real Apache Kafka that tests share, and names on it that no two tests share.

Apart from conftest.py, because what starts and ends processes has to be read with care.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from rebate_app.broker import BrokerError, LocalKafka, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHECKOUT = Path(__file__).parents[1]
JARS_HOME = CHECKOUT / ".rebate" / "kafka"
#: Somebody else may take a port between our look at it and the broker's.
PORTS_TRIED_MAX = 5
GUARDIAN_SECONDS_MAX = 60
#: Sessions of the workers that tests kill: a group waits for a dead member until its session has ended.
SHORT_SESSION = {"REBATE_SESSION_TIMEOUT": "4", "REBATE_TRANSACTION_TIMEOUT": "3"}
#: What a shared broker needs besides the defaults. It is alone and nobody kills it: it need not write twice a
#: second that it is there: idle, it takes 1.5 % of a core in the place of 2.6 %.
SHARED_OVERRIDES = {
    "group.min.session.timeout.ms": "4000",
    "metadata.max.idle.interval.ms": "0",
    "broker.heartbeat.interval.ms": "2000",
    "broker.session.timeout.ms": "9000",
}
#: The longest name of a topic is 249 characters; the rest is for what the app appends.
PREFIX_NAME_CHARACTERS_MAX = 40


def start_on_a_free_port(data_dir: Path, overrides: Mapping[str, str] | None = None) -> LocalKafka:
    """Return a broker that answers, on a port that was free; the caller stops it."""
    for attempt in range(1, PORTS_TRIED_MAX + 1):
        broker = LocalKafka(data_dir, free_port(), jars_home=JARS_HOME, overrides=overrides)
        try:
            broker.start()
        except BrokerError as error:
            if attempt == PORTS_TRIED_MAX or "is taken" not in str(error):
                raise
        else:
            return broker
    raise AssertionError


@contextmanager
def guarded(data_dir: Path) -> Iterator[None]:
    """End the broker of `data_dir` with the block, and also if this process is killed in it.

    The guardian is a shell that waits for the end of its input, which comes when we end, however.
    """
    stop = [sys.executable, "-m", "rebate_app.cli", "broker", "stop", "--data", str(data_dir)]
    guardian = subprocess.Popen(
        ["/bin/sh", "-c", 'cat >/dev/null; exec "$@" >/dev/null 2>&1', "guardian", *stop],
        stdin=subprocess.PIPE,
        cwd=CHECKOUT,
        start_new_session=True,
    )
    try:
        yield
    finally:
        guardian.communicate(timeout=GUARDIAN_SECONDS_MAX)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of a real Apache Kafka: REBATE_TEST_BROKER, else one of the session's own.

    A given one has to accept SHORT_SESSION (SHARED_OVERRIDES).
    """
    given = os.environ.get("REBATE_TEST_BROKER")
    if given:
        yield given
        return
    data_dir = tmp_path_factory.mktemp("kafka")
    with guarded(data_dir):
        broker = start_on_a_free_port(data_dir, SHARED_OVERRIDES)
        try:
            yield broker.address
        finally:
            broker.stop()
    shutil.rmtree(data_dir / "data", ignore_errors=True)  # the log stays, as long as pytest keeps it


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a prefix that only this test has, and set it as REBATE_TOPIC_PREFIX for its processes."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:PREFIX_NAME_CHARACTERS_MAX].strip("-")
    prefix = f"{name}-{uuid4().hex[:8]}-"
    monkeypatch.setenv("REBATE_TOPIC_PREFIX", prefix)
    return prefix
