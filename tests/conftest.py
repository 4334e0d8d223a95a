"""What every test shares: the seed, the real Kafka, and that nothing is left running."""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from .kafka_fixture import kafka, topic_prefix

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["kafka", "topic_prefix"]

SEED_DEFAULT = "20260101"
SEED_GIVEN = os.environ.get("REBATE_TEST_SEED")
SEED = SEED_GIVEN or SEED_DEFAULT


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the run repeatable: Hypothesis as well, before it reads its own settings.

    Without REBATE_TEST_SEED each property draws the same examples every time; with it, other ones,
    which the same seed draws again. Examples run as long as they need: two cores are shared.
    """
    settings.register_profile("rebate", derandomize=SEED_GIVEN is None, deadline=None, print_blob=True)
    settings.load_profile("rebate")
    if SEED_GIVEN is not None and config.getoption("hypothesis_seed") is None:
        config.option.hypothesis_seed = SEED_GIVEN
    signal.signal(signal.SIGTERM, _interrupted)
    # Started in the background, the suite has SIGINT ignored, and so would have all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that fixtures end what they started."""
    raise KeyboardInterrupt


def pytest_report_header() -> str:
    """Say what to set to run the same again."""
    return f"REBATE_TEST_SEED={SEED}"


#: They take longest, most of it waiting: begun first, they overlap with all others.
LONG = (
    "tests/chaos/",
    "tests/e2e/",
    "tests/events/",
    "tests/webhooks/",
    "tests/cli/test_demo.py",
    "tests/failures/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the shared Kafka as `kafka`, so that `make test-fast` leaves it out; long ones first."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
    items.sort(
        key=lambda item: next((at for at, path in enumerate(LONG) if item.nodeid.startswith(path)), len(LONG))
    )


@pytest.fixture(autouse=True)
def _seeded(request: pytest.FixtureRequest) -> None:
    """Each test draws its own numbers, the same whether it runs alone or among others."""
    random.seed(f"{SEED}:{request.node.nodeid}")
